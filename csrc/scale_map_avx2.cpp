// The kernel of scale_map_kernels.h with AVX2. See cpu.h for what such a file may include.
#include "intrinsics.h"
#include "scale_map_kernels.h"

namespace lic {

void four_rows_avx2(const FourRows& t) {
    const __m256i zero = _mm256_setzero_si256(), top = _mm256_set1_epi32(t.rows - 1);
    for (std::size_t p = 0; p < t.positions; p += 16) {
        __m256i acc[4][2];
        for (int j = 0; j < 4; ++j) acc[j][0] = acc[j][1] = _mm256_set1_epi32(t.base[j]);
        for (std::size_t i = 0; i < t.pairs; ++i) {
            const __m256i* v = reinterpret_cast<const __m256i*>(t.v + 2 * (i * kBlock + p));
            const __m256i v0 = _mm256_loadu_si256(v), v1 = _mm256_loadu_si256(v + 1);
            for (int j = 0; j < 4; ++j) {
                const __m256i w = _mm256_set1_epi32(weight_pair(t.weight + 2 * (j * t.pairs + i)));
                acc[j][0] = _mm256_add_epi32(acc[j][0], _mm256_madd_epi16(w, v0));
                acc[j][1] = _mm256_add_epi32(acc[j][1], _mm256_madd_epi16(w, v1));
            }
        }
        for (int half = 0; half < 2; ++half) {
            __m256i bytes = zero;
            for (int j = 0; j < 4; ++j) {
                const __m256i k = _mm256_srai_epi32(acc[j][half], LIC_MAP_SHIFT);
                bytes =
                    _mm256_or_si256(bytes, _mm256_slli_epi32(_mm256_min_epi32(_mm256_max_epi32(k, zero), top), 8 * j));
            }
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(t.out + 4 * p) + half, bytes);
        }
    }
}

}  // namespace lic

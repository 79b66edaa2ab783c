// The kernel of scale_map_kernels.h with SSE4.1. See cpu.h for what such a file may include.
#include "intrinsics.h"
#include "scale_map_kernels.h"

namespace lic {

void four_rows_sse41(const FourRows& t) {
    const __m128i zero = _mm_setzero_si128(), top = _mm_set1_epi32(t.rows - 1);
    for (std::size_t p = 0; p < t.positions; p += 8) {
        __m128i acc[4][2];
        for (int j = 0; j < 4; ++j) acc[j][0] = acc[j][1] = _mm_set1_epi32(t.base[j]);
        for (std::size_t i = 0; i < t.pairs; ++i) {
            const __m128i* v = reinterpret_cast<const __m128i*>(t.v + 2 * (i * kBlock + p));
            const __m128i v0 = _mm_loadu_si128(v), v1 = _mm_loadu_si128(v + 1);
            for (int j = 0; j < 4; ++j) {
                const __m128i w = _mm_set1_epi32(weight_pair(t.weight + 2 * (j * t.pairs + i)));
                acc[j][0] = _mm_add_epi32(acc[j][0], _mm_madd_epi16(w, v0));
                acc[j][1] = _mm_add_epi32(acc[j][1], _mm_madd_epi16(w, v1));
            }
        }
        for (int half = 0; half < 2; ++half) {
            __m128i bytes = zero;
            for (int j = 0; j < 4; ++j) {
                const __m128i k = _mm_srai_epi32(acc[j][half], LIC_MAP_SHIFT);
                bytes = _mm_or_si128(bytes, _mm_slli_epi32(_mm_min_epi32(_mm_max_epi32(k, zero), top), 8 * j));
            }
            _mm_storeu_si128(reinterpret_cast<__m128i*>(t.out + 4 * p) + half, bytes);
        }
    }
}

}  // namespace lic

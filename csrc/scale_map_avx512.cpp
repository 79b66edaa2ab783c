// The kernel of scale_map_kernels.h with AVX-512. See cpu.h for what such a file may include.
#include "intrinsics.h"
#include "scale_map_kernels.h"

namespace lic {

void four_rows_avx512(const FourRows& t) {
    const __m512i zero = _mm512_setzero_si512(), top = _mm512_set1_epi32(t.rows - 1);
    for (std::size_t p = 0; p < t.positions; p += 32) {
        __m512i acc[4][2];
        for (int j = 0; j < 4; ++j) acc[j][0] = acc[j][1] = _mm512_set1_epi32(t.base[j]);
        for (std::size_t i = 0; i < t.pairs; ++i) {
            const std::int16_t* v = t.v + 2 * (i * kBlock + p);
            const __m512i v0 = _mm512_loadu_si512(v), v1 = _mm512_loadu_si512(v + 32);
            for (int j = 0; j < 4; ++j) {
                const __m512i w = _mm512_set1_epi32(weight_pair(t.weight + 2 * (j * t.pairs + i)));
                acc[j][0] = _mm512_add_epi32(acc[j][0], _mm512_madd_epi16(w, v0));
                acc[j][1] = _mm512_add_epi32(acc[j][1], _mm512_madd_epi16(w, v1));
            }
        }
        for (int half = 0; half < 2; ++half) {
            __m512i bytes = zero;
            for (int j = 0; j < 4; ++j) {
                const __m512i k = _mm512_srai_epi32(acc[j][half], LIC_MAP_SHIFT);
                bytes = _mm512_or_si512(bytes, _mm512_slli_epi32(_mm512_min_epi32(_mm512_max_epi32(k, zero), top),
                                                                 static_cast<unsigned>(8 * j)));
            }
            _mm512_storeu_si512(t.out + 4 * (p + 16 * static_cast<std::size_t>(half)), bytes);
        }
    }
}

}  // namespace lic

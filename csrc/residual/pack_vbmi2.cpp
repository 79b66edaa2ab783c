// See pack_kernels.h, and cpu.h for what such a file may include.
#include "../intrinsics.h"
#include "pack_kernels.h"

namespace lic {

Packed compact_vbmi2(const std::uint8_t* index, std::size_t size, std::int32_t skip, std::uint8_t* rows) {
    const __m512i least = _mm512_set1_epi8(static_cast<char>(skip));
    std::size_t i = 0, n = 0;
    for (; i + 64 <= size; i += 64) {
        const __m512i k = _mm512_loadu_si512(index + i);
        const __mmask64 keep = _mm512_cmpge_epu8_mask(k, least);
        _mm512_storeu_si512(rows + n, _mm512_maskz_compress_epi8(keep, k));  // n <= i: within the size
        n += static_cast<std::size_t>(_mm_popcnt_u64(keep));
    }
    return {i, n, 0, 0};
}

Packed expand_vbmi2(const std::uint8_t* index, std::size_t size, std::int32_t skip, const std::int16_t* symbols,
                    std::int16_t* r, std::uint32_t first) {
    const __m256i least = _mm256_set1_epi8(static_cast<char>(skip));
    const __m512i ramp = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __m512i a = _mm512_setzero_si512(), b = a,
            place = _mm512_add_epi32(ramp, _mm512_set1_epi32(static_cast<int>(first)));
    std::size_t i = 0, n = 0;
    for (; i + 32 <= size; i += 32) {
        const __mmask32 keep =
            _mm256_cmpge_epu8_mask(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(index + i)), least);
        const __m512i v = _mm512_maskz_expand_epi16(keep, _mm512_loadu_si512(symbols + n));
        _mm512_storeu_si512(r + i, v);
        n += static_cast<std::size_t>(_mm_popcnt_u32(keep));
        const __m512i low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(v));
        const __m512i high = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(v, 1));
        a = _mm512_add_epi32(a, _mm512_add_epi32(low, high));
        b = _mm512_add_epi32(b, _mm512_mullo_epi32(low, place));
        place = _mm512_add_epi32(place, _mm512_set1_epi32(16));
        b = _mm512_add_epi32(b, _mm512_mullo_epi32(high, place));
        place = _mm512_add_epi32(place, _mm512_set1_epi32(16));
    }
    return {i, n, static_cast<std::uint32_t>(_mm512_reduce_add_epi32(a)),
            static_cast<std::uint32_t>(_mm512_reduce_add_epi32(b))};
}

}  // namespace lic

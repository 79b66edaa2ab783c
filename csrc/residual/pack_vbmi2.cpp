// See pack_kernels.h, and cpu.h for what such a file may include.
#include "../intrinsics.h"
#include "pack_kernels.h"

namespace lic {

Packed compact_vbmi2(const std::uint8_t* index, const std::uint8_t* values, std::size_t size, std::uint8_t low,
                     std::uint8_t high, std::uint8_t* out) {
    const __m512i least = _mm512_set1_epi8(static_cast<char>(low)),
                  span = _mm512_set1_epi8(static_cast<char>(high - low));
    std::size_t i = 0, n = 0;
    for (; i + 64 <= size; i += 64) {
        const __m512i k = _mm512_sub_epi8(_mm512_loadu_si512(index + i), least);
        const __mmask64 keep = _mm512_cmple_epu8_mask(k, span);
        _mm512_storeu_si512(out + n, _mm512_maskz_compress_epi8(keep, _mm512_loadu_si512(values + i)));  // n <= i
        n += static_cast<std::size_t>(_mm_popcnt_u64(keep));
    }
    return {i, n};
}

Packed expand_vbmi2(const std::uint8_t* index, std::size_t size, std::uint8_t low, std::uint8_t high,
                    const std::int16_t* symbols, std::int16_t* r) {
    const __m256i least = _mm256_set1_epi8(static_cast<char>(low)),
                  span = _mm256_set1_epi8(static_cast<char>(high - low));
    std::size_t i = 0, n = 0;
    for (; i + 32 <= size; i += 32) {
        const __m256i k = _mm256_sub_epi8(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(index + i)), least);
        const __mmask32 keep = _mm256_cmple_epu8_mask(k, span);
        const __m512i here = _mm512_loadu_si512(r + i);
        _mm512_storeu_si512(r + i, _mm512_mask_expand_epi16(here, keep, _mm512_loadu_si512(symbols + n)));
        n += static_cast<std::size_t>(_mm_popcnt_u32(keep));
    }
    return {i, n};
}

}  // namespace lic

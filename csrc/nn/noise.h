// FORMAT 8.5: the noise of a second synthesis, at an eighth of the resolution. Must not include Python.
#ifndef LIC_NN_NOISE_H
#define LIC_NN_NOISE_H

#include <cstddef>
#include <cstdint>

#include "../lic_constants.h"

namespace lic::nn {

// Whose: the picture's seed, and the row and column of its latent grid where what is rendered has its first.
struct Noise {
    std::uint32_t seed = 0;
    std::size_t row = 0, column = 0;
};

// `count` positions of row `row` of 2 hy from column `column` of 2 wy on, LIC_NOISE_CHANNELS numbers of each in
// -128 ... 127: the bytes of mixed words.
inline void noise_row(std::uint32_t seed, std::size_t row, std::size_t column, std::size_t count, std::int16_t* out) {
    static_assert(LIC_NOISE_CHANNELS % 4 == 0);
    const std::uint32_t of_row = seed + static_cast<std::uint32_t>(row) * static_cast<std::uint32_t>(LIC_NOISE_ROW);
    for (std::size_t p = 0; p < count; ++p) {
        const auto at = static_cast<std::uint32_t>(column + p) * static_cast<std::uint32_t>(LIC_NOISE_COLUMN) + of_row;
        for (std::uint32_t k = 0; k < LIC_NOISE_CHANNELS / 4; ++k) {
            std::uint32_t word = at + k * static_cast<std::uint32_t>(LIC_NOISE_WORD);
            word = (word ^ word >> 16) * static_cast<std::uint32_t>(LIC_NOISE_MIX_1);
            word = (word ^ word >> 15) * static_cast<std::uint32_t>(LIC_NOISE_MIX_2);
            word ^= word >> 16;
            for (unsigned n = 0; n < 4; ++n)
                *out++ = static_cast<std::int16_t>(static_cast<std::int32_t>(word >> 8 * n & 255) - 128);
        }
    }
}

}  // namespace lic::nn

#endif

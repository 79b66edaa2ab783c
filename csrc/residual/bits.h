// What symbols cost under rows of the bank, in bits: for encoders, in float, nothing that a file depends on.
// Includes bank.h and the standard library; must not include Python.
#ifndef LIC_BITS_H
#define LIC_BITS_H

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "../bank.h"
#include "../stages.h"

namespace lic {

constexpr std::int32_t kPriced = 511;  // symbols beyond it are taken to cost as much
constexpr std::size_t kPrices = 2 * kPriced + 1;

// Residuals that are to be quantised: (M, n), and for mixtures 3 K planes of indices.
struct Unquantised {
    const float* x;             // (y - mean) / step
    const std::uint8_t* index;  // clamped to what the model has
    const float* weight;        // (M,) squared errors that a bit is worth
    std::size_t M, n;
    std::int16_t* r;  // (M, n) the result
    Stages stages{};  // in which they will stand
};

// Residuals as they are coded.
struct Coded {
    const std::int16_t* r;      // (M, n)
    const std::uint8_t* index;  // (M, n), and for mixtures 3 K planes
    std::size_t M, n;
    Stages stages{};
};

inline double bits_of(std::uint32_t freq) { return LIC_PROB_BITS - std::log2(static_cast<double>(freq)); }

// Bits of an escape's words, for a symbol so far beyond its row, from 0 (FORMAT 7.3).
inline double escape_bits(std::uint32_t beyond) {
    return beyond < 1u << (kEscapeLow - 1) ? LIC_WORD_BITS : 2.0 * LIC_WORD_BITS;
}

// Bits of the symbols -kPriced to kPriced under the first rows, (rows, kPrices); escapes with their words.
inline std::vector<float> symbol_bits(const Bank& bank, std::size_t rows) {
    std::vector<float> table(rows * kPrices);
    for (std::size_t row = 0; row < rows; ++row) {
        const std::int32_t last = static_cast<std::int32_t>(bank.last(row)), first = bank.first(row);
        const double escape = bits_of(bank.coding(row, bank.last(row)).freq);
        for (std::int32_t symbol = -kPriced; symbol <= kPriced; ++symbol) {
            const std::int32_t place = symbol - first;
            const bool held = place >= 0 && place < last;
            const std::int32_t beyond = place < 0 ? -place - 1 : place - last;
            const double bits = held ? bits_of(bank.coding(row, static_cast<std::uint32_t>(place)).freq)
                                     : escape + escape_bits(static_cast<std::uint32_t>(beyond));
            table[row * kPrices + static_cast<std::size_t>(symbol + kPriced)] = static_cast<float>(bits);
        }
    }
    return table;
}

}  // namespace lic

#endif

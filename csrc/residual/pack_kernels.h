// The inner loops of pack.h with AVX-512 VBMI2. Pointers and numbers alone, see cpu.h.
#ifndef LIC_PACK_KERNELS_H
#define LIC_PACK_KERNELS_H

#include <cstddef>
#include <cstdint>

namespace lic {

constexpr std::size_t kSpreadAtOnce = 32;  // symbols that expand_vbmi2 reads at a time, some beyond the coded ones

// How far a kernel came: the rest is less than one of its steps.
struct Packed {
    std::size_t positions, symbols;
};

// Indices from `low` to `high`, both included.
Packed compact_vbmi2(const std::uint8_t* index, const std::uint8_t* values, std::size_t size, std::uint8_t low,
                     std::uint8_t high, std::uint8_t* out);
Packed expand_vbmi2(const std::uint8_t* index, std::size_t size, std::uint8_t low, std::uint8_t high,
                    const std::int16_t* symbols, std::int16_t* r);

}  // namespace lic

#endif

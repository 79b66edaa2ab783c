// The inner loops of pack.h with AVX-512 VBMI2. Pointers and numbers alone, see cpu.h.
#ifndef LIC_PACK_KERNELS_H
#define LIC_PACK_KERNELS_H

#include <cstddef>
#include <cstdint>

namespace lic {

constexpr std::size_t kSpreadAtOnce = 32;  // symbols that expand_vbmi2 reads at a time, some beyond the coded ones
constexpr std::int32_t kSkipMost = 255;    // `skip` as a byte

// How far a kernel came: the rest is less than one of its steps. a, b: what expand_vbmi2 adds to the checksum's sums.
struct Packed {
    std::size_t positions, symbols;
    std::uint32_t a, b;
};

Packed compact_vbmi2(const std::uint8_t* index, std::size_t size, std::int32_t skip, std::uint8_t* rows);

// first: the checksum's number of r[0].
Packed expand_vbmi2(const std::uint8_t* index, std::size_t size, std::int32_t skip, const std::int16_t* symbols,
                    std::int16_t* r, std::uint32_t first);

}  // namespace lic

#endif

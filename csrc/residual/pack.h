// Which positions of r a stage codes (FORMAT 6.3): what stands there side by side, and symbols back to their places.
// Includes stages.h and cpu.h; the AVX-512 part is pack_vbmi2.cpp.
#ifndef LIC_PACK_H
#define LIC_PACK_H

#include <cstddef>
#include <cstdint>

#include "../cpu.h"
#include "../stages.h"
#include "pack_kernels.h"

namespace lic {

constexpr std::size_t kOverread = kSpreadAtOnce;  // places that `expand` may read too far

// The values of the positions whose index is in the range, in order; returns their number. `out` has room for `size`:
// stores always and moves on where it counts. Starts at position i, with n found so far.
inline std::size_t compact_from(std::size_t i, std::size_t n, const std::uint8_t* index, const std::uint8_t* values,
                                std::size_t size, const IndexRange& range, std::uint8_t* out) {
    for (; i < size; ++i) {
        out[n] = values[i];
        n += range.holds(index[i]);
    }
    return n;
}

inline std::size_t compact(const std::uint8_t* index, const std::uint8_t* values, std::size_t size,
                           const IndexRange& range, std::uint8_t* out) {
    if (range.empty()) return 0;
#if LIC_X86
    if (use_vbmi2()) {
        const Packed done = compact_vbmi2(index, values, size, static_cast<std::uint8_t>(range.low),
                                          static_cast<std::uint8_t>(range.high), out);
        return compact_from(done.positions, done.symbols, index, values, size, range, out);
    }
#endif
    return compact_from(0, 0, index, values, size, range, out);
}

// The other way: each symbol to its position in r, whose other positions stay. `symbols` has `kOverread` places more
// than there are symbols.
inline void expand_from(std::size_t i, std::size_t n, const std::uint8_t* index, std::size_t size,
                        const IndexRange& range, const std::int16_t* symbols, std::int16_t* r) {
    for (; i < size; ++i) {
        const bool keep = range.holds(index[i]);
        r[i] = keep ? symbols[n] : r[i];
        n += keep;
    }
}

inline void expand(const std::uint8_t* index, std::size_t size, const IndexRange& range, const std::int16_t* symbols,
                   std::int16_t* r) {
    if (range.empty()) return;
#if LIC_X86
    if (use_vbmi2()) {
        const Packed done = expand_vbmi2(index, size, static_cast<std::uint8_t>(range.low),
                                         static_cast<std::uint8_t>(range.high), symbols, r);
        return expand_from(done.positions, done.symbols, index, size, range, symbols, r);
    }
#endif
    expand_from(0, 0, index, size, range, symbols, r);
}

}  // namespace lic

#endif

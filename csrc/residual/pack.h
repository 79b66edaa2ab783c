// Which positions of r are coded (FORMAT 7.6): their rows side by side, and their symbols back to their places.
// Includes rans.h for the checksum and cpu.h; the AVX-512 part is pack_vbmi2.cpp.
#ifndef LIC_PACK_H
#define LIC_PACK_H

#include <cstddef>
#include <cstdint>

#include "../cpu.h"
#include "../rans.h"
#include "pack_kernels.h"

namespace lic {

constexpr std::size_t kOverread = kSpreadAtOnce;  // places that `expand` may read too far

// The indices that are coded, in order; returns their number. Stores always and moves on where it counts. Starts at
// position i, with n found so far.
inline std::size_t compact_from(std::size_t i, std::size_t n, const std::uint8_t* index, std::size_t size,
                                std::int32_t skip, std::uint8_t* rows) {
    for (; i < size; ++i) {
        rows[n] = index[i];
        n += index[i] >= skip;
    }
    return n;
}

inline std::size_t compact(const std::uint8_t* index, std::size_t size, std::int32_t skip, std::uint8_t* rows) {
#if LIC_X86
    if (use_vbmi2() && skip <= kSkipMost) {
        const Packed done = compact_vbmi2(index, size, skip, rows);
        return compact_from(done.positions, done.symbols, index, size, skip, rows);
    }
#endif
    return compact_from(0, 0, index, size, skip, rows);
}

// The other way, from position i with n symbols placed: each coded symbol to its position in r, 0 to the skipped ones,
// and all of them into the checksum.
inline void expand_from(std::size_t i, std::size_t n, const std::uint8_t* index, std::size_t size, std::int32_t skip,
                        const std::int16_t* symbols, std::int16_t* r, Checksum& sum) {
    const std::size_t start = i;
    for (; i < size; ++i) {
        const bool keep = index[i] >= skip;
        r[i] = static_cast<std::int16_t>(symbols[n] & -static_cast<int>(keep));
        n += keep;
    }
    sum.add(r + start, size - start);
}

// `symbols` has `kOverread` places more than there are coded symbols.
inline void expand(const std::uint8_t* index, std::size_t size, std::int32_t skip, const std::int16_t* symbols,
                   std::int16_t* r, Checksum& sum) {
#if LIC_X86
    if (use_vbmi2() && skip <= kSkipMost) {
        const Packed done = expand_vbmi2(index, size, skip, symbols, r, sum.n);
        sum.a += done.a, sum.b += done.b, sum.n += static_cast<std::uint32_t>(done.positions);
        return expand_from(done.positions, done.symbols, index, size, skip, symbols, r, sum);
    }
#endif
    expand_from(0, 0, index, size, skip, symbols, r, sum);
}

}  // namespace lic

#endif

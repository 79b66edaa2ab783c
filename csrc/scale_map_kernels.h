// The inner loop of the scale map, one function for each instruction set. Pointers and numbers alone, see cpu.h.
#ifndef LIC_SCALE_MAP_KERNELS_H
#define LIC_SCALE_MAP_KERNELS_H

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "lic_constants.h"

namespace lic {

// Sub-positions of one hyper position: 4 x 4 latent positions lie above it (FORMAT 6.1).
constexpr std::size_t kSide = LIC_HYPER_STRIDE;
constexpr std::size_t kCell = kSide * kSide;

// Kernels. Each computes four weight rows k ... k + 3 (k a multiple of 4: the four columns w of one channel and one
// sub-row u) for `positions` positions, a multiple of kLanes:
//
//   out[4 p + j] = index_of(base[j] + sum over c of weight[j][c] * v[c][p])
//
// so that the four bytes of a position are four neighbours in the output row. Channels come in pairs: the 32 bits at
// weight[j][2 i] hold the weights of channels 2i and 2i + 1, those at v[i][p] the values of the same two, and one
// multiply-add instruction (pmaddwd) yields w_2i * v_2i + w_2i+1 * v_2i+1 in 32 bits. An odd C is padded with a zero
// weight.

constexpr std::size_t kBlock = 64;  // positions in a block: C/2 * 64 * 4 bytes of v, 16 KiB at C = 128
constexpr std::size_t kLanes = 32;  // positions that the widest kernel takes at once
static_assert(kBlock % kLanes == 0, "a block is a whole number of kernel steps");

struct FourRows {
    const std::int16_t* weight;  // (4, 2 * pairs)
    const std::int16_t* v;       // (pairs, kBlock, 2)
    std::size_t pairs, positions;
    std::int32_t base[4];  // offset + bias
    std::int32_t rows;
    std::uint8_t* out;  // (positions, 4)
};

// The weights of two channels as one word. Each file has its own: what is inline and shared might be linked from the
// one that has instructions of another CPU.
static inline std::int32_t weight_pair(const std::int16_t* at) {
    std::int32_t pair;
    std::memcpy(&pair, at, sizeof pair);
    return pair;
}

// The three vector kernels are one algorithm at three widths: 4 rows x 2 vectors of accumulators; then the clamped
// indices, each in 0 ... 255, are shifted into the four bytes of one 32-bit lane (x86 is little-endian: row 0 is the
// first byte).
void four_rows_sse41(const FourRows& t);
void four_rows_avx2(const FourRows& t);
void four_rows_avx512(const FourRows& t);

}  // namespace lic

#endif

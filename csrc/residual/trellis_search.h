// The encoder's search for levels (FORMAT 7.9): what it is given and where it runs. Pointers and numbers alone, see
// cpu.h.
#ifndef LIC_TRELLIS_SEARCH_H
#define LIC_TRELLIS_SEARCH_H

#include <cstddef>
#include <cstdint>

#include "trellis_rules.h"

namespace lic {

constexpr std::size_t kTogether = 16;  // positions whose paths are found at once
constexpr std::size_t kPathsWide = kTrellisStates * kTogether;

// What is sought: levels of least (x - level)^2 + weight * bits over all channels, x being (y - mean) / step.
struct Sought {
    const float* x;             // (M, n)
    const std::uint8_t* index;  // (M, n)
    const float* bits;          // (2 * rows, sizes): of a symbol by its size, the last one standing for all larger ones
    const float* weight;        // (M,)
    std::size_t M, n, sizes;
    std::int32_t rows, trellis, skip;
    std::int16_t* r;            // (M, n)
    const std::uint8_t* least;  // (stages,) thresholds of the index, falling to 0: a path goes stage by stage
    std::size_t stages;
};

// Working memory of one thread.
struct Paths {
    float* cost;             // (2, states, kTogether)
    std::uint8_t* parity;    // (M, states, kTogether) of the symbol that led to a state
    std::int16_t* symbol;    // (M, 2 quantisers, 2 parities, kTogether) the best of its kind
    std::uint8_t* in;        // (M, kTogether) whether the position is in the trellis there
    std::uint16_t* channel;  // (M, kTogether) whose turn it is at each step of a path
};

// The levels of at most kTogether positions from `first` on.
void search_block_scalar(const Sought& t, std::size_t first, const Paths& work);
void search_block_avx2(const Sought& t, std::size_t first, const Paths& work);
void search_block_avx512(const Sought& t, std::size_t first, const Paths& work);

// The levels of all positions, by the best of these.
void search(const Sought& t);

}  // namespace lic

#endif

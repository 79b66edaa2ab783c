// Viterbi over the channels of kTogether positions at once, for the files of trellis_search.h: each compiles its own,
// with the flags of its instruction set. All of it is static, see cpu.h.
#ifndef LIC_TRELLIS_BLOCK_H
#define LIC_TRELLIS_BLOCK_H

#include <limits>

#include "trellis_search.h"

#if defined(__GNUC__)
#define LIC_OWN inline __attribute__((always_inline))
#else
#define LIC_OWN inline
#endif

namespace lic {
namespace {

constexpr float kLargest = 32760.0f;

constexpr float kNever = std::numeric_limits<float>::infinity();

LIC_OWN std::size_t lesser(std::size_t a, std::size_t b) { return a < b ? a : b; }

// |x|, no more than `kLargest`, and 0 of what is no number.
LIC_OWN float size_of(float x) {
    const float size = x < 0.0f ? -x : x;
    return size < kLargest ? size : size != size ? 0.0f : kLargest;
}

struct Choice {
    float cost = kNever;
    std::int16_t symbol = 0;

    LIC_OWN void offer(float x, std::int32_t level, std::int32_t k, float weight, const float* bits,
                       std::size_t sizes) {
        const float d = x - static_cast<float>(level);
        const float c = d * d + weight * bits[lesser(static_cast<std::size_t>(k), sizes - 1)];
        if (c < cost) cost = c, symbol = static_cast<std::int16_t>(k);
    }
};

// The channels of a position in the order of a path: stage by stage, the order within a stage being theirs.
LIC_OWN void order_channels(const Sought& t, std::size_t i, std::size_t p, const Paths& work) {
    if (t.stages == 1) {
        for (std::size_t m = 0; m < t.M; ++m) work.channel[m * kTogether + p] = static_cast<std::uint16_t>(m);
        return;
    }
    std::size_t step = 0;
    for (std::size_t k = 0; k < t.stages; ++k) {
        const int low = t.least[k], high = k == 0 ? 256 : t.least[k - 1];
        for (std::size_t m = 0; m < t.M; ++m) {
            const int index = t.index[m * t.n + i];
            if (index >= low && index < high) work.channel[step++ * kTogether + p] = static_cast<std::uint16_t>(m);
        }
    }
}

// The four costs at one step and position, of symbols even and odd in states even and odd, or of what is not in the
// trellis.
LIC_OWN void choose(const Sought& t, std::size_t step, std::size_t i, std::size_t p, const Paths& work, float* cost) {
    const std::size_t m = work.channel[step * kTogether + p];
    const std::uint8_t index = t.index[m * t.n + i];
    const float size = size_of(t.x[m * t.n + i]);
    std::int16_t* best = work.symbol + step * 4 * kTogether;
    const bool in = index >= t.trellis && index >= t.skip;
    work.in[step * kTogether + p] = in;
    if (!in) {
        Choice one;
        if (index >= t.skip) {
            const auto low = static_cast<std::int32_t>(size / LIC_LEVEL_PLAIN);
            const float* bits = t.bits + index * t.sizes;
            const std::int32_t tried[] = {0, low, low + 1};
            for (const std::int32_t k : tried) one.offer(size, plain_level(k), k, t.weight[m], bits, t.sizes);
        }
        best[p] = one.symbol;
        return;
    }
    for (std::int32_t odd = 0; odd < 2; ++odd) {
        const float* bits = t.bits + static_cast<std::size_t>(index + odd * t.rows) * t.sizes;
        const std::int32_t nearer = odd * LIC_LEVEL_TRELLIS / 2;
        const auto low = static_cast<std::int32_t>((size + static_cast<float>(nearer)) / LIC_LEVEL_TRELLIS);
        Choice of[2];
        const std::int32_t tried[] = {low > 0 ? low - 1 : 0, low, low + 1};
        for (const std::int32_t k : tried) {
            of[k & 1].offer(size, trellis_level(k, odd), k, t.weight[m], bits, t.sizes);
        }
        for (std::int32_t parity = 0; parity < 2; ++parity) {
            cost[static_cast<std::size_t>(odd * 2 + parity) * kTogether + p] = of[parity].cost;
            best[static_cast<std::size_t>(odd * 2 + parity) * kTogether + p] = of[parity].symbol;
        }
    }
}

// One channel's step from `from` to `to`, both (states, kTogether): the cheaper of the two ways into each state where
// the position is in the trellis, no step elsewhere. parity: (states, kTogether), its lowest bits count.
struct Forward {
    LIC_OWN void operator()(const float* from, float* to, const float* cost, const std::uint8_t* in,
                            std::uint8_t* parity) const {
        constexpr unsigned half = kTrellisStates / 2;
        std::int32_t inside[kTogether];
        for (std::size_t p = 0; p < kTogether; ++p) inside[p] = -std::int32_t{in[p]};
        for (std::size_t odd = 0; odd < 2; ++odd) {
            const float *even_cost = cost + odd * 2 * kTogether, *odd_cost = even_cost + kTogether;
            for (std::size_t u = 0; u < half; ++u) {
                const float* a = from + (2 * u + odd) * kTogether;
                const float* b = from + (2 * (u ^ kOddSymbol) + odd) * kTogether;
                const std::size_t target = odd ? u ^ kOddState : u;
                const float* stay = from + target * kTogether;
                float* out = to + target * kTogether;
                std::uint8_t* chosen = parity + target * kTogether;
                for (std::size_t p = 0; p < kTogether; ++p) {
                    const float even = a[p] + even_cost[p], other = b[p] + odd_cost[p],
                                least = other < even ? other : even;
                    out[p] = inside[p] ? least : stay[p];
                    chosen[p] = other < even;
                }
            }
        }
    }
};

template <class Step>
LIC_OWN void search_block(const Sought& t, std::size_t first, const Paths& work, const Step& forward) {
    const std::size_t count = lesser(kTogether, t.n - first);
    float *from = work.cost, *to = from + kPathsWide;
    for (std::size_t i = 0; i < kPathsWide; ++i) from[i] = i < kTogether ? 0.0f : kNever;  // state 0
    float cost[4 * kTogether] = {};
    for (std::size_t p = 0; p < count; ++p) order_channels(t, first + p, p, work);
    for (std::size_t step = 0; step < t.M; ++step) {
        for (std::size_t p = 0; p < count; ++p) choose(t, step, first + p, p, work, cost);
        const std::uint8_t* in = work.in + step * kTogether;
        unsigned any = 0;
        for (std::size_t p = 0; p < count; ++p) any |= in[p];
        if (!any) continue;
        forward(from, to, cost, in, work.parity + step * kPathsWide);
        float* const last = from;
        from = to, to = last;
    }
    for (std::size_t p = 0; p < count; ++p) {
        unsigned state = 0;
        for (unsigned s = 1; s < kTrellisStates; ++s)
            state = from[s * kTogether + p] < from[state * kTogether + p] ? s : state;
        for (std::size_t step = t.M; step-- > 0;) {
            const std::size_t m = work.channel[step * kTogether + p];
            const std::int16_t* best = work.symbol + step * 4 * kTogether + p;
            const bool negative = t.x[m * t.n + first + p] < 0.0f;
            std::int32_t level;
            if (work.in[step * kTogether + p]) {
                const unsigned parity = work.parity[step * kPathsWide + state * kTogether + p] & 1;
                const unsigned odd = state >= kTrellisStates / 2, u = odd ? state ^ kOddState : state;
                level = trellis_level(best[(odd * 2 + parity) * kTogether], static_cast<std::int32_t>(odd));
                state = 2 * (u ^ (parity ? kOddSymbol : 0u)) + odd;
            } else {
                level = plain_level(best[0]);
            }
            t.r[m * t.n + first + p] = static_cast<std::int16_t>(negative ? -level : level);
        }
    }
}

}  // namespace
}  // namespace lic

#endif

// Dependent quantisation: which levels r may take, as the state of a trellis says (FORMAT 7.9), and an encoder's search
// for the cheapest of them. Includes scale_map.h (for the choice of a code path) and the standard library; must not
// include Python.
//
// READ ME FIRST
// - Every latent position has a state of its own, that goes from channel to channel. An even state quantises to
// multiples of 4,
//   an odd one to 0 and the odd multiples of 2; the parity of the symbol leads to the next state. So the levels of
//   neighbouring channels lie on a lattice denser than its rate: trellis-coded quantisation (Marcellin and Fischer
//   1990, entropy-coded: Fischer and Wang 1992; the two quantisers with a zero each: Schwarz et al. 2019, as in VVC),
//   over a systematic feedback code of Ungerboeck's kind (1982) of 128 states with the parity-check polynomials 235 and
//   126, octal. What counts is what it gains, which a test measures.
// - Decoding is integer arithmetic on a channel at a time, without a dependence between positions: plain loops that
// compilers
//   vectorise. The encoder's search is in float and may differ between machines: any path that it finds is a valid one.
// - `levels` and `symbols` are inverse to each other; a test holds `search` against one over Python's integers.
#ifndef LIC_TRELLIS_H
#define LIC_TRELLIS_H

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "lic_constants.h"
#include "scale_map.h"

#if defined(__GNUC__)
#define LIC_TRELLIS_INLINE inline __attribute__((always_inline))  // so that each code path compiles its own
#else
#define LIC_TRELLIS_INLINE inline
#endif

namespace lic {

constexpr unsigned kTrellisStates = LIC_TRELLIS_STATES;
constexpr unsigned kOddState = LIC_TRELLIS_CHECK >> 1, kOddSymbol = LIC_TRELLIS_PATH >> 1;
static_assert(kOddState >= kTrellisStates / 2 && kOddState < kTrellisStates && kOddSymbol < kTrellisStates / 2,
              "`search` finds the two ways into a state by this");

inline unsigned next_state(unsigned state, std::int32_t symbol) {
    return (state >> 1) ^ ((0u - (state & 1)) & kOddState) ^ ((0u - (static_cast<unsigned>(symbol) & 1)) & kOddSymbol);
}

// The level of a symbol: where the index is below `trellis`, and in an even or odd state.
inline std::int32_t plain_level(std::int32_t symbol) { return LIC_LEVEL_PLAIN * symbol; }
inline std::int32_t trellis_level(std::int32_t symbol, std::int32_t odd) {
    return LIC_LEVEL_TRELLIS * symbol - LIC_LEVEL_TRELLIS / 2 * odd * ((symbol > 0) - (symbol < 0));
}

// FORMAT 7.9: the rows (n,) of a channel's positions, coded or not, given their indices and states.
inline void trellis_rows(const std::uint8_t* index, const std::uint8_t* state, std::size_t n, std::int32_t trellis,
                         std::int32_t rows, std::uint8_t* row) {
    for (std::size_t i = 0; i < n; ++i) {
        const int odd = (index[i] >= trellis) & state[i];
        row[i] = static_cast<std::uint8_t>(index[i] + (odd & 1) * rows);
    }
}

// A channel's symbols (n,), 0 where none is coded, to levels in their place; the states move on. Returns whether all
// levels are i16.
inline bool levels(const std::uint8_t* index, std::size_t n, std::int32_t trellis, std::uint8_t* state,
                   std::int16_t* r) {
    std::int32_t beyond = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const bool in = index[i] >= trellis;
        const std::int32_t k = r[i], level = in ? trellis_level(k, state[i] & 1) : plain_level(k);
        beyond |= level - static_cast<std::int16_t>(level);
        state[i] = static_cast<std::uint8_t>(in ? next_state(state[i], k) : state[i]);
        r[i] = static_cast<std::int16_t>(level);
    }
    return beyond == 0;
}

// The inverse. Returns whether every level is one.
inline bool symbols(const std::uint8_t* index, std::size_t n, std::int32_t trellis, std::uint8_t* state,
                    const std::int16_t* r, std::int16_t* k) {
    std::int32_t wrong = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const bool in = index[i] >= trellis;
        const std::int32_t size = std::abs(std::int32_t{r[i]}), odd = in & state[i] & (size > 0);
        const std::int32_t one = in ? LIC_LEVEL_TRELLIS : LIC_LEVEL_PLAIN, whole = size + odd * (LIC_LEVEL_TRELLIS / 2);
        const std::int32_t symbol = whole / one;
        wrong |= whole - symbol * one;
        k[i] = static_cast<std::int16_t>(r[i] < 0 ? -symbol : symbol);
        state[i] = static_cast<std::uint8_t>(in ? next_state(state[i], symbol) : state[i]);
    }
    return wrong == 0;
}

// ---------------------------------------------------------------------------------------------------------------------
// The encoder's search: Viterbi over the channels of `kTogether` positions at once

constexpr std::size_t kTogether = 16;

// What is sought: levels of least (x - level)^2 + weight * bits over all channels, x being (y - mean) / step.
struct Sought {
    const float* x;             // (M, n)
    const std::uint8_t* index;  // (M, n)
    const float* bits;          // (2 * rows, sizes): of a symbol by its size, the last one standing for all larger ones
    const float* weight;        // (M,)
    std::size_t M, n, sizes;
    std::int32_t rows, trellis, skip;
    std::int16_t* r;  // (M, n)
};

// Working memory of `search`, for one thread.
struct Paths {
    static constexpr std::size_t kWide = kTrellisStates * kTogether;
    std::vector<float> cost = std::vector<float>(2 * kWide);
    std::vector<std::uint8_t> parity;  // (M, states, kTogether) of the symbol that led to a state
    std::vector<std::int16_t> symbol;  // (M, 2 quantisers, 2 parities, kTogether) the best of its kind
    std::vector<std::uint8_t> in;      // (M, kTogether) whether the position is in the trellis there
    explicit Paths(std::size_t M) : parity(M * kWide), symbol(M * 4 * kTogether), in(M * kTogether) {}
};

constexpr float kLargest = 32760.0f;

struct Choice {
    float cost = std::numeric_limits<float>::infinity();
    std::int16_t symbol = 0;

    void offer(float x, std::int32_t level, std::int32_t k, float weight, const float* bits, std::size_t sizes) {
        const float d = x - static_cast<float>(level);
        const float c = d * d + weight * bits[std::min(static_cast<std::size_t>(k), sizes - 1)];
        if (c < cost) cost = c, symbol = static_cast<std::int16_t>(k);
    }
};

// The four costs at one position and channel, of symbols even and odd in states even and odd, or of what is not in the
// trellis.
LIC_TRELLIS_INLINE void choose(const Sought& t, std::size_t m, std::size_t i, std::size_t p, Paths& work, float* cost) {
    const std::uint8_t index = t.index[m * t.n + i];
    const float x = t.x[m * t.n + i], size = std::fabs(x) < kLargest ? std::fabs(x) : std::isnan(x) ? 0.0f : kLargest;
    std::int16_t* best = work.symbol.data() + m * 4 * kTogether;
    const bool in = index >= t.trellis && index >= t.skip;
    work.in[m * kTogether + p] = in;
    if (!in) {
        Choice one;
        if (index >= t.skip) {
            const auto low = static_cast<std::int32_t>(size / LIC_LEVEL_PLAIN);
            const float* bits = t.bits + index * t.sizes;
            for (const std::int32_t k : {0, low, low + 1})
                one.offer(size, plain_level(k), k, t.weight[m], bits, t.sizes);
        }
        best[p] = one.symbol;
        return;
    }
    for (std::int32_t odd = 0; odd < 2; ++odd) {
        const float* bits = t.bits + static_cast<std::size_t>(index + odd * t.rows) * t.sizes;
        const auto low =
            static_cast<std::int32_t>((size + static_cast<float>(odd * LIC_LEVEL_TRELLIS / 2)) / LIC_LEVEL_TRELLIS);
        Choice of[2];
        for (const std::int32_t k : {std::max(low - 1, 0), low, low + 1}) {
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
    LIC_TRELLIS_INLINE void operator()(const float* from, float* to, const float* cost, const std::uint8_t* in,
                                       std::uint8_t* parity) const {
        constexpr unsigned half = kTrellisStates / 2;
        std::int32_t inside[kTogether];
        for (std::size_t p = 0; p < kTogether; ++p) inside[p] = -std::int32_t{in[p]};
        for (unsigned odd = 0; odd < 2; ++odd) {
            const float *even_cost = cost + odd * 2 * kTogether, *odd_cost = even_cost + kTogether;
            for (unsigned u = 0; u < half; ++u) {
                const float* a = from + (2 * u + odd) * kTogether;
                const float* b = from + (2 * (u ^ kOddSymbol) + odd) * kTogether;
                const unsigned target = odd ? u ^ kOddState : u;
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
LIC_TRELLIS_INLINE void search_block(const Sought& t, std::size_t first, Paths& work, const Step& forward) {
    const std::size_t count = std::min(kTogether, t.n - first);
    float *from = work.cost.data(), *to = from + Paths::kWide;
    std::fill_n(from, Paths::kWide, std::numeric_limits<float>::infinity());
    std::fill_n(from, kTogether, 0.0f);  // state 0
    float cost[4 * kTogether] = {};
    for (std::size_t m = 0; m < t.M; ++m) {
        for (std::size_t p = 0; p < count; ++p) choose(t, m, first + p, p, work, cost);
        const std::uint8_t* in = work.in.data() + m * kTogether;
        if (std::count(in, in + count, std::uint8_t{1}) == 0) continue;
        forward(from, to, cost, in, work.parity.data() + m * Paths::kWide);
        std::swap(from, to);
    }
    for (std::size_t p = 0; p < count; ++p) {
        unsigned state = 0;
        for (unsigned s = 1; s < kTrellisStates; ++s)
            state = from[s * kTogether + p] < from[state * kTogether + p] ? s : state;
        for (std::size_t m = t.M; m-- > 0;) {
            const std::int16_t* best = work.symbol.data() + m * 4 * kTogether + p;
            const bool negative = t.x[m * t.n + first + p] < 0.0f;
            std::int32_t level;
            if (work.in[m * kTogether + p]) {
                const unsigned parity = work.parity[m * Paths::kWide + state * kTogether + p] & 1;
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

#if LIC_X86
#define LIC_TARGET_TRELLIS __attribute__((target("avx512f,avx512bw,avx512vl")))

struct Forward512 {  // all positions in one register
    LIC_TARGET_TRELLIS void operator()(const float* from, float* to, const float* cost, const std::uint8_t* in,
                                       std::uint8_t* parity) const {
        static_assert(kTogether == 16, "floats of a register");
        const __mmask16 inside =
            _mm_test_epi8_mask(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in)), _mm_set1_epi8(1));
        for (unsigned odd = 0; odd < 2; ++odd) {
            const __m512 even_cost = _mm512_loadu_ps(cost + odd * 2 * kTogether),
                         odd_cost = _mm512_loadu_ps(cost + (odd * 2 + 1) * kTogether);
            for (unsigned u = 0; u < kTrellisStates / 2; ++u) {
                const unsigned target = odd ? u ^ kOddState : u;
                const __m512 even = _mm512_add_ps(_mm512_loadu_ps(from + (2 * u + odd) * kTogether), even_cost);
                const __m512 other =
                    _mm512_add_ps(_mm512_loadu_ps(from + (2 * (u ^ kOddSymbol) + odd) * kTogether), odd_cost);
                const __mmask16 chosen = _mm512_cmp_ps_mask(other, even, _CMP_LT_OQ);
                const __m512 least = _mm512_mask_mov_ps(even, chosen, other);
                _mm512_storeu_ps(to + target * kTogether,
                                 _mm512_mask_mov_ps(_mm512_loadu_ps(from + target * kTogether), inside, least));
                _mm_storeu_si128(reinterpret_cast<__m128i*>(parity + target * kTogether), _mm_movm_epi8(chosen));
            }
        }
    }
};

LIC_TARGET_TRELLIS inline void search_avx512(const Sought& t, std::size_t first, Paths& work) {
    search_block(t, first, work, Forward512{});
}
__attribute__((target("avx2"))) inline void search_avx2(const Sought& t, std::size_t first, Paths& work) {
    search_block(t, first, work, Forward{});
}
#endif

inline void search_anywhere(const Sought& t, std::size_t first, Paths& work) {
    search_block(t, first, work, Forward{});
}

// `work` is for one thread at a time.
inline void search(const Sought& t, Paths& work) {
    auto* block = search_anywhere;
#if LIC_X86
    const Simd level = simd_in_use().load(std::memory_order_relaxed);
    if (level == Simd::avx2 || level == Simd::avx512) block = search_avx2;
    if (level == Simd::avx512 && vbmi2_supported()) block = search_avx512;  // which tells of VL
#endif
    for (std::size_t first = 0; first < t.n; first += kTogether) block(t, first, work);
}

}  // namespace lic

#endif

// r as levels of dependent quantisation (FORMAT 7.9): read, write, price, quantise.
// Includes bits.h, kind.h, pack.h, trellis_search.h, scale_map.h for the shape, and the standard library; must not
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
// - `trellis_levels` and `trellis_symbols` are inverse to each other; a test holds `search` against one over Python's
//   integers.
#ifndef LIC_TRELLIS_H
#define LIC_TRELLIS_H

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "../scale_map.h"
#include "bits.h"
#include "kind.h"
#include "pack.h"
#include "trellis_rules.h"
#include "trellis_search.h"

namespace lic {

// FORMAT 7.9: the rows (n,) of a channel's positions, coded or not, given their indices and states.
inline void trellis_rows(const std::uint8_t* index, const std::uint8_t* state, std::size_t n, std::int32_t trellis,
                         std::int32_t rows, std::uint8_t* row) {
    for (std::size_t i = 0; i < n; ++i) {
        const int odd = (index[i] >= trellis) & state[i];
        row[i] = static_cast<std::uint8_t>(index[i] + (odd & 1) * rows);
    }
}

// A channel's symbols (n,), where the index is in the range, to levels in their place; the states move on. Returns
// whether all levels are i16.
inline bool trellis_levels(const std::uint8_t* index, std::size_t n, std::int32_t trellis, const IndexRange& range,
                           std::uint8_t* state, std::int16_t* r) {
    std::int32_t beyond = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const bool here = (index[i] >= range.low) & (index[i] <= range.high), in = here & (index[i] >= trellis);
        const std::int32_t k = r[i], level = in ? trellis_level(k, state[i] & 1) : here ? plain_level(k) : k;
        beyond |= level - static_cast<std::int16_t>(level);
        state[i] = static_cast<std::uint8_t>(in ? next_state(state[i], k) : state[i]);
        r[i] = static_cast<std::int16_t>(level);
    }
    return beyond == 0;
}

// The inverse, all positions taken for those of one stage unless a range says which are. Returns whether every level of
// it is one.
inline bool trellis_symbols(const std::uint8_t* index, std::size_t n, std::int32_t trellis, const IndexRange& range,
                            std::uint8_t* state, const std::int16_t* r, std::int16_t* k) {
    std::int32_t wrong = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const bool here = (index[i] >= range.low) & (index[i] <= range.high), in = here & (index[i] >= trellis);
        const std::int32_t size = std::abs(std::int32_t{r[i]}), odd = in & state[i] & (size > 0);
        const std::int32_t one = in ? LIC_LEVEL_TRELLIS : LIC_LEVEL_PLAIN, whole = size + odd * (LIC_LEVEL_TRELLIS / 2);
        const std::int32_t symbol = whole / one;
        wrong |= here ? whole - symbol * one : 0;
        k[i] = static_cast<std::int16_t>(r[i] < 0 ? -symbol : symbol);
        state[i] = static_cast<std::uint8_t>(in ? next_state(state[i], symbol) : state[i]);
    }
    return wrong == 0;
}

class Trellis {
 public:
    Trellis(const Bank& bank, std::int32_t rows, std::int32_t skip, std::int32_t first);

    static const char* name() { return "trellis"; }
    static constexpr bool kTakesIntervals = false;
    static constexpr std::array<const char*, 1> kArrays{"trellis"};
    static bool holds(const Tables& tables) { return tables.has("trellis"); }
    static KindSizes sizes(const Tables& tables, const Numbers& n);
    static Trellis made(const KindParts& parts);

    std::size_t planes() const { return 1; }
    std::int32_t unit() const { return LIC_LEVEL_PLAIN; }
    std::int32_t spacing(std::int32_t row) const { return row < first_ ? LIC_LEVEL_PLAIN : LIC_LEVEL_TRELLIS; }
    std::int32_t values() const { return rows_; }
    std::int32_t scale_rows() const { return 2 * rows_; }

    struct Work {
        std::unique_ptr<std::uint8_t[]> rows;    // (r_size + 1,) the row of every r of a run, of an encoder of all
        std::unique_ptr<std::int16_t[]> coded;   // (r_size + kOverread,) their symbols
        std::unique_ptr<std::uint8_t[]> state;   // (h, w) and behind it (h, w) the rows of a channel
        std::unique_ptr<std::int16_t[]> symbol;  // of an encoder: (h, w) those of a channel
        std::vector<std::size_t> runs;           // of an encoder: (stages, M) where each run ends
        explicit Work(const Shape& s)
            : rows(new std::uint8_t[s.r_size() + 1]),  // one more: gather writes before it knows whether it is meant
              coded(new std::int16_t[s.r_size() + kOverread]{}),
              state(new std::uint8_t[2 * s.h * s.w]{}),
              symbol(new std::int16_t[s.h * s.w]) {}
    };

    std::int32_t skip() const { return skip_; }
    bool staged() const { return true; }

    // A stage of r (M, h, w), a run for each channel, its symbols into the checksum; r is 0 before the first. Where
    // words end, what they tell.
    template <class Coder>
    Status read(Reader& in, const Bank& bank, const Shape& s, const IndexRange& range, const std::uint8_t* index,
                Work& work, std::int16_t* r, Checksum& sum) const {
        const std::size_t n = s.h * s.w;
        std::uint8_t *state = work.state.get(), *row = state + n, *rows = work.rows.get();
        std::int16_t* coded = work.coded.get();
        for (std::size_t m = 0; m < s.M; ++m, index += n, r += n) {
            trellis_rows(index, state, n, first_, rows_, row);
            const std::size_t count = compact(index, row, n, range, rows);
            if (count == 0) continue;
            const Status status = Coder::read(in, bank, static_cast<const std::uint8_t*>(rows), count, coded);
            if (status != Status::ok && status != Status::words_end) return status;
            sum.add(coded, count);
            expand(index, n, range, coded, r);
            if (!trellis_levels(index, n, first_, range, state, r)) return Status::symbol_range;
            if (status != Status::ok) return status;
        }
        return Status::ok;
    }

    // The other way, in two steps: the symbols of r and their checksum; then, the writer made ready, their runs, stage
    // after stage from the last.
    Status gather(const Shape& s, const Stages& stages, const std::uint8_t* index, const std::int16_t* r, Work& work,
                  Checksum& sum) const {
        const std::size_t n = s.h * s.w;
        for (std::size_t i = 0; i < s.r_size(); ++i) {
            if (index[i] < skip_ && r[i] != 0) return Status::skipped_not_zero;
        }
        std::uint8_t *state = work.state.get(), *row = state + n;
        std::int16_t* k = work.symbol.get();
        std::size_t at = 0;
        for (std::size_t stage = 0; stage < stages.count; ++stage) {
            const IndexRange range = stages.range(stage, skip_);
            for (std::size_t m = 0; m < s.M; ++m) {
                const std::uint8_t* of = index + m * n;
                trellis_rows(of, state, n, first_, rows_, row);
                if (!trellis_symbols(of, n, first_, range, state, r + m * n, k)) return Status::no_level;
                for (std::size_t i = 0; i < n; ++i) {
                    work.rows[at] = row[i], work.coded[at] = k[i];
                    at += range.holds(of[i]);
                }
                work.runs.push_back(at);
            }
        }
        sum.add(work.coded.get(), at);
        return Status::ok;
    }

    template <class Coder>
    void write(Writer& to, const Bank& bank, const Shape& s, std::size_t stage, const std::uint8_t*,
               const std::int16_t*, const Work& work) const {
        for (std::size_t run = (stage + 1) * s.M; run-- > stage * s.M;) {
            const std::size_t at = run == 0 ? 0 : work.runs[run - 1];
            Coder::write(to, bank, static_cast<const std::uint8_t*>(work.rows.get() + at), work.coded.get() + at,
                         work.runs[run] - at);
        }
    }

    // Bits of levels r (M, n) in these stages. An index is clamped to the rows, here and below.
    Status price(const Coded& t, double& bits) const;

    // The symbol of each level and its row, for those who count them.
    Status symbols(const Coded& t, std::int16_t* symbol, std::uint8_t* row) const;

    // Levels of least squared error and bits, over all channels of a position together, in the order of their stages.
    void quantise(const Unquantised& t) const;

 private:
    std::int32_t rows_, skip_, first_;  // first_: the scale index from which r is quantised dependently
    std::vector<float> sizes_;          // (2 rows, kPriced + 1) bits of a symbol by its size
};

}  // namespace lic

#endif

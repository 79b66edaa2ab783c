// r as symbols under rows of the bank (FORMAT 7.6): read, write, price, quantise.
// Includes bits.h, kind.h, pack.h, scale_map.h for the shape, and the standard library; must not include Python.
#ifndef LIC_GAUSSIAN_H
#define LIC_GAUSSIAN_H

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "../scale_map.h"
#include "bits.h"
#include "kind.h"
#include "pack.h"

namespace lic {

class Gaussian {
 public:
    Gaussian(const Bank& bank, std::int32_t rows, std::int32_t skip) : rows_(rows), skip_(skip) {
        const auto count = static_cast<std::size_t>(rows);
        bits_ = symbol_bits(bank, count);
        for (std::size_t row = 0; row < count; ++row) {
            for (std::int32_t q : {0, 1}) more_.push_back(step_bits(bank, row, q - bank.first(row)));
        }
    }

    static const char* name() { return "gaussian"; }
    static constexpr bool kTakesIntervals = false;
    static constexpr std::array<const char*, 0> kArrays{};
    static bool holds(const Tables&) { return true; }
    static KindSizes sizes(const Tables&, const Numbers& n) { return {static_cast<std::size_t>(n.rows), 1}; }
    static Gaussian made(const KindParts& parts) { return {parts.bank, parts.rows(), parts.skip()}; }

    std::size_t planes() const { return 1; }                // of the map, for each channel of r
    std::int32_t unit() const { return 1; }                 // what r is made of: as many to a step of the network
    std::int32_t spacing(std::int32_t) const { return 1; }  // from one level of r to the next, under a scale
    std::int32_t values() const { return rows_; }           // that the map may yield
    std::int32_t scale_rows() const { return rows_; }       // of the bank, before those of z

    struct Work {
        std::unique_ptr<std::uint8_t[]> rows;   // (r_size,) the row of every r of a stage, of an encoder of all of them
        std::unique_ptr<std::int16_t[]> coded;  // (r_size + kOverread,) those r
        std::size_t ends[LIC_STAGES_MAX] = {};  // of an encoder: where each stage's end
        explicit Work(const Shape& s)
            : rows(new std::uint8_t[s.r_size()]), coded(new std::int16_t[s.r_size() + kOverread]{}) {}
    };

    std::int32_t skip() const { return skip_; }
    bool staged() const { return true; }  // whether there may be more stages than one

    // A stage of r (M, h, w), one run, its symbols into the checksum; r is 0 before the first. Where words end, what
    // they tell.
    template <class Coder>
    Status read(Reader& in, const Bank& bank, const Shape& s, const IndexRange& range, const std::uint8_t* index,
                Work& work, std::int16_t* r, Checksum& sum) const {
        const std::size_t n = compact(index, index, s.r_size(), range, work.rows.get());
        const Status status =
            Coder::read(in, bank, static_cast<const std::uint8_t*>(work.rows.get()), n, work.coded.get());
        if (status != Status::ok && status != Status::words_end) return status;
        expand(index, s.r_size(), range, work.coded.get(), r);
        sum.add(work.coded.get(), n);
        return status;
    }

    // The other way, in two steps: what is coded, and its checksum; then, the writer made ready, stage after stage from
    // the last.
    Status gather(const Shape& s, const Stages& stages, const std::uint8_t* index, const std::int16_t* r, Work& work,
                  Checksum& sum) const {
        std::size_t n = 0;
        for (std::size_t k = 0; k < stages.count; ++k) {
            const IndexRange range = stages.range(k, skip_);
            for (std::size_t i = 0; i < s.r_size(); ++i) {
                if (!range.holds(index[i])) continue;
                work.rows[n] = index[i], work.coded[n] = r[i], ++n;
            }
            work.ends[k] = n;
        }
        sum.add(work.coded.get(), n);
        for (std::size_t i = 0; i < s.r_size(); ++i) {
            if (index[i] < skip_ && r[i] != 0) return Status::skipped_not_zero;
        }
        return Status::ok;
    }

    template <class Coder>
    void write(Writer& to, const Bank& bank, const Shape&, std::size_t stage, const std::uint8_t*, const std::int16_t*,
               const Work& work) const {
        const std::size_t at = stage == 0 ? 0 : work.ends[stage - 1];
        Coder::write(to, bank, static_cast<const std::uint8_t*>(work.rows.get() + at), work.coded.get() + at,
                     work.ends[stage] - at);
    }

    // Bits of r (M, n), whatever their stages.
    Status price(const Coded& t, double& bits) const {
        bits = 0.0;
        for (std::size_t i = 0; i < t.M * t.n; ++i) {
            const std::size_t row = std::min<std::int32_t>(t.index[i], rows_ - 1);
            const auto at = static_cast<std::size_t>(std::clamp<std::int32_t>(t.r[i], -kPriced, kPriced) + kPriced);
            if (t.index[i] >= skip_) bits += bits_[row * kPrices + at];
        }
        return Status::ok;
    }

    // The symbol of each r and its row, for those who count them.
    Status symbols(const Coded& t, std::int16_t* symbol, std::uint8_t* row) const {
        std::copy(t.r, t.r + t.M * t.n, symbol);
        std::transform(t.index, t.index + t.M * t.n, row, [this](std::uint8_t i) {
            return static_cast<std::uint8_t>(std::min<std::int32_t>(i, rows_ - 1));
        });
        return Status::ok;
    }

    // Rate-distortion optimal between two neighbours q and q + 1 of a size q + d: up when d^2 + w bits(q) exceeds
    // (1 - d)^2 + w bits(q + 1), that is d > (1 + w (bits(q + 1) - bits(q))) / 2.
    void quantise(const Unquantised& t) const {
        for (std::size_t i = 0; i < t.M * t.n; ++i) {
            const std::size_t row = std::min<std::int32_t>(t.index[i], rows_ - 1);
            const float x = std::isnan(t.x[i]) ? 0.0f : t.x[i], size = std::fabs(x);
            float whole = std::floor(size);
            const float more = more_[2 * row + (whole < 1.0f ? 0 : 1)];
            const float threshold = 0.5f * (1.0f + t.weight[i / t.n] * more);
            if (size - whole > std::min(threshold, 0.95f)) whole += 1.0f;
            if (t.index[i] < skip_) whole = 0.0f;
            const float signed_whole = std::copysign(whole, x);
            t.r[i] = static_cast<std::int16_t>(
                std::clamp(signed_whole, static_cast<float>(LIC_SYMBOL_MIN), static_cast<float>(LIC_SYMBOL_MAX)));
        }
    }

 private:
    // How many bits more the symbol behind a row's place costs than that at it: 0 where it lists either not.
    static float step_bits(const Bank& bank, std::size_t row, std::int32_t place) {
        if (place < 0 || place + 1 >= static_cast<std::int32_t>(bank.last(row))) return 0.0f;
        const auto at = static_cast<std::uint32_t>(place);
        return static_cast<float>(
            std::max(0.0, bits_of(bank.coding(row, at + 1).freq) - bits_of(bank.coding(row, at).freq)));
    }

    std::int32_t rows_, skip_;
    std::vector<float> bits_;  // (rows, kPrices)
    std::vector<float> more_;  // (rows, 2) 1 after 0, and 2 after 1, which stands for all further steps
};

}  // namespace lic

#endif

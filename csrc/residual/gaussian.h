// r as symbols under rows of the bank (FORMAT 7.6): read, write, price, quantise.
// Includes bits.h, pack.h, scale_map.h for the shape, and the standard library; must not include Python.
#ifndef LIC_GAUSSIAN_H
#define LIC_GAUSSIAN_H

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "../scale_map.h"
#include "bits.h"
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
    std::size_t planes() const { return 1; }           // of the map, for each channel of r
    std::int32_t values() const { return rows_; }      // that the map may yield
    std::int32_t scale_rows() const { return rows_; }  // of the bank, before those of z

    struct Work {
        std::unique_ptr<std::uint8_t[]> rows;   // (r_size,) the row of every r that is coded
        std::unique_ptr<std::int16_t[]> coded;  // (r_size + kOverread,) every r that is coded
        std::size_t count = 0;                  // of them, in an encoder
        explicit Work(const Shape& s)
            : rows(new std::uint8_t[s.r_size()]), coded(new std::int16_t[s.r_size() + kOverread]{}) {}
    };

    // r (M, h, w) from the last run, all of it into the checksum.
    template <class Coder>
    Status read(Reader& in, const Bank& bank, const Shape& s, const std::uint8_t* index, Work& work, std::int16_t* r,
                Checksum& sum) const {
        const std::uint8_t* rows = work.rows.get();
        const std::size_t n = compact(index, s.r_size(), skip_, work.rows.get());
        const Status status = Coder::read(in, bank, rows, n, work.coded.get());
        if (status == Status::ok) expand(index, s.r_size(), skip_, work.coded.get(), r, sum);
        return status;
    }

    // The other way, in two steps: what is coded and the checksum of all; then, the writer made ready, the run.
    Status gather(const Shape& s, const std::uint8_t* index, const std::int16_t* r, Work& work, Checksum& sum) const {
        std::size_t n = 0;
        std::int32_t skipped = 0;
        for (std::size_t i = 0; i < s.r_size(); ++i) {
            const bool keep = index[i] >= skip_;
            work.rows[n] = index[i];
            work.coded[n] = r[i];
            skipped |= keep ? 0 : r[i];
            n += keep;
        }
        work.count = n;
        sum.add(r, s.r_size());
        return skipped ? Status::skipped_not_zero : Status::ok;
    }

    template <class Coder>
    void write(Writer& to, const Bank& bank, const Shape&, const std::uint8_t*, const std::int16_t*,
               const Work& work) const {
        Coder::write(to, bank, static_cast<const std::uint8_t*>(work.rows.get()), work.coded.get(), work.count);
    }

    // Bits of r (M, n).
    Status price(const std::int16_t* r, const std::uint8_t* index, std::size_t M, std::size_t n, double& bits) const {
        bits = 0.0;
        for (std::size_t i = 0; i < M * n; ++i) {
            const std::size_t row = std::min<std::int32_t>(index[i], rows_ - 1);
            const auto at = static_cast<std::size_t>(std::clamp<std::int32_t>(r[i], -kPriced, kPriced) + kPriced);
            if (index[i] >= skip_) bits += bits_[row * kPrices + at];
        }
        return Status::ok;
    }

    // The symbol of each r and its row, for those who count them.
    Status symbols(const std::int16_t* r, const std::uint8_t* index, std::size_t M, std::size_t n, std::int16_t* symbol,
                   std::uint8_t* row) const {
        std::copy(r, r + M * n, symbol);
        std::transform(index, index + M * n, row, [this](std::uint8_t i) {
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

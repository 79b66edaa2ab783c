// See trellis.h.
#include "trellis.h"

#include "../cpu.h"
#include "trellis_block.h"

namespace lic {
namespace {

constexpr std::size_t kSizes = kPriced + 1;

// The rows and symbols of a channel's levels r (n,), the states moving on. Returns whether every level is one.
class Walk {
 public:
    Walk(std::size_t n, std::int32_t first, std::int32_t rows) : first_(first), rows_(rows), state_(n), index_(n) {}

    bool channel(const std::int16_t* r, const std::uint8_t* index, std::int16_t* symbol, std::uint8_t* row) {
        const std::size_t n = state_.size();
        const auto most = static_cast<std::uint8_t>(rows_ - 1);
        for (std::size_t i = 0; i < n; ++i) index_[i] = std::min(index[i], most);
        trellis_rows(index_.data(), state_.data(), n, first_, rows_, row);
        return trellis_symbols(index_.data(), n, first_, state_.data(), r, symbol);
    }

 private:
    std::int32_t first_, rows_;
    std::vector<std::uint8_t> state_, index_;
};

}  // namespace

Trellis::Trellis(const Bank& bank, std::int32_t rows, std::int32_t skip, std::int32_t first)
    : rows_(rows), skip_(skip), first_(first) {
    const std::vector<float> bits = symbol_bits(bank, 2 * static_cast<std::size_t>(rows));
    for (std::size_t at = kPriced; at < bits.size(); at += kPrices) {
        sizes_.insert(sizes_.end(), bits.begin() + static_cast<std::ptrdiff_t>(at),
                      bits.begin() + static_cast<std::ptrdiff_t>(at + kSizes));
    }
}

Status Trellis::price(const std::int16_t* r, const std::uint8_t* index, std::size_t M, std::size_t n,
                      double& bits) const {
    std::vector<std::int16_t> symbol(n);
    std::vector<std::uint8_t> row(n);
    Walk walk(n, first_, rows_);
    bits = 0.0;
    for (std::size_t m = 0; m < M; ++m, r += n, index += n) {
        if (!walk.channel(r, index, symbol.data(), row.data())) return Status::no_level;
        for (std::size_t i = 0; i < n; ++i) {
            const auto size = static_cast<std::size_t>(std::min<std::int32_t>(std::abs(symbol[i]), kPriced));
            if (index[i] >= skip_) bits += sizes_[row[i] * kSizes + size];
        }
    }
    return Status::ok;
}

Status Trellis::symbols(const std::int16_t* r, const std::uint8_t* index, std::size_t M, std::size_t n,
                        std::int16_t* symbol, std::uint8_t* row) const {
    Walk walk(n, first_, rows_);
    bool fine = true;
    for (std::size_t m = 0; m < M; ++m) fine &= walk.channel(r + m * n, index + m * n, symbol + m * n, row + m * n);
    return fine ? Status::ok : Status::no_level;
}

void Trellis::quantise(const Unquantised& t) const {
    // A copy: an index is looked up by, and the caller's may change while we work.
    const auto most = static_cast<std::uint8_t>(rows_ - 1);
    std::vector<std::uint8_t> index(t.M * t.n);
    std::transform(t.index, t.index + t.M * t.n, index.begin(), [most](std::uint8_t i) { return std::min(i, most); });
    search({t.x, index.data(), sizes_.data(), t.weight, t.M, t.n, kSizes, rows_, first_, skip_, t.r});
}

void search_block_scalar(const Sought& t, std::size_t first, const Paths& work) {
    search_block(t, first, work, Forward{});
}

void search(const Sought& t) {
    std::vector<float> cost(2 * kPathsWide);
    std::vector<std::uint8_t> parity(t.M * kPathsWide), in(t.M * kTogether);
    std::vector<std::int16_t> symbol(t.M * 4 * kTogether);
    const Paths work{cost.data(), parity.data(), symbol.data(), in.data()};
    auto* block = search_block_scalar;
#if LIC_X86
    const Simd level = simd_level();
    if (level == Simd::avx2) block = search_block_avx2;
    if (level == Simd::avx512) block = search_block_avx512;
#endif
    for (std::size_t first = 0; first < t.n; first += kTogether) block(t, first, work);
}

}  // namespace lic

// See trellis.h.
#include "trellis.h"

#include "../cpu.h"
#include "trellis_block.h"

namespace lic {
namespace {

constexpr std::size_t kSizes = kPriced + 1;

std::int32_t first_of(const Tables& tables) { return tables.copy<std::int32_t>("trellis", {1})[0]; }

// Calls visit(channel, the range of its stage, indices (n,), symbols (n,), rows (n,)) for every channel of every stage.
// Returns whether every level is one.
template <class Visit>
bool walk(const Coded& t, std::int32_t first, std::int32_t rows, const Visit& visit) {
    const std::size_t n = t.n;
    std::vector<std::uint8_t> state(n), index(n), row(n);
    std::vector<std::int16_t> symbol(n);
    const auto most = static_cast<std::uint8_t>(rows - 1);
    bool fine = true;
    for (std::size_t stage = 0; stage < t.stages.count; ++stage) {
        const IndexRange range = t.stages.range(stage, 0);
        for (std::size_t m = 0; m < t.M; ++m) {
            for (std::size_t i = 0; i < n; ++i) index[i] = std::min(t.index[m * n + i], most);
            trellis_rows(index.data(), state.data(), n, first, rows, row.data());
            fine &= trellis_symbols(index.data(), n, first, range, state.data(), t.r + m * n, symbol.data());
            visit(m, range, index.data(), symbol.data(), row.data());
        }
    }
    return fine;
}

}  // namespace

KindSizes Trellis::sizes(const Tables& tables, const Numbers& n) {
    const std::int32_t first = first_of(tables);
    if (first < n.skip || first > n.rows || 2 * n.rows > kByteValues) {
        throw BadModel("trellis is " + std::to_string(first) + ", want skip = " + std::to_string(n.skip) +
                       " to rows = " + std::to_string(n.rows) + ", and those at most " +
                       std::to_string(kByteValues / 2));
    }
    return {2 * static_cast<std::size_t>(n.rows), 1};
}

Trellis Trellis::made(const KindParts& parts) {
    return {parts.bank, parts.rows(), parts.skip(), first_of(parts.tables)};
}

Trellis::Trellis(const Bank& bank, std::int32_t rows, std::int32_t skip, std::int32_t first)
    : rows_(rows), skip_(skip), first_(first) {
    const std::vector<float> bits = symbol_bits(bank, 2 * static_cast<std::size_t>(rows));
    for (std::size_t at = kPriced; at < bits.size(); at += kPrices) {
        sizes_.insert(sizes_.end(), bits.begin() + static_cast<std::ptrdiff_t>(at),
                      bits.begin() + static_cast<std::ptrdiff_t>(at + kSizes));
    }
}

Status Trellis::price(const Coded& t, double& bits) const {
    bits = 0.0;
    const bool fine = walk(t, first_, rows_,
                           [&](std::size_t, const IndexRange& range, const std::uint8_t* index,
                               const std::int16_t* symbol, const std::uint8_t* row) {
                               for (std::size_t i = 0; i < t.n; ++i) {
                                   const auto size =
                                       static_cast<std::size_t>(std::min<std::int32_t>(std::abs(symbol[i]), kPriced));
                                   if (index[i] >= skip_ && range.holds(index[i]))
                                       bits += sizes_[row[i] * kSizes + size];
                               }
                           });
    return fine ? Status::ok : Status::no_level;
}

Status Trellis::symbols(const Coded& t, std::int16_t* symbol, std::uint8_t* row) const {
    const bool fine = walk(t, first_, rows_,
                           [&](std::size_t m, const IndexRange& range, const std::uint8_t* index,
                               const std::int16_t* found, const std::uint8_t* under) {
                               for (std::size_t i = 0; i < t.n; ++i) {
                                   if (range.holds(index[i]))
                                       symbol[m * t.n + i] = found[i], row[m * t.n + i] = under[i];
                               }
                           });
    return fine ? Status::ok : Status::no_level;
}

void Trellis::quantise(const Unquantised& t) const {
    // A copy: an index is looked up by, and the caller's may change while we work.
    const auto most = static_cast<std::uint8_t>(rows_ - 1);
    std::vector<std::uint8_t> index(t.M * t.n);
    std::transform(t.index, t.index + t.M * t.n, index.begin(), [most](std::uint8_t i) { return std::min(i, most); });
    search({t.x, index.data(), sizes_.data(), t.weight, t.M, t.n, kSizes, rows_, first_, skip_, t.r, t.stages.least,
            t.stages.count});
}

void search_block_scalar(const Sought& t, std::size_t first, const Paths& work) {
    search_block(t, first, work, Forward{});
}

void search(const Sought& t) {
    std::vector<float> cost(2 * kPathsWide);
    std::vector<std::uint8_t> parity(t.M * kPathsWide), in(t.M * kTogether);
    std::vector<std::int16_t> symbol(t.M * 4 * kTogether);
    std::vector<std::uint16_t> channel(t.M * kTogether);
    const Paths work{cost.data(), parity.data(), symbol.data(), in.data(), channel.data()};
    auto* block = search_block_scalar;
#if LIC_X86
    const Simd level = simd_level();
    if (level == Simd::avx2) block = search_block_avx2;
    if (level == Simd::avx512) block = search_block_avx512;
#endif
    for (std::size_t first = 0; first < t.n; first += kTogether) block(t, first, work);
}

}  // namespace lic

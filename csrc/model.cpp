// See model.h: the checks of FORMAT 9.2 first, then 7.1, then what a residual kind is asked for.
#include "model.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <type_traits>
#include <utility>

namespace lic {
namespace {

Numbers checked(const Numbers& n) {
    const std::int64_t values[] = {n.latent, n.hyper, n.points, n.rows, n.skip};
    for (std::size_t i = 0; i < std::size(values); ++i) {
        const Limit& limit = kLimits[i];
        if (values[i] < limit.low || values[i] > limit.high) {
            throw BadModel(between(limit.name, values[i], limit.low, limit.high));
        }
    }
    if (n.skip > n.rows) {
        throw BadModel("skip is " + std::to_string(n.skip) + ", want at most rows = " + std::to_string(n.rows));
    }
    return n;
}

// ---------------------------------------------------------------------------------------------------------------------
// z's levels, the bank, the map, and what quality changes

std::vector<std::uint16_t> levels_of(const Tables& tables, std::size_t P, std::size_t C) {
    if (!tables.has("z_level")) return {};
    std::vector<std::uint16_t> values = tables.copy<std::uint16_t>("z_level", {P, C, Length{}});
    const std::size_t columns = values.size() / (P * C);
    if (columns < 1 || columns >= LIC_LEVELS_MAX) {
        throw BadModel("z_level has " + std::to_string(columns) + " columns, want 1 to " +
                       std::to_string(LIC_LEVELS_MAX - 1));
    }
    return values;
}

// Whether z's rows depend on neighbours, FORMAT 7.4.
std::size_t classes_of(const Tables& tables) {
    if (!tables.has("z_near")) return 1;
    const std::int32_t classes = tables.copy<std::int32_t>("z_near", {1})[0];
    if (classes != LIC_NEIGHBOUR_CLASSES) {
        throw BadModel("z_near is " + std::to_string(classes) + ", want " + std::to_string(LIC_NEIGHBOUR_CLASSES));
    }
    return LIC_NEIGHBOUR_CLASSES;
}

// Those of the scales and those of z, one behind the other in the same arrays.
Banks banks_of(const Tables& tables, std::size_t scales, std::size_t z) {
    const std::size_t rows = scales + z;
    if (rows > LIC_BANK_ROWS_MAX) {
        throw BadModel("the bank has " + std::to_string(rows) + " rows, want at most " +
                       std::to_string(LIC_BANK_ROWS_MAX));
    }
    const auto freq = tables.copy<std::uint16_t>("freq", {Length{}});
    const auto count = tables.copy<std::int32_t>("count", {rows});
    const auto first = tables.copy<std::int16_t>("first", {rows});
    std::size_t split = 0;  // where z's frequencies begin; a count that is none is found below
    for (std::size_t k = 0; k < scales; ++k) {
        split += static_cast<std::size_t>(std::clamp<std::int32_t>(count[k], 0, LIC_ROW_MAX));
    }
    split = std::min(split, freq.size());
    const auto check = [](const std::optional<RowFault>& fault, std::size_t before) {
        if (fault) throw BadModel("row " + std::to_string(before + fault->row) + " of the bank: " + fault->what);
    };
    Banks banks;
    check(banks.scales.build(freq.data(), split, count.data(), first.data(), scales), 0);
    check(banks.z.build(freq.data() + split, freq.size() - split, count.data() + scales, first.data() + scales, z),
          scales);
    return banks;
}

[[noreturn]] void beyond(const std::string& what) {
    throw BadModel(what + ": a weight is beyond +-" + std::to_string(LIC_WEIGHT_MAX) + " or an offset beyond +-" +
                   std::to_string(LIC_BIAS_MAX));
}

ScaleMap map_of(const Tables& tables, std::size_t channels, std::size_t C) {
    ScaleMap map;
    std::size_t inputs = C;
    for (std::size_t n = 1; tables.has("hidden" + std::to_string(n) + "_weight"); ++n) {
        const std::string name = "hidden" + std::to_string(n);
        const Array& array = tables.found<std::int16_t>(name + "_weight", {Length{}, inputs});
        const std::size_t outputs = array.shape[0];
        if (outputs < 1 || outputs > LIC_CHANNELS_MAX) {
            throw BadModel(name + "_weight has " + std::to_string(outputs) + " rows, want 1 to " +
                           std::to_string(LIC_CHANNELS_MAX));
        }
        const auto weight = tables.copy<std::int16_t>(name + "_weight", {outputs, inputs});
        const auto offset = tables.copy<std::int32_t>(name + "_offset", {outputs});
        if (!map.add_layer(weight.data(), offset.data(), outputs, inputs)) beyond(name);
        inputs = outputs;
    }
    const auto weight = tables.copy<std::int16_t>("weight", {kCell * channels, inputs});
    const auto offset = tables.copy<std::int32_t>("offset", {kCell * channels});
    if (!map.build(weight.data(), offset.data(), channels, inputs)) beyond("the map");
    return map;
}

std::vector<std::int32_t> bias_of(const Tables& tables, std::size_t P, std::size_t channels) {
    std::vector<std::int32_t> bias = tables.copy<std::int32_t>("bias", {P, channels});
    for (const std::int32_t value : bias) {
        if (value < -LIC_BIAS_MAX || value > LIC_BIAS_MAX) {
            throw BadModel("bias holds a value beyond +-" + std::to_string(LIC_BIAS_MAX));
        }
    }
    return bias;
}

std::vector<std::uint8_t> step_of(const Tables& tables, std::size_t P, std::size_t C) {
    std::vector<std::uint8_t> step = tables.copy<std::uint8_t>("z_step", {P, C});
    if (std::find(step.begin(), step.end(), 0) != step.end()) throw BadModel("z_step holds a 0");
    return step;
}

// Between rows p and p + 1 of a table (points, n).
template <class T>
std::vector<std::int32_t> mixed_row(const std::vector<T>& table, std::size_t n, const RatePoint& at) {
    std::vector<std::int32_t> mixed(n);
    const T *low = table.data() + at.p * n, *high = low + n;
    for (std::size_t i = 0; i < n; ++i) {
        mixed[i] = static_cast<std::int32_t>(lerp(low[i], high[i], at.f));
    }
    return mixed;
}

// Bits of a symbol under each row, in the mean.
std::vector<double> entropies(const Bank& bank) {
    std::vector<double> bits(bank.rows());
    for (std::size_t row = 0; row < bank.rows(); ++row) {
        for (std::uint32_t j = 0; j <= bank.last(row); ++j) {
            const std::uint32_t freq = bank.coding(row, j).freq;
            bits[row] += bits_of(freq) * freq / kTotal;
        }
    }
    return bits;
}

}  // namespace

// What a model is made of, the integers checked.
struct Model::Parts {
    Tables tables;
    Numbers numbers;
    Planned residual;
    std::size_t P, C, channels;

    Parts(const Arrays& arrays, const Numbers& given)
        : tables{arrays},
          numbers(checked(given)),
          residual(planned(tables, numbers)),
          P(static_cast<std::size_t>(numbers.points)),
          C(static_cast<std::size_t>(numbers.hyper)),
          channels(residual.sizes.planes * static_cast<std::size_t>(numbers.latent)) {}
};

Model::Model(const Arrays& arrays, const Numbers& numbers) : Model(Parts(arrays, numbers)) {}

Model::Model(const Parts& parts)
    : numbers_(parts.numbers),
      z_level_(levels_of(parts.tables, parts.P, parts.C)),
      levels_(1 + z_level_.size() / (parts.P * parts.C)),
      classes_(classes_of(parts.tables)),
      banks_(banks_of(parts.tables, parts.residual.sizes.scale_rows, parts.P * parts.C * levels_ * classes_)),
      map_(map_of(parts.tables, parts.channels, parts.C)),
      bias_(bias_of(parts.tables, parts.P, parts.channels)),
      z_step_(step_of(parts.tables, parts.P, parts.C)),
      residual_(parts.residual.make({parts.tables, numbers_, banks_.scales})),
      entropy_(entropies(banks_.scales)) {}

const char* Model::kind() const {
    return std::visit([](const auto& kind) { return kind.name(); }, residual_);
}
std::size_t Model::planes() const {
    return std::visit([](const auto& kind) { return kind.planes(); }, residual_);
}
std::int32_t Model::unit() const {
    return std::visit([](const auto& kind) { return kind.unit(); }, residual_);
}
std::vector<std::int32_t> Model::spacings() const {
    std::vector<std::int32_t> all(static_cast<std::size_t>(numbers_.rows));
    const auto of = [&](const auto& kind) {
        for (std::size_t k = 0; k < all.size(); ++k) all[k] = kind.spacing(static_cast<std::int32_t>(k));
    };
    std::visit(of, residual_);
    return all;
}
std::int32_t Model::values() const {
    return std::visit([](const auto& kind) { return kind.values(); }, residual_);
}
std::size_t Model::scale_rows() const {
    return std::visit([](const auto& kind) { return static_cast<std::size_t>(kind.scale_rows()); }, residual_);
}
Shape Model::shape(std::size_t h, std::size_t w) const {
    return {C(), M(), (h + kSide - 1) / kSide, (w + kSide - 1) / kSide, h, w};
}

Setting Model::at(std::int32_t q, const Stages& stages) const {
    const RatePoint at = rate_point(q, static_cast<std::size_t>(numbers_.points));
    const ZSetting z{at.nearest * C() * levels_ * classes_, levels_, classes_,
                     z_level_.data() + at.nearest * C() * (levels_ - 1)};
    return {mixed_row(z_step_, C(), at), mixed_row(bias_, map_.M(), at), z, stages};
}

bool is_table(const std::string& name) {
    constexpr const char* kNames[] = {"freq", "count",  "first",   "weight", "offset",
                                      "bias", "z_step", "z_level", "z_near"};
    const auto same = [&name](const char* other) { return name == other; };
    const std::vector<const char*> own = residual_arrays();
    return name.rfind("hidden", 0) == 0 || std::any_of(std::begin(kNames), std::end(kNames), same) ||
           std::any_of(own.begin(), own.end(), same);
}

bool Model::staged() const {
    return std::visit([](const auto& kind) { return kind.staged(); }, residual_);
}

bool Model::takes_intervals() const {
    return std::visit([](const auto& kind) { return kind.kTakesIntervals; }, residual_);
}

Stages Model::stages_at(const Setting& q, const Shape& s, const std::int16_t* z,
                        const std::vector<double>& shares) const {
    Stages found;
    if (!staged()) return found;
    std::vector<std::uint8_t> indices(s.r_size());
    index(q, s, z, indices.data());
    double bits[256] = {}, all = 0.0, above = 0.0;
    for (const std::uint8_t i : indices) bits[i] += 1.0;
    for (std::size_t i = 0; i < 256; ++i) {
        const bool coded = static_cast<std::int64_t>(i) >= numbers_.skip && i < entropy_.size();
        bits[i] *= coded ? entropy_[i] : 0.0;
        all += bits[i];
    }
    if (all == 0.0) return found;
    std::vector<std::uint8_t> thresholds;
    std::size_t next = 0;
    for (std::size_t i = 255; i > 0 && next < shares.size(); --i) {
        above += bits[i];
        if (above < shares[next] * all) continue;
        thresholds.push_back(static_cast<std::uint8_t>(i));
        while (next < shares.size() && above >= shares[next] * all) ++next;
    }
    while (!thresholds.empty() && thresholds.back() <= numbers_.skip) thresholds.pop_back();
    make_stages(thresholds.data(), std::min<std::size_t>(thresholds.size(), LIC_STAGES_MAX - 1), found);
    return found;
}

Outcome Model::decode(const Setting& q, const Shape& s, const Streamed& from, std::int16_t* z, std::int16_t* r) const {
    const auto run = [&](const auto& kind) {
        return decode_tile<Fast>(TileCoding<std::decay_t<decltype(kind)>>{banks_.scales, banks_.z, map_, kind, q}, s,
                                 from, z, r);
    };
    return std::visit(run, residual_);
}

Status Model::encode(const Setting& q, const Shape& s, const std::int16_t* z, const std::int16_t* r, Stream& out,
                     const Given* given) const {
    const auto run = [&](const auto& kind) {
        return encode_tile<Fast>(TileCoding<std::decay_t<decltype(kind)>>{banks_.scales, banks_.z, map_, kind, q}, s, z,
                                 r, out, given);
    };
    return std::visit(run, residual_);
}

void Model::index(const Setting& q, const Shape& s, const std::int16_t* z, std::uint8_t* out) const {
    map_.index(z, {s.C, map_.M(), s.a, s.b, s.h, s.w}, {q.d.data(), q.bias.data(), values()}, out);
    shift_index(q.shift, s, values(), out);
}

void Model::dequantise(const Setting& q, const std::int16_t* z, std::size_t n, std::int16_t* v) const {
    for (std::size_t c = 0; c < C(); ++c, z += n, v += n) {
        for (std::size_t i = 0; i < n; ++i) v[i] = static_cast<std::int16_t>(lic::dequantise(z[i], q.d[c]));
    }
}

void Model::z_rows(const Setting& q, const Shape& s, const std::int16_t* z, std::uint16_t* rows) const {
    all_z_rows(banks_.z, q.z, {s.C, s.a, s.b}, z, rows);
}

Status Model::price(const Coded& t, double& bits) const {
    return std::visit([&](const auto& kind) { return kind.price(t, bits); }, residual_);
}

Status Model::symbols(const Coded& t, std::int16_t* symbol, std::uint8_t* row) const {
    return std::visit([&](const auto& kind) { return kind.symbols(t, symbol, row); }, residual_);
}

void Model::quantise(const Unquantised& t) const {
    std::visit([&](const auto& kind) { kind.quantise(t); }, residual_);
}

}  // namespace lic

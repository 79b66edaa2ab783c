// The module pillow_lic._core_test, for tests and benches alone: twins by the words of the document, runs without a
// tile, parts of a model by themselves, and the choice of a code path. No wheel contains it, and the package does not
// import it.
#include "../bind.h"

#include <algorithm>
#include <memory>

#include "../bind_nn.h"
#include "../cpu.h"
#include "slow.h"

namespace {

using namespace lic_bind;

// ---------------------------------------------------------------------------------------------------------------------
// A tile as a whole, and the twins of that and of _core.Model's methods

py::list encode(const lic::Model& model, const Coding& q, const py::buffer& z, const py::buffer& r,
                const std::optional<Sides>& shape) {
    return encode_with(model, q, z, r, shape, [&model](auto&&... all) { return model.encode(all...); });
}

auto decode(const lic::Model& model, const Coding& q, const py::sequence& data, const Sides& shape) {
    return decode_with(model, q, data, shape, [&model](auto&&... all) { return model.decode(all...); });
}

py::list encode_slow(const lic::Model& model, const Coding& q, const py::buffer& z, const py::buffer& r) {
    return encode_with(model, q, z, r, {}, [&model](auto&&... all) { return lic::Slow::encode(model, all...); });
}

auto decode_slow(const lic::Model& model, const Coding& q, const py::sequence& data, const Sides& shape, bool cut) {
    return decode_with(model, q, data, shape, [&](const auto& setting, const auto& s, lic::Streamed from, auto... out) {
        from.may_end = cut;
        return lic::Slow::decode(model, setting, s, from, out...);
    });
}

py::array_t<std::uint8_t> scale_index_slow(const lic::Model& model, const Coding& q, const py::buffer& z, py::ssize_t h,
                                           py::ssize_t w) {
    const lic::Shape s = shape_of(model, {h, w}, kGridMost);
    const lic::Setting setting = setting_at(model, q, s);
    const Values<const std::int16_t> symbols(z, "z", z_shape(s));
    auto out = array_of<std::uint8_t>(model.map().M(), s.h, s.w);
    const lic::Shape wide{s.C, model.map().M(), s.a, s.b, s.h, s.w};
    lic::Slow::index(model.map(), symbols.data, wide, {setting.d.data(), setting.bias.data(), model.values()},
                     out.mutable_data());
    lic::shift_index(setting.shift, s, model.values(), out.mutable_data());
    return out;
}

// ---------------------------------------------------------------------------------------------------------------------
// Runs under rows of a bank

lic::Bank make_bank(const py::buffer& freq, const py::buffer& count, const py::buffer& first) {
    const Values<const std::int32_t> counts(count, "count", {kAny});
    const py::ssize_t rows = counts.length(0);
    in_range(rows, "count (its length)", 1, LIC_BANK_ROWS_MAX);
    const Values<const std::uint16_t> freqs(freq, "freq", {kAny});
    const Values<const std::int16_t> firsts(first, "first", {rows});
    lic::Bank bank;
    const auto fault = bank.build(freqs.data, static_cast<std::size_t>(freqs.length(0)), counts.data, firsts.data,
                                  static_cast<std::size_t>(rows));
    if (fault) refuse("row " + std::to_string(fault->row) + " of the bank: " + fault->what);
    return bank;
}

// write: (writer) -> nothing.
template <class Write>
py::bytes encode_run(const std::int16_t* symbols, std::size_t n, const Write& write) {
    lic::Checksum sum;
    sum.add(symbols, n);
    lic::Stream stream;
    {
        const Released released;
        write(stream.start(n, sum));
    }
    const py::bytes bytes = bytes_of(stream.size());
    stream.copy(data_of(bytes));
    return bytes;
}

// read: (reader, symbols) -> Status.
template <class Read>
py::array_t<std::int16_t> decode_run(const py::buffer& data, std::size_t n, const Read& read) {
    const Bytes bytes(data);
    py::array_t<std::int16_t> symbols(static_cast<py::ssize_t>(n));
    std::int16_t* to = symbols.mutable_data();
    lic::Outcome outcome{};
    {
        const Released released;
        lic::Reader in{};
        lic::Status status = in.open(bytes.data, bytes.size);
        if (status == lic::Status::ok) status = read(in, to);
        if (status == lic::Status::ok) {
            lic::Checksum sum;
            sum.add(to, n);
            status = in.close(sum.value());
        }
        outcome = {status, static_cast<std::size_t>(in.front - bytes.data)};
    }
    check_stream(outcome, bytes.size);
    return symbols;
}

// Rows of the bank, u8 or u16.
template <class Row>
std::vector<Row> rows_of(const lic::Bank& bank, const py::buffer& rows) {
    const Values<const Row> from(rows, "rows", {kAny});
    const std::vector<Row> copy(from.data, from.data + from.length(0));
    const Row most = copy.empty() ? Row{0} : *std::max_element(copy.begin(), copy.end());
    in_range(most, "rows (an element)", 0, static_cast<py::ssize_t>(bank.rows()) - 1);
    return copy;
}

template <class Row>
py::bytes encode_rows(const lic::Bank& bank, const py::buffer& rows, const py::buffer& symbols) {
    const std::vector<Row> row = rows_of<Row>(bank, rows);
    const Values<const std::int16_t> from(symbols, "symbols", {static_cast<py::ssize_t>(row.size())});
    return encode_run(from.data, row.size(),
                      [&](lic::Writer& to) { lic::write_run(to, bank, row.data(), from.data, row.size()); });
}

template <class Row>
py::array_t<std::int16_t> decode_rows(const py::buffer& data, const lic::Bank& bank, const py::buffer& rows) {
    const std::vector<Row> row = rows_of<Row>(bank, rows);
    return decode_run(data, row.size(), [&](lic::Reader& in, std::int16_t* to) {
        return lic::read_run(in, bank, row.data(), row.size(), to);
    });
}

bool is_u8(const py::buffer& rows) { return held(rows, "rows").itemsize == 1; }

py::bytes encode_symbols(const lic::Bank& bank, const py::buffer& rows, const py::buffer& symbols) {
    return is_u8(rows) ? encode_rows<std::uint8_t>(bank, rows, symbols)
                       : encode_rows<std::uint16_t>(bank, rows, symbols);
}

py::array_t<std::int16_t> decode_symbols(const py::buffer& data, const lic::Bank& bank, const py::buffer& rows) {
    return is_u8(rows) ? decode_rows<std::uint8_t>(data, bank, rows) : decode_rows<std::uint16_t>(data, bank, rows);
}

// ---------------------------------------------------------------------------------------------------------------------
// The map

[[noreturn]] void refuse_map() { refuse("a size, a weight or an offset of the map is out of range"); }

lic::ScaleMap make_map(const py::buffer& weight, const py::buffer& offset, const py::sequence& hidden) {
    lic::ScaleMap map;
    py::ssize_t inputs = kAny;
    for (const py::handle& item : hidden) {
        const auto [layer_weight, layer_offset] = item.cast<std::pair<py::buffer, py::buffer>>();
        const Values<const std::int16_t> w(layer_weight, "hidden (a weight)", {kAny, inputs});
        const py::ssize_t out = w.length(0);
        const Values<const std::int32_t> o(layer_offset, "hidden (an offset)", {out});
        if (!map.add_layer(w.data, o.data, static_cast<std::size_t>(out), static_cast<std::size_t>(w.length(1)))) {
            refuse_map();
        }
        inputs = out;
    }
    const Values<const std::int16_t> w(weight, "weight", {kAny, inputs});
    const auto cell = static_cast<py::ssize_t>(lic::kCell);
    const Values<const std::int32_t> o(offset, "offset", {w.length(0) / cell * cell});
    if (w.length(0) % cell) refuse("argument weight has " + std::to_string(w.length(0)) + " rows, want 16 M");
    if (!map.build(w.data, o.data, static_cast<std::size_t>(w.length(0) / cell),
                   static_cast<std::size_t>(w.length(1)))) {
        refuse_map();
    }
    return map;
}

template <class Coder>
py::array_t<std::uint8_t> map_index(const lic::ScaleMap& map, const py::buffer& z, const py::buffer& d,
                                    const py::buffer& bias, py::ssize_t values, const Sides& shape) {
    const auto most = kGridMost * static_cast<py::ssize_t>(lic::kSide);
    const std::size_t h = in_range(shape.first, "h", 1, most), w = in_range(shape.second, "w", 1, most);
    const lic::Shape s{map.C(), map.M(), (h + lic::kSide - 1) / lic::kSide, (w + lic::kSide - 1) / lic::kSide, h, w};
    const Values<const std::int16_t> symbols(z, "z", z_shape(s));
    const Values<const std::int32_t> steps(d, "d", {static_cast<py::ssize_t>(map.C())});
    const Values<const std::int32_t> added(bias, "bias", {static_cast<py::ssize_t>(map.M())});
    for (std::size_t c = 0; c < map.C(); ++c) in_range(steps.data[c], "d (an element)", 1, 255);
    for (std::size_t m = 0; m < map.M(); ++m) {
        in_range(added.data[m], "bias (an element)", -LIC_BIAS_MAX, LIC_BIAS_MAX);
    }
    in_range(values, "values", 1, lic::kByteValues);
    auto out = array_of<std::uint8_t>(s.M, s.h, s.w);
    Coder::index(map, symbols.data, s, {steps.data, added.data, static_cast<std::int32_t>(values)}, out.mutable_data());
    return out;
}

// ---------------------------------------------------------------------------------------------------------------------
// Mixtures

lic::Mixture make_mixture(const py::buffer& normal, const py::buffer& inverse, py::ssize_t components) {
    const Values<const std::uint16_t> n(normal, "normal", {LIC_NORMAL_STEPS + 1});
    const Values<const std::uint32_t> s(inverse, "inverse", {kAny});
    in_range(components, "components", 1, LIC_COMPONENTS_MAX);
    lic::Mixture mixture;
    const auto wrong =
        mixture.build(n.data, s.data, static_cast<std::size_t>(s.length(0)), static_cast<std::size_t>(components));
    if (wrong) refuse(std::string("the mixture's tables: ") + *wrong);
    return mixture;
}

py::ssize_t planes_of(const lic::Mixture& mixture) { return static_cast<py::ssize_t>(mixture.planes()); }

py::bytes encode_mixed(const lic::Mixture& mixture, const py::buffer& planes, const py::buffer& symbols) {
    const Values<const std::int16_t> from(symbols, "symbols", {kAny});
    const auto n = static_cast<std::size_t>(from.length(0));
    const Values<const std::uint8_t> bytes(planes, "planes", {planes_of(mixture), from.length(0)});
    return encode_run(from.data, n,
                      [&](lic::Writer& to) { mixture.write_run_of<lic::Fast>(to, bytes.data, n, from.data); });
}

py::array_t<std::int16_t> decode_mixed(const lic::Mixture& mixture, const py::buffer& data, const py::buffer& planes) {
    const Values<const std::uint8_t> bytes(planes, "planes", {planes_of(mixture), kAny});
    const auto n = static_cast<std::size_t>(bytes.length(1));
    return decode_run(data, n, [&](lic::Reader& in, std::int16_t* to) {
        return mixture.read_run_of<lic::Fast>(in, bytes.data, n, to);
    });
}

// G at x (n,) of planes (3 K, n), which is first clamped to -radius ... radius + 1: by the table, by a window of eight,
// and by the definition in lic_cdf.h; the radius of each mixture as a fourth.
py::tuple mixture_cumulative(const lic::Mixture& mixture, const py::buffer& planes, const py::buffer& x) {
    const Values<const std::int16_t> at(x, "x", {kAny});
    const auto n = static_cast<std::size_t>(at.length(0));
    const Values<const std::uint8_t> bytes(planes, "planes", {planes_of(mixture), at.length(0)});
    py::array_t<std::uint16_t> fast(at.length(0)), window(at.length(0)), slow(at.length(0));
    py::array_t<std::int16_t> radius(at.length(0));
    lic::with_components(mixture.components(), [&](auto K) {
        for (std::size_t i = 0; i < n; ++i) {
            lic::Mixture::Ready ready;
            mixture.prepare<K()>(bytes.data + i, n, 1, &ready);
            const std::int32_t clamped = std::clamp<std::int32_t>(at.data[i], -ready.radius, ready.radius + 1);
            fast.mutable_data()[i] = static_cast<std::uint16_t>(mixture.below<K()>(ready, clamped));
            std::uint16_t g[lic::kWindow];
            const std::int32_t first = std::min(clamped, ready.radius + 2 - lic::kWindow);
            mixture.window<K()>(ready, first, g);
            window.mutable_data()[i] = g[clamped - first];
        }
    });
    for (std::size_t i = 0; i < n; ++i) {
        const LicMixture m = mixture.slow(bytes.data + i, n);
        const std::int32_t clamped = std::clamp<std::int32_t>(at.data[i], -m.radius, m.radius + 1);
        slow.mutable_data()[i] = static_cast<std::uint16_t>(mixture.below_slow(m, clamped));
        radius.mutable_data()[i] = static_cast<std::int16_t>(m.radius);
    }
    return py::make_tuple(fast, window, slow, radius);
}

// ---------------------------------------------------------------------------------------------------------------------
// The trellis (FORMAT 7.9)

void check_trellis(py::ssize_t rows, py::ssize_t skip, py::ssize_t trellis) {
    in_range(2 * rows, "rows (twice, with a trellis)", 2, lic::kByteValues);
    in_range(skip, "skip", 0, rows);
    in_range(trellis, "trellis", skip, rows);
}

// Levels r (M, n) of x (M, n). bits (2 * rows, sizes), weight (M,).
py::array_t<std::int16_t> trellis_search(const py::buffer& x, const py::buffer& index, const py::buffer& bits,
                                         const py::buffer& weight, py::ssize_t rows, py::ssize_t trellis,
                                         py::ssize_t skip) {
    const Values<const float> values(x, "x", {kAny, kAny});
    const py::ssize_t M = values.length(0), n = values.length(1);
    in_range(M, "x (channels)", 1, lic::kLimits[0].high);
    const Values<const std::uint8_t> scale(index, "index", {M, n});
    check_trellis(rows, skip, trellis);
    const Values<const float> costs(bits, "bits", {2 * rows, kAny});
    const std::size_t sizes = in_range(costs.length(1), "bits (columns)", 1, LIC_SYMBOL_MAX);
    const Values<const float> weights(weight, "weight", {M});
    py::array_t<std::int16_t> r({M, n});
    const auto most = static_cast<std::uint8_t>(rows - 1);
    std::vector<std::uint8_t> indices(scale.data, scale.data + M * n);
    for (std::uint8_t& i : indices) i = std::min(i, most);
    const lic::Stages one;
    lic::search({values.data, indices.data(), costs.data, weights.data, static_cast<std::size_t>(M),
                 static_cast<std::size_t>(n), sizes, static_cast<std::int32_t>(rows),
                 static_cast<std::int32_t>(trellis), static_cast<std::int32_t>(skip), r.mutable_data(), one.least,
                 one.count});
    return r;
}

// The symbol and the row of every level of r (M, n).
py::tuple trellis_symbols(const py::buffer& r, const py::buffer& index, py::ssize_t rows, py::ssize_t trellis) {
    const Values<const std::int16_t> level(r, "r", {kAny, kAny});
    const Values<const std::uint8_t> scale(index, "index", level.info.shape);
    check_trellis(rows, 0, trellis);
    const auto M = static_cast<std::size_t>(level.length(0)), n = static_cast<std::size_t>(level.length(1));
    if (M > 0 && n > 0) in_range(*std::max_element(scale.data, scale.data + M * n), "index (an element)", 0, rows - 1);
    py::array_t<std::int16_t> symbol({level.length(0), level.length(1)});
    py::array_t<std::uint8_t> row({level.length(0), level.length(1)});
    std::vector<std::uint8_t> state(n);
    bool fine = true;
    for (std::size_t m = 0; m < M; ++m) {
        const std::size_t at = m * n;
        lic::trellis_rows(scale.data + at, state.data(), n, static_cast<std::int32_t>(trellis),
                          static_cast<std::int32_t>(rows), row.mutable_data() + at);
        fine &= lic::trellis_symbols(scale.data + at, n, static_cast<std::int32_t>(trellis), {0, 255}, state.data(),
                                     level.data + at, symbol.mutable_data() + at);
    }
    if (!fine) refuse(lic::describe(lic::Status::no_level));
    return py::make_tuple(symbol, row);
}

// ---------------------------------------------------------------------------------------------------------------------
// The code path. The core is linked into both modules, each copy with a level of its own: both are set.

std::atomic<lic::Simd>& simd_of_core() {
    static auto* level = static_cast<std::atomic<lic::Simd>*>(
        py::module_::import("pillow_lic._core").attr("_simd").cast<py::capsule>().get_pointer());
    return *level;
}

std::string simd() { return lic::simd_name(simd_of_core().load()); }

void use(lic::Simd level) {
    lic::simd_in_use().store(level);
    simd_of_core().store(level);
}

void set_simd(const std::string& wanted) {
    if (wanted == "auto") return use(lic::simd_best());
    for (const lic::Simd level : lic::kAllSimd) {
        if (wanted != lic::simd_name(level)) continue;
        if (!lic::simd_supported(level)) refuse("this CPU or build has no " + wanted + ", want auto or scalar");
        return use(level);
    }
    refuse("no code path is called " + wanted + ", want auto, scalar, sse4.1, avx2 or avx512");
}

}  // namespace

PYBIND11_MODULE(_core_test, m, py::mod_gil_not_used()) {
    m.doc() = "Twins of pillow_lic._core and parts of it by themselves, for tests and benches.";
    py::module_::import("pillow_lic._core");  // whose Model the functions below take

    m.def("encode", &encode, py::arg("model"), py::arg("q"), py::arg("z"), py::arg("r"), py::arg("shape") = py::none(),
          "The stages of a tile (FORMAT 6.3), r being 0 where the scale index is below `skip`. Without shape r has its "
          "own.");
    m.def("decode", &decode, py::arg("model"), py::arg("q"), py::arg("data"), py::arg("shape"),
          "z and r of a tile from its stages (FORMAT 7).");
    m.def("encode_slow", &encode_slow, py::arg("model"), py::arg("q"), py::arg("z"), py::arg("r"));
    m.def("decode_slow", &decode_slow, py::arg("model"), py::arg("q"), py::arg("data"), py::arg("shape"),
          py::arg("cut") = false);
    m.def("scale_index_slow", &scale_index_slow, py::arg("model"), py::arg("q"), py::arg("z"), py::arg("h"),
          py::arg("w"));

    py::class_<lic::Bank>(m, "Bank")
        .def(py::init(&make_bank), py::arg("freq"), py::arg("count"), py::arg("first"))
        .def_property_readonly("rows", &lic::Bank::rows);
    m.def("encode_symbols", &encode_symbols, py::arg("bank"), py::arg("rows"), py::arg("symbols"));
    m.def("decode_symbols", &decode_symbols, py::arg("data"), py::arg("bank"), py::arg("rows"));

    py::class_<lic::ScaleMap>(m, "ScaleMap")
        .def(py::init(&make_map), py::arg("weight"), py::arg("offset"), py::arg("hidden") = py::tuple())
        .def("index", &map_index<lic::Fast>, py::arg("z"), py::arg("d"), py::arg("bias"), py::arg("values"),
             py::arg("shape"))
        .def("index_slow", &map_index<lic::Slow>, py::arg("z"), py::arg("d"), py::arg("bias"), py::arg("values"),
             py::arg("shape"));

    py::class_<lic::Mixture>(m, "Mixture")
        .def(py::init(&make_mixture), py::arg("normal"), py::arg("inverse"), py::arg("components"))
        .def("encode", &encode_mixed, py::arg("planes"), py::arg("symbols"))
        .def("decode", &decode_mixed, py::arg("data"), py::arg("planes"))
        .def("cumulative", &mixture_cumulative, py::arg("planes"), py::arg("x"));

    m.def("trellis_search", &trellis_search, py::arg("x"), py::arg("index"), py::arg("bits"), py::arg("weight"),
          py::arg("rows"), py::arg("trellis"), py::arg("skip"));
    m.def("trellis_symbols", &trellis_symbols, py::arg("r"), py::arg("index"), py::arg("rows"), py::arg("trellis"));

    bind_nn_parts(m);
    m.def("simd", &simd);
    m.def("set_simd", &set_simd, py::arg("path"));
}

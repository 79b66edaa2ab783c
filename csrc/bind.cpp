// The module pillow_lic._core: the coder of tile.h and what it includes, for Python. The only file that knows Python.
// It trusts no argument: type, layout, shape and range are checked here, so that the coder need not. Wrong arguments
// are ValueError (TypeError when a thing is no array at all), streams that do not decode are
// pillow_lic.errors.LicCorruptTile.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lic_constants.h"
#include "tile.h"

namespace py = pybind11;

namespace {

using lic::kSide;

[[noreturn]] void refuse(const std::string& message) { throw py::value_error(message); }

[[noreturn]] void refuse_stream(const lic::Outcome& outcome, std::size_t size) {
    const std::string message = std::string("tile stream is corrupt: ") + lic::describe(outcome.status) + " (byte " +
                                std::to_string(outcome.at) + " of " + std::to_string(size) +
                                "); the file is damaged or was coded with another model, get it again from its source";
    const py::object error = py::module_::import("pillow_lic.errors").attr("LicCorruptTile");
    PyErr_SetString(error.ptr(), message.c_str());
    throw py::error_already_set();
}

// ---------------------------------------------------------------------------------------------------------------------
// Arguments

// The data of an array, after its type, shape and layout have been found right; -1 in `shape` stands for any length.
template <class T>
const T* checked(const py::array& array, const char* name, const std::vector<py::ssize_t>& shape) {
    const std::string what = std::string("argument ") + name;
    if (!py::isinstance<py::array_t<T>>(array)) {
        refuse(what + " has dtype " + py::cast<std::string>(py::str(array.dtype())) + ", want " +
               py::cast<std::string>(py::str(py::dtype::of<T>())));
    }
    bool same = array.ndim() == static_cast<py::ssize_t>(shape.size());
    for (std::size_t i = 0; same && i < shape.size(); ++i) {
        same = shape[i] < 0 || array.shape(static_cast<py::ssize_t>(i)) == shape[i];
    }
    if (!same) {
        std::string want;
        for (const py::ssize_t n : shape)
            want += (want.empty() ? "" : ", ") + (n < 0 ? std::string("any") : std::to_string(n));
        refuse(what + " has shape " + py::cast<std::string>(py::str(array.attr("shape"))) + ", want (" + want + ")");
    }
    constexpr int kNeeded = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
    if ((array.flags() & kNeeded) != kNeeded) refuse(what + " is not contiguous, pass numpy.ascontiguousarray of it");
    return static_cast<const T*>(array.data());
}

std::size_t in_range(py::ssize_t value, const char* name, py::ssize_t low, py::ssize_t high) {
    if (value < low || value > high) {
        refuse(std::string("argument ") + name + " is " + std::to_string(value) + ", want " + std::to_string(low) +
               " to " + std::to_string(high));
    }
    return static_cast<std::size_t>(value);
}

// d, bias and z_level, copied: another thread may write to the caller's arrays while we work without the GIL.
struct Interpolated {
    std::vector<std::int32_t> d, bias;
    std::vector<std::uint16_t> z_level;
    std::size_t levels = 1;
};

// Values below 256 in magnitude times i16 fit an i32, and FORMAT 7.5 wants at least 1.
Interpolated interpolated(const lic::ScaleMap& map, const py::array& d, const py::array& bias,
                          const py::array* z_level = nullptr) {
    const auto C = static_cast<py::ssize_t>(map.C()), M = static_cast<py::ssize_t>(map.M());
    Interpolated out;
    if (py::isinstance<py::array_t<std::uint8_t>>(d)) {
        const std::uint8_t* from = checked<std::uint8_t>(d, "d", {C});
        out.d.assign(from, from + C);
    } else {
        const std::int32_t* from = checked<std::int32_t>(d, "d", {C});
        out.d.assign(from, from + C);
    }
    for (const std::int32_t step : out.d) in_range(step, "d (an element)", 1, 255);
    const std::int32_t* from = checked<std::int32_t>(bias, "bias", {M});
    out.bias.assign(from, from + M);
    for (const std::int32_t value : out.bias) in_range(value, "bias (an element)", -LIC_BIAS_MAX, LIC_BIAS_MAX);
    if (z_level) {
        const std::uint16_t* levels = checked<std::uint16_t>(*z_level, "z_level", {C, -1});
        const py::ssize_t columns = z_level->shape(1);
        out.levels = 1 + in_range(columns, "z_level (columns)", 0, LIC_LEVELS_MAX - 1);
        out.z_level.assign(levels, levels + C * columns);
    }
    return out;
}

// At most `most` hyper positions wide and high, in a tile LIC_TILE_SIDE_MAX and in a whole image as many as its sides
// of LIC_SIDE_MAX have. Every product of sizes fits 64 bits: z exists already, and M * h * w <= 1024 * 16 * a * b.
constexpr py::ssize_t kTileMost = LIC_TILE_SIDE_MAX;
constexpr py::ssize_t kGridMost = LIC_SIDE_MAX / (LIC_LATENT_STRIDE * LIC_HYPER_STRIDE);

lic::Shape shape_of(const lic::ScaleMap& map, py::ssize_t a, py::ssize_t b, py::ssize_t h, py::ssize_t w,
                    py::ssize_t most, std::size_t planes = 1) {
    const auto side = static_cast<py::ssize_t>(kSide);
    lic::Shape s{map.C(),
                 map.M() / planes,
                 in_range(a, "a", 1, most),
                 in_range(b, "b", 1, most),
                 in_range(h, "h", 1, most * side),
                 in_range(w, "w", 1, most * side)};
    if ((s.h + kSide - 1) / kSide != s.a || (s.w + kSide - 1) / kSide != s.b) {
        refuse("arguments a, b are " + std::to_string(a) + ", " + std::to_string(b) +
               ", want a quarter of h, w = " + std::to_string(h) + ", " + std::to_string(w) + ", rounded up");
    }
    return s;
}

// Planes of the map for each channel of r: those of the mixture's components, or one, the scale index.
std::size_t planes_of(const lic::ScaleMap& map, const lic::Mixture* mixture) {
    if (!mixture) return 1;
    const std::size_t planes = lic::kPlanes * mixture->components();
    if (map.M() % planes)
        refuse("argument scale_map has no whole number of planes for each of the mixture's components");
    return planes;
}

// FORMAT 7.9: twice as many scale rows, numbered by u8.
void check_trellis(py::ssize_t rows, py::ssize_t skip, py::ssize_t trellis, py::ssize_t bank_rows) {
    in_range(2 * rows, "rows (twice, with a trellis)", 2, std::min<py::ssize_t>(bank_rows, lic::kModelRowsMax));
    in_range(skip, "skip", 0, rows);
    in_range(trellis, "trellis", skip, rows);
}

// With mixtures the bank holds rows of z alone, and `rows` and `skip` mean nothing.
lic::Setting setting_of(const lic::Bank& bank, const lic::ScaleMap& map, const Interpolated& values, py::ssize_t z_row,
                        py::ssize_t rows, py::ssize_t skip, const lic::Mixture* mixture, py::ssize_t trellis) {
    const auto bank_rows = static_cast<py::ssize_t>(bank.rows());
    if (mixture) rows = skip = 0;
    in_range(rows, "rows", mixture ? 0 : 1, std::min<py::ssize_t>(bank_rows, lic::kModelRowsMax));
    in_range(skip, "skip", 0, rows);
    const bool dependent = trellis != lic::kNoTrellis;
    if (dependent) check_trellis(rows, skip, trellis, mixture ? 0 : bank_rows);
    in_range(z_row, "z_row", dependent ? 2 * rows : rows,
             bank_rows - static_cast<py::ssize_t>(map.C() * values.levels));
    return {values.d.data(),
            values.bias.data(),
            static_cast<std::size_t>(z_row),
            static_cast<std::int32_t>(rows),
            static_cast<std::int32_t>(skip),
            values.levels,
            values.z_level.data(),
            static_cast<std::int32_t>(trellis)};
}

template <class T>
py::array_t<T> array_of(std::size_t n0, std::size_t n1, std::size_t n2) {
    return py::array_t<T>({static_cast<py::ssize_t>(n0), static_cast<py::ssize_t>(n1), static_cast<py::ssize_t>(n2)});
}

// ---------------------------------------------------------------------------------------------------------------------
// What Python sees

lic::Bank make_bank(const py::array& freq, const py::array& count, const py::array& first) {
    const auto rows = static_cast<py::ssize_t>(count.size());
    in_range(rows, "count (its length)", 1, LIC_BANK_ROWS_MAX);  // row numbers are kept as u16
    const std::uint16_t* g = checked<std::uint16_t>(freq, "freq", {-1});
    const std::int32_t* n = checked<std::int32_t>(count, "count", {-1});
    const std::int16_t* o = checked<std::int16_t>(first, "first", {rows});
    // Copies: a row is checked and then read again, and nobody may change it in between (there may be no GIL).
    const std::vector<std::uint16_t> freqs(g, g + freq.size());
    const std::vector<std::int32_t> counts(n, n + rows);
    const std::vector<std::int16_t> firsts(o, o + rows);
    lic::Bank bank;
    const lic::Bank::Fault fault = bank.build(freqs.data(), freqs.size(), counts.data(), firsts.data(), counts.size());
    if (fault.what) refuse("row " + std::to_string(fault.row) + " of the bank: " + fault.what);
    return bank;
}

[[noreturn]] void refuse_map() {
    refuse("a weight is beyond +-" + std::to_string(LIC_WEIGHT_MAX) + " or an offset beyond +-" +
           std::to_string(LIC_BIAS_MAX));
}

lic::ScaleMap make_map(const py::array& weight, const py::array& offset, const py::sequence& hidden) {
    lic::ScaleMap map;
    py::ssize_t inputs = -1;
    for (const py::handle& item : hidden) {
        const auto [layer_weight, layer_offset] = item.cast<std::pair<py::array, py::array>>();
        const std::int16_t* w = checked<std::int16_t>(layer_weight, "hidden (a weight)", {-1, inputs});
        const py::ssize_t out = layer_weight.shape(0), in = layer_weight.shape(1);
        in_range(in, "hidden (columns)", 1, LIC_CHANNELS_MAX);
        in_range(out, "hidden (rows)", 1, LIC_CHANNELS_MAX);
        const std::int32_t* o = checked<std::int32_t>(layer_offset, "hidden (an offset)", {out});
        if (!map.add_layer(w, o, static_cast<std::size_t>(out), static_cast<std::size_t>(in))) refuse_map();
        inputs = out;
    }
    const std::int16_t* w = checked<std::int16_t>(weight, "weight", {-1, inputs});
    const auto cell = static_cast<py::ssize_t>(lic::kCell);
    const py::ssize_t M = weight.shape(0) / cell, C = weight.shape(1);
    if (weight.shape(0) % cell) refuse("argument weight has " + std::to_string(weight.shape(0)) + " rows, want 16 M");
    in_range(M, "weight (rows / 16)", 1, static_cast<py::ssize_t>(lic::kLatentMax * lic::kPlanes * lic::kComponents));
    in_range(C, "weight (columns)", 1, LIC_CHANNELS_MAX);
    const std::int32_t* o = checked<std::int32_t>(offset, "offset", {cell * M});
    if (!map.build(w, o, static_cast<std::size_t>(M), static_cast<std::size_t>(C))) refuse_map();
    return map;
}

lic::Mixture make_mixture(const py::array& normal, const py::array& inverse, py::ssize_t components) {
    const std::uint16_t* n = checked<std::uint16_t>(normal, "normal", {LIC_NORMAL_STEPS + 1});
    const std::uint32_t* s = checked<std::uint32_t>(inverse, "inverse", {-1});
    in_range(components, "components", 1, LIC_COMPONENTS_MAX);
    const std::vector<std::uint16_t> normals(n, n + normal.size());
    const std::vector<std::uint32_t> inverses(s, s + inverse.size());
    lic::Mixture mixture;
    const char* fault =
        mixture.build(normals.data(), inverses.data(), inverses.size(), static_cast<std::size_t>(components));
    if (fault) refuse(std::string("the mixture's tables: ") + fault);
    return mixture;
}

// G at x (n,) of the mixtures whose bytes are planes (3 K, n); with `Slow` by the definition in lic_cdf.h.
template <std::size_t K>
void cumulative(const lic::Mixture& mixture, const std::uint8_t* planes, const std::int16_t* x, std::size_t n,
                std::uint16_t* fast, std::uint16_t* window) {
    for (std::size_t i = 0; i < n; ++i) {
        lic::Mixture::Ready ready;
        mixture.prepare(planes + i, n, 1, &ready);
        const std::int32_t at = std::clamp<std::int32_t>(x[i], -ready.radius, ready.radius + 1);
        fast[i] = static_cast<std::uint16_t>(mixture.below<K>(ready, at));
        std::uint16_t g[lic::kWindow];
        const std::int32_t first = std::min(at, ready.radius + 2 - lic::kWindow);
        mixture.window<K>(ready, first, g);
        window[i] = g[at - first];
    }
}

// Three arrays (n,): by the table, by a window of eight, and by the definition; the radius of each mixture as a fourth.
py::tuple mixture_cumulative(const lic::Mixture& mixture, const py::array& planes, const py::array& x) {
    const std::int16_t* at = checked<std::int16_t>(x, "x", {-1});
    const auto n = static_cast<std::size_t>(x.size());
    const std::uint8_t* bytes = checked<std::uint8_t>(
        planes, "planes", {static_cast<py::ssize_t>(lic::kPlanes * mixture.components()), x.size()});
    py::array_t<std::uint16_t> fast(x.size()), window(x.size()), slow(x.size());
    py::array_t<std::int16_t> radius(x.size());
    switch (mixture.components()) {
        case 1:
            cumulative<1>(mixture, bytes, at, n, fast.mutable_data(), window.mutable_data());
            break;
        case 2:
            cumulative<2>(mixture, bytes, at, n, fast.mutable_data(), window.mutable_data());
            break;
        case 3:
            cumulative<3>(mixture, bytes, at, n, fast.mutable_data(), window.mutable_data());
            break;
        default:
            cumulative<4>(mixture, bytes, at, n, fast.mutable_data(), window.mutable_data());
    }
    for (std::size_t i = 0; i < n; ++i) {
        const LicMixture m = mixture.slow(bytes + i, n);
        const std::int32_t clamped = std::clamp<std::int32_t>(at[i], -m.radius, m.radius + 1);
        slow.mutable_data()[i] = static_cast<std::uint16_t>(mixture.below_slow(m, clamped));
        radius.mutable_data()[i] = static_cast<std::int16_t>(m.radius);
    }
    return py::make_tuple(fast, window, slow, radius);
}

template <bool Slow>
py::array_t<std::uint8_t> scale_index(const lic::ScaleMap& map, const py::array& z, const py::array& d,
                                      const py::array& bias, py::ssize_t rows, py::ssize_t h, py::ssize_t w) {
    const std::int16_t* symbols = checked<std::int16_t>(z, "z", {static_cast<py::ssize_t>(map.C()), -1, -1});
    const lic::Shape s = shape_of(map, z.shape(1), z.shape(2), h, w, kGridMost);
    const Interpolated values = interpolated(map, d, bias);
    in_range(rows, "rows", 1, lic::kModelRowsMax);
    const lic::Setting q{values.d.data(), values.bias.data(), 0, static_cast<std::int32_t>(rows), 0};
    auto out = array_of<std::uint8_t>(s.M, s.h, s.w);
    std::uint8_t* to = out.mutable_data();
    {
        py::gil_scoped_release release;
        Slow ? map.index_slow(symbols, s, q, to) : map.index(symbols, s, q, to);
    }
    return out;
}

py::bytes bytes_of(const lic::Writer& writer, const std::uint16_t* end) {
    PyObject* stream = PyBytes_FromStringAndSize(nullptr, static_cast<py::ssize_t>(lic::stream_size(writer, end)));
    if (!stream) throw py::error_already_set();
    lic::copy_stream(writer, end, reinterpret_cast<std::uint8_t*>(PyBytes_AS_STRING(stream)));
    return py::reinterpret_steal<py::bytes>(stream);
}

// A buffer of bytes, side by side.
py::buffer_info bytes_in(const py::buffer& data) {
    py::buffer_info info = data.request();
    if (info.ndim != 1 || info.itemsize != 1 || (info.size > 1 && info.strides[0] != 1)) {
        refuse("argument data is no contiguous buffer of bytes");
    }
    return info;
}

// Rows of the bank, copied: another thread may write to the caller's array while we work without the GIL.
template <class Row>
std::vector<Row> rows_of(const lic::Bank& bank, const py::array& rows) {
    const Row* from = checked<Row>(rows, "rows", {-1});
    std::vector<Row> copy(from, from + rows.size());
    const Row most = copy.empty() ? Row{0} : *std::max_element(copy.begin(), copy.end());
    in_range(most, "rows (an element)", 0, static_cast<py::ssize_t>(bank.rows()) - 1);
    return copy;
}

template <class Row>
py::bytes encode_symbols(const lic::Bank& bank, const py::array& rows, const py::array& symbols) {
    const std::vector<Row> row = rows_of<Row>(bank, rows);
    const std::int16_t* from = checked<std::int16_t>(symbols, "symbols", {static_cast<py::ssize_t>(row.size())});
    const std::vector<std::int16_t> symbol(from, from + row.size());
    const std::unique_ptr<std::uint16_t[]> words(new std::uint16_t[row.size() + 1]);
    lic::Writer writer{};
    {
        py::gil_scoped_release release;
        lic::begin_run(writer, symbol.data(), row.size(), words.get());
        lic::write_run<false>(writer, bank, row.data(), symbol.data(), row.size());
    }
    return bytes_of(writer, words.get() + row.size() + 1);
}

template <class Row>
py::array_t<std::int16_t> decode_symbols(const py::buffer& data, const lic::Bank& bank, const py::array& rows) {
    const py::buffer_info info = bytes_in(data);
    const std::vector<Row> row = rows_of<Row>(bank, rows);
    const auto size = static_cast<std::size_t>(info.size);
    py::array_t<std::int16_t> symbols(static_cast<py::ssize_t>(row.size()));
    std::int16_t* to = symbols.mutable_data();
    lic::Outcome outcome{};
    {
        py::gil_scoped_release release;
        outcome = lic::decode_run(static_cast<const std::uint8_t*>(info.ptr), size, row.size(), to,
                                  [&](lic::Reader& in) { return lic::read_run(in, bank, row.data(), row.size(), to); });
    }
    if (outcome.status != lic::Status::ok) refuse_stream(outcome, size);
    return symbols;
}

py::bytes encode_mixed(const lic::Mixture& mixture, const py::array& planes, const py::array& symbols) {
    const std::int16_t* from = checked<std::int16_t>(symbols, "symbols", {-1});
    const std::vector<std::int16_t> symbol(from, from + symbols.size());
    const auto count = static_cast<py::ssize_t>(lic::kPlanes * mixture.components());
    const std::uint8_t* bytes = checked<std::uint8_t>(planes, "planes", {count, symbols.size()});
    const std::unique_ptr<std::uint16_t[]> words(new std::uint16_t[symbol.size() + 1]);
    lic::Writer writer{};
    {
        py::gil_scoped_release release;
        lic::begin_run(writer, symbol.data(), symbol.size(), words.get());
        lic::write_mixed<false>(writer, mixture, bytes, symbol.size(), symbol.data());
    }
    return bytes_of(writer, words.get() + symbol.size() + 1);
}

// No byte of `planes` can do harm, so that another thread may write to it.
py::array_t<std::int16_t> decode_mixed(const lic::Mixture& mixture, const py::buffer& data, const py::array& planes) {
    const py::buffer_info info = bytes_in(data);
    const auto count = static_cast<py::ssize_t>(lic::kPlanes * mixture.components());
    const std::uint8_t* bytes = checked<std::uint8_t>(planes, "planes", {count, -1});
    const auto size = static_cast<std::size_t>(info.size), n = static_cast<std::size_t>(planes.shape(1));
    py::array_t<std::int16_t> symbols(planes.shape(1));
    std::int16_t* to = symbols.mutable_data();
    lic::Outcome outcome{};
    {
        py::gil_scoped_release release;
        outcome = lic::decode_run(static_cast<const std::uint8_t*>(info.ptr), size, n, to,
                                  [&](lic::Reader& in) { return lic::read_mixed<false>(in, mixture, bytes, n, to); });
    }
    if (outcome.status != lic::Status::ok) refuse_stream(outcome, size);
    return symbols;
}

bool is_u8(const py::array& array) { return py::isinstance<py::array_t<std::uint8_t>>(array); }

py::bytes encode_any(const lic::Bank& bank, const py::array& rows, const py::array& symbols) {
    return is_u8(rows) ? encode_symbols<std::uint8_t>(bank, rows, symbols)
                       : encode_symbols<std::uint16_t>(bank, rows, symbols);
}

py::array_t<std::int16_t> decode_any(const py::buffer& data, const lic::Bank& bank, const py::array& rows) {
    return is_u8(rows) ? decode_symbols<std::uint8_t>(data, bank, rows)
                       : decode_symbols<std::uint16_t>(data, bank, rows);
}

template <bool Slow>
py::bytes encode_tile(const lic::Bank& bank, const lic::ScaleMap& map, const py::array& z, const py::array& r,
                      py::ssize_t z_row, const py::array& z_level, const py::array& d, const py::array& bias,
                      py::ssize_t rows, py::ssize_t skip, const lic::Mixture* mixture, py::ssize_t trellis) {
    const std::size_t planes = planes_of(map, mixture);
    const std::int16_t* z_at = checked<std::int16_t>(z, "z", {static_cast<py::ssize_t>(map.C()), -1, -1});
    const std::int16_t* r_at = checked<std::int16_t>(r, "r", {static_cast<py::ssize_t>(map.M() / planes), -1, -1});
    const lic::Shape s = shape_of(map, z.shape(1), z.shape(2), r.shape(1), r.shape(2), kTileMost, planes);
    const Interpolated values = interpolated(map, d, bias, &z_level);
    const lic::Setting q = setting_of(bank, map, values, z_row, rows, skip, mixture, trellis);
    lic::Scratch work(s, true, planes / lic::kPlanes, q.trellis != lic::kNoTrellis);
    lic::Status status = lic::Status::ok;
    {
        py::gil_scoped_release release;
        if (mixture) {
            lic::encode_mixed_tile<Slow>(bank, map, *mixture, s, q, z_at, r_at, work);
        } else {
            status = lic::encode_tile<Slow>(bank, map, s, q, z_at, r_at, work);
        }
    }
    if (status != lic::Status::ok) refuse(std::string("cannot encode the tile: ") + lic::describe(status));
    return bytes_of(work.writer, work.end(s));
}

template <bool Slow>
std::pair<py::array_t<std::int16_t>, py::array_t<std::int16_t>> decode_tile(
    const py::buffer& data, const lic::Bank& bank, const lic::ScaleMap& map, py::ssize_t a, py::ssize_t b,
    py::ssize_t h, py::ssize_t w, py::ssize_t z_row, const py::array& z_level, const py::array& d,
    const py::array& bias, py::ssize_t rows, py::ssize_t skip, const lic::Mixture* mixture, py::ssize_t trellis) {
    const py::buffer_info info = bytes_in(data);
    const std::size_t planes = planes_of(map, mixture);
    const lic::Shape s = shape_of(map, a, b, h, w, kTileMost, planes);
    const Interpolated values = interpolated(map, d, bias, &z_level);
    const lic::Setting q = setting_of(bank, map, values, z_row, rows, skip, mixture, trellis);
    const auto size = static_cast<std::size_t>(info.size);
    lic::Scratch work(s, false, planes / lic::kPlanes, q.trellis != lic::kNoTrellis);
    auto z = array_of<std::int16_t>(s.C, s.a, s.b), r = array_of<std::int16_t>(s.M, s.h, s.w);
    std::int16_t *z_at = z.mutable_data(), *r_at = r.mutable_data();
    lic::Outcome outcome{};
    {
        py::gil_scoped_release release;
        const auto* bytes = static_cast<const std::uint8_t*>(info.ptr);
        outcome = mixture ? lic::decode_mixed_tile<Slow>(bytes, size, bank, map, *mixture, s, q, work, z_at, r_at)
                          : lic::decode_tile<Slow>(bytes, size, bank, map, s, q, work, z_at, r_at);
    }
    if (outcome.status != lic::Status::ok) refuse_stream(outcome, size);
    return {z, r};
}

// Levels r (M, n) of x (M, n): FORMAT 7.9. bits (2 * rows, sizes), weight (M,).
py::array_t<std::int16_t> trellis_search(const py::array& x, const py::array& index, const py::array& bits,
                                         const py::array& weight, py::ssize_t rows, py::ssize_t trellis,
                                         py::ssize_t skip) {
    const float* values = checked<float>(x, "x", {-1, -1});
    const py::ssize_t M = x.shape(0), n = x.shape(1);
    in_range(M, "x (channels)", 1, static_cast<py::ssize_t>(lic::kLatentMax));
    const std::uint8_t* scale = checked<std::uint8_t>(index, "index", {M, n});
    check_trellis(rows, skip, trellis, lic::kModelRowsMax);
    const float* costs = checked<float>(bits, "bits", {2 * rows, -1});
    const py::ssize_t sizes = in_range(bits.shape(1), "bits (columns)", 1, LIC_SYMBOL_MAX);
    const float* weights = checked<float>(weight, "weight", {M});
    py::array_t<std::int16_t> r({M, n});
    const auto most = static_cast<std::uint8_t>(rows - 1);
    // A copy: another thread may write to the caller's array while we work without the GIL, and an index is looked up
    // by.
    std::vector<std::uint8_t> indices(static_cast<std::size_t>(M * n));
    std::transform(scale, scale + M * n, indices.begin(), [most](std::uint8_t i) { return std::min(i, most); });
    lic::Paths work(static_cast<std::size_t>(M));
    const lic::Sought sought{values,
                             indices.data(),
                             costs,
                             weights,
                             static_cast<std::size_t>(M),
                             static_cast<std::size_t>(n),
                             static_cast<std::size_t>(sizes),
                             static_cast<std::int32_t>(rows),
                             static_cast<std::int32_t>(trellis),
                             static_cast<std::int32_t>(skip),
                             r.mutable_data()};
    {
        py::gil_scoped_release release;
        lic::search(sought, work);
    }
    return r;
}

// The symbol and the row of every level of r (M, n).
py::tuple trellis_symbols(const py::array& r, const py::array& index, py::ssize_t rows, py::ssize_t trellis,
                          py::ssize_t skip) {
    const std::int16_t* level = checked<std::int16_t>(r, "r", {-1, -1});
    const std::uint8_t* scale = checked<std::uint8_t>(index, "index", {r.shape(0), r.shape(1)});
    check_trellis(rows, skip, trellis, lic::kModelRowsMax);
    const auto M = static_cast<std::size_t>(r.shape(0)), n = static_cast<std::size_t>(r.shape(1));
    if (M * n) in_range(*std::max_element(scale, scale + M * n), "index (an element)", 0, rows - 1);
    py::array_t<std::int16_t> symbol({r.shape(0), r.shape(1)});
    py::array_t<std::uint8_t> row({r.shape(0), r.shape(1)});
    std::vector<std::uint8_t> state(n);
    bool fine = true;
    for (std::size_t m = 0; m < M; ++m) {
        const std::size_t at = m * n;
        lic::trellis_rows(scale + at, state.data(), n, static_cast<std::int32_t>(trellis),
                          static_cast<std::int32_t>(rows), row.mutable_data() + at);
        fine &= lic::symbols(scale + at, n, static_cast<std::int32_t>(trellis), state.data(), level + at,
                             symbol.mutable_data() + at);
    }
    if (!fine) refuse(lic::describe(lic::Status::no_level));
    return py::make_tuple(symbol, row);
}

// ---------------------------------------------------------------------------------------------------------------------

constexpr std::pair<const char*, lic::Simd> kSimdNames[] = {{"scalar", lic::Simd::scalar},
                                                            {"sse4.1", lic::Simd::sse41},
                                                            {"avx2", lic::Simd::avx2},
                                                            {"avx512", lic::Simd::avx512}};

std::string simd() {
    for (const auto& [name, level] : kSimdNames) {
        if (level == lic::simd_in_use().load()) return name;
    }
    return "scalar";
}

void set_simd(const std::string& wanted) {
    if (wanted == "auto") return lic::simd_in_use().store(lic::simd_best());
    for (const auto& [name, level] : kSimdNames) {
        if (wanted != name) continue;
        if (!lic::simd_supported(level)) refuse("this CPU or build has no " + wanted + ", want auto or scalar");
        return lic::simd_in_use().store(level);
    }
    refuse("no code path is called " + wanted + ", want auto, scalar, sse4.1, avx2 or avx512");
}

py::dict constants() {
    py::dict all;
#define LIC_ADD(name) all[#name] = py::int_(static_cast<std::int64_t>(name))
    LIC_ADD(LIC_MAJOR);
    LIC_ADD(LIC_MINOR);
    LIC_ADD(LIC_CHANNELS_MAX);
    LIC_ADD(LIC_LATENT_STRIDE);
    LIC_ADD(LIC_HYPER_STRIDE);
    LIC_ADD(LIC_TILE_UNIT);
    LIC_ADD(LIC_TILE_SIDE_MAX);
    LIC_ADD(LIC_PIXELS_MAX);
    LIC_ADD(LIC_CHUNKS_MAX);
    LIC_ADD(LIC_METADATA_MAX);
    LIC_ADD(LIC_SIDE_MAX);
    LIC_ADD(LIC_QUALITY_SCALE);
    LIC_ADD(LIC_QUALITY_MIN);
    LIC_ADD(LIC_QUALITY_MAX);
    LIC_ADD(LIC_FRACTION_BITS);
    LIC_ADD(LIC_PROB_BITS);
    LIC_ADD(LIC_ROW_MAX);
    LIC_ADD(LIC_BANK_ROWS_MAX);
    LIC_ADD(LIC_STATES);
    LIC_ADD(LIC_STATE_MIN);
    LIC_ADD(LIC_WORD_BITS);
    LIC_ADD(LIC_ESCAPE_BITS);
    LIC_ADD(LIC_SYMBOL_MIN);
    LIC_ADD(LIC_SYMBOL_MAX);
    LIC_ADD(LIC_LEVELS_MAX);
    LIC_ADD(LIC_ACTIVITY_MAX);
    LIC_ADD(LIC_Z_STEP_BITS);
    LIC_ADD(LIC_Z_MIN);
    LIC_ADD(LIC_Z_MAX);
    LIC_ADD(LIC_WEIGHT_MAX);
    LIC_ADD(LIC_BIAS_MAX);
    LIC_ADD(LIC_MAP_SHIFT);
    LIC_ADD(LIC_COMPONENTS_MAX);
    LIC_ADD(LIC_NORMAL_STEPS);
    LIC_ADD(LIC_NORMAL_ARGUMENT_BITS);
    LIC_ADD(LIC_INVERSE_MIN);
    LIC_ADD(LIC_INVERSE_MAX);
    LIC_ADD(LIC_OFFSET_ONE);
    LIC_ADD(LIC_OFFSET_ZERO);
    LIC_ADD(LIC_RADIUS_MIN);
    LIC_ADD(LIC_LEAK_SHIFT);
    LIC_ADD(LIC_TRELLIS_STATES);
    LIC_ADD(LIC_TRELLIS_CHECK);
    LIC_ADD(LIC_TRELLIS_PATH);
    LIC_ADD(LIC_LEVEL_PLAIN);
    LIC_ADD(LIC_LEVEL_TRELLIS);
    LIC_ADD(LIC_CHECKSUM_FACTOR);
#undef LIC_ADD
    return all;
}

}  // namespace

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
    m.doc() = "The integer entropy coder of pillow-lic (docs/FORMAT.md, section 7). Use pillow_lic.entropy.";

    py::class_<lic::Bank>(m, "Bank", "Probability rows (FORMAT 7.2).")
        .def(py::init(&make_bank), py::arg("freq"), py::arg("count"), py::arg("first"))
        .def_property_readonly("rows", &lic::Bank::rows);

    py::class_<lic::ScaleMap>(m, "ScaleMap", "The integer map from z to scale indices (FORMAT 7.5).")
        .def(py::init(&make_map), py::arg("weight"), py::arg("offset"), py::arg("hidden") = py::tuple())
        .def_property_readonly("latent", &lic::ScaleMap::M)
        .def_property_readonly("hyper", &lic::ScaleMap::C)
        .def("index", &scale_index<false>, py::arg("z"), py::arg("d"), py::arg("bias"), py::arg("rows"), py::arg("h"),
             py::arg("w"), "Scale indices (M, h, w) as uint8.");

    py::class_<lic::Mixture>(m, "Mixture", "Discretised mixtures of normals (FORMAT 7.8).")
        .def(py::init(&make_mixture), py::arg("normal"), py::arg("inverse"), py::arg("components"))
        .def_property_readonly("components", &lic::Mixture::components)
        .def("encode", &encode_mixed, py::arg("planes"), py::arg("symbols"),
             "The stream of symbols (n,) under the mixtures of planes (3 K, n), in the manner of FORMAT 7.3.")
        .def("decode", &decode_mixed, py::arg("data"), py::arg("planes"), "The inverse.")
        .def("cumulative", &mixture_cumulative, py::arg("planes"), py::arg("x"),
             "For tests: the cumulative frequency below each x, by the table, by a window and by the definition, and "
             "the radius.");

    m.def("scale_index_slow", &scale_index<true>, py::arg("scale_map"), py::arg("z"), py::arg("d"), py::arg("bias"),
          py::arg("rows"), py::arg("h"), py::arg("w"), "ScaleMap.index by the words of FORMAT 7.5.");

    const auto def_encode = [&m](const char* name, auto function, const char* doc) {
        m.def(name, function, py::arg("bank"), py::arg("scale_map"), py::arg("z"), py::arg("r"), py::arg("z_row"),
              py::arg("z_level"), py::arg("d"), py::arg("bias"), py::arg("rows"), py::arg("skip"),
              py::arg("mixture") = nullptr, py::arg("trellis") = lic::kNoTrellis, doc);
    };
    def_encode("encode_tile", &encode_tile<false>, "The stream of a tile (FORMAT 6.3).");
    def_encode("encode_tile_slow", &encode_tile<true>, "encode_tile by the words of FORMAT 7.");

    const auto def_decode = [&m](const char* name, auto function, const char* doc) {
        m.def(name, function, py::arg("data"), py::arg("bank"), py::arg("scale_map"), py::arg("a"), py::arg("b"),
              py::arg("h"), py::arg("w"), py::arg("z_row"), py::arg("z_level"), py::arg("d"), py::arg("bias"),
              py::arg("rows"), py::arg("skip"), py::arg("mixture") = nullptr, py::arg("trellis") = lic::kNoTrellis,
              doc);
    };
    def_decode("decode_tile", &decode_tile<false>, "z and r of a tile from its stream (FORMAT 7).");
    def_decode("decode_tile_slow", &decode_tile<true>, "decode_tile by the words of FORMAT 7.");

    m.def("encode_symbols", &encode_any, py::arg("bank"), py::arg("rows"), py::arg("symbols"),
          "The stream of symbols under given rows of the bank, in the manner of FORMAT 7.3.");
    m.def("decode_symbols", &decode_any, py::arg("data"), py::arg("bank"), py::arg("rows"), "The inverse.");

    m.def("trellis_search", &trellis_search, py::arg("x"), py::arg("index"), py::arg("bits"), py::arg("weight"),
          py::arg("rows"), py::arg("trellis"), py::arg("skip"),
          "Levels (M, n) of least squared error and bits (FORMAT 7.9).");
    m.def("trellis_symbols", &trellis_symbols, py::arg("r"), py::arg("index"), py::arg("rows"), py::arg("trellis"),
          py::arg("skip"), "The symbols (M, n) of levels, and their rows.");

    m.def("simd", &simd, "The code path of the scale index map that is in use.");
    m.def("set_simd", &set_simd, py::arg("path"),
          "Chooses it for the whole process, for tests; 'auto' is the best one.");
    m.attr("NO_TRELLIS") = lic::kNoTrellis;
    m.def("constants", &constants, "Every constant of FORMAT 10.");
}

// The module pillow_lic._core: lic::Model for Python. With bind.h the only file of the product that knows Python.
// It trusts no argument: type, layout, shape and range are checked here, so that the core need not. Wrong arguments are
// ValueError (TypeError when a thing is no buffer at all), streams that do not decode pillow_lic.errors.LicCorruptTile,
// tables that are not as FORMAT 9.2 says LicModelMissing.
#include "bind.h"

#include <algorithm>
#include <deque>

#include "bind_nn.h"
#include "cpu.h"
#include "image.h"
#include "prediction.h"

namespace {

using namespace lic_bind;

// ---------------------------------------------------------------------------------------------------------------------
// A model from its arrays

// The arrays of a mapping as the core wants them, held while this lives.
struct HeldArrays {
    std::deque<py::buffer_info> infos;
    std::deque<std::vector<std::uint8_t>> copies;  // of those that are not contiguous
    lic::Arrays arrays;

    explicit HeldArrays(const py::object& mapping) {
        for (const py::handle& item : mapping.attr("items")()) {
            const auto [key, value] = item.cast<std::pair<std::string, py::object>>();
            if (lic::is_table(key)) add(key, value);
        }
    }

    void add(const std::string& name, const py::object& value) {
        if (!PyObject_CheckBuffer(value.ptr())) {
            throw lic::BadModel("the array " + name + " is " + py::cast<std::string>(py::repr(value)) +
                                ", want an array");
        }
        try {
            infos.push_back(value.cast<py::buffer>().request());
        } catch (const py::error_already_set& error) {  // of NumPy's dates, for example
            throw lic::BadModel("the array " + name + " cannot be read: " + error.what());
        }
        const py::buffer_info& info = infos.back();
        if (info.itemsize < 1) throw lic::BadModel("the array " + name + " has elements of no size");
        const void* data = info.ptr;
        const bool aligned = reinterpret_cast<std::uintptr_t>(data) % static_cast<std::size_t>(info.itemsize) == 0;
        if (!contiguous(info) || !aligned) {
            copies.emplace_back(static_cast<std::size_t>(info.size * info.itemsize));
            if (PyBuffer_ToContiguous(copies.back().data(), info.view(), info.size * info.itemsize, 'C') != 0) {
                throw py::error_already_set();
            }
            data = copies.back().data();
        }
        arrays[name] = {type_of(info), {info.shape.begin(), info.shape.end()}, data};
    }
};

std::int64_t integer(const py::object& value, const lic::Limit& limit) {
    int overflow = 0;
    long long number = 0;
    if (PyLong_CheckExact(value.ptr())) number = PyLong_AsLongLongAndOverflow(value.ptr(), &overflow);
    if (!PyLong_CheckExact(value.ptr()) || overflow) {
        throw lic::BadModel(std::string(limit.name) + " is " + py::cast<std::string>(py::repr(value)) +
                            ", want an integer from " + std::to_string(limit.low) + " to " +
                            std::to_string(limit.high));
    }
    return number;
}

lic::Model make_model(const py::object& arrays, const py::object& latent, const py::object& hyper,
                      const py::object& points, const py::object& rows, const py::object& skip) {
    try {
        const auto& limits = lic::kLimits;
        const lic::Numbers numbers{integer(latent, limits[0]), integer(hyper, limits[1]), integer(points, limits[2]),
                                   integer(rows, limits[3]), integer(skip, limits[4])};
        return lic::Model(HeldArrays(arrays).arrays, numbers);
    } catch (const lic::BadModel& error) {
        raise("LicModelMissing", std::string("the model's tables are not intact: ") + error.what() +
                                     "; reinstall the model, or export it again");
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// z

void scale_index_into(const lic::Model& model, const Coding& q, const py::buffer& z, const Sides& shape,
                      const py::buffer& out) {
    const lic::Shape s = shape_of(model, shape, kGridMost);
    const lic::Setting setting = setting_at(model, q, s);
    const Values<const std::int16_t> symbols(z, "z", z_shape(s));
    const Values<std::uint8_t> to(out, "out", r_shape(s, model.planes()), true);
    const Released released;
    model.index(setting, s, symbols.data, to.data);
}

py::array_t<std::uint8_t> scale_index(const lic::Model& model, const Coding& q, const py::buffer& z, py::ssize_t h,
                                      py::ssize_t w) {
    const lic::Shape s = shape_of(model, {h, w}, kGridMost);
    const lic::Setting setting = setting_at(model, q, s);
    const Values<const std::int16_t> symbols(z, "z", z_shape(s));
    auto out = array_of<std::uint8_t>(model.planes() * s.M, s.h, s.w);
    std::uint8_t* to = out.mutable_data();
    const Released released;
    model.index(setting, s, symbols.data, to);
    return out;
}

// z (C, a, b), of any a and b.
struct Hyper : Values<const std::int16_t> {
    std::size_t a, b;
    Hyper(const lic::Model& model, const py::buffer& z)
        : Values(z, "z", {static_cast<py::ssize_t>(model.C()), kAny, kAny}),
          a(in_range(length(1), "z (rows)", 1, kGridMost)),
          b(in_range(length(2), "z (columns)", 1, kGridMost)) {}
};

void dequantise_into(const lic::Model& model, py::ssize_t q, const py::buffer& z, const Sides& shape,
                     const py::buffer& v) {
    const lic::Setting setting = setting_at(model, q);
    const lic::Shape s = shape_of(model, shape, kGridMost);
    const Values<const std::int16_t> symbols(z, "z", z_shape(s));
    const Values<std::int16_t> to(v, "v", z_shape(s), true);
    const Released released;
    model.dequantise(setting, symbols.data, s.a * s.b, to.data);
}

py::array_t<std::int16_t> dequantise(const lic::Model& model, py::ssize_t q, const py::buffer& z) {
    const lic::Setting setting = setting_at(model, q);
    const Hyper symbols(model, z);
    auto out = array_of<std::int16_t>(model.C(), symbols.a, symbols.b);
    std::int16_t* to = out.mutable_data();
    const Released released;
    model.dequantise(setting, symbols.data, symbols.a * symbols.b, to);
    return out;
}

py::array_t<std::uint16_t> z_rows(const lic::Model& model, py::ssize_t q, const py::buffer& z) {
    const lic::Setting setting = setting_at(model, q);
    const Hyper symbols(model, z);
    const lic::Shape s = model.shape(symbols.a * lic::kSide, symbols.b * lic::kSide);
    auto out = array_of<std::uint16_t>(s.C, s.a, s.b);
    std::uint16_t* to = out.mutable_data();
    const Released released;
    model.z_rows(setting, s, symbols.data, to);
    return out;
}

// ---------------------------------------------------------------------------------------------------------------------
// What an encoder asks of r

// The index of residuals (M, n): (planes M, n).
Values<const std::uint8_t> index_of(const lic::Model& model, const py::buffer& index, py::ssize_t n) {
    return {index, "index", {static_cast<py::ssize_t>(model.planes() * model.M()), n}};
}

lic::Coded coded(const lic::Model& model, const Values<const std::int16_t>& r, const Values<const std::uint8_t>& index,
                 const py::bytes& stages) {
    return {r.data, index.data, model.M(), static_cast<std::size_t>(r.length(1)), lic_bind::stages_of(model, stages)};
}

double price(const lic::Model& model, const py::buffer& r, const py::buffer& index, const py::bytes& stages) {
    const Values<const std::int16_t> values(r, "r", {static_cast<py::ssize_t>(model.M()), kAny});
    const auto scale = index_of(model, index, values.length(1));
    const lic::Coded all = coded(model, values, scale, stages);
    double bits = 0.0;
    lic::Status status;
    {
        const Released released;
        status = model.price(all, bits);
    }
    if (status != lic::Status::ok) refuse(lic::describe(status));
    return bits;
}

py::tuple symbols(const lic::Model& model, const py::buffer& r, const py::buffer& index, const py::bytes& stages) {
    const Values<const std::int16_t> values(r, "r", {static_cast<py::ssize_t>(model.M()), kAny});
    const py::ssize_t M = values.length(0), n = values.length(1);
    const auto scale = index_of(model, index, n);
    py::array_t<std::int16_t> symbol({M, n});
    py::array_t<std::uint8_t> row({M, n});
    std::int16_t* symbol_at = symbol.mutable_data();
    std::uint8_t* row_at = row.mutable_data();
    const lic::Coded all = coded(model, values, scale, stages);
    lic::Status status;
    {
        const Released released;
        status = model.symbols(all, symbol_at, row_at);
    }
    if (status != lic::Status::ok) refuse(lic::describe(status));
    return py::make_tuple(symbol, row);
}

py::array_t<std::int16_t> quantise(const lic::Model& model, const py::buffer& x, const py::buffer& index,
                                   const py::buffer& weight, const py::bytes& stages) {
    const auto M = static_cast<py::ssize_t>(model.M());
    const Values<const float> values(x, "x", {M, kAny});
    const py::ssize_t n = values.length(1);
    const auto scale = index_of(model, index, n);
    const Values<const float> weights(weight, "weight", {M});
    py::array_t<std::int16_t> r({M, n});
    const lic::Unquantised all{values.data,
                               scale.data,
                               weights.data,
                               model.M(),
                               static_cast<std::size_t>(n),
                               r.mutable_data(),
                               lic_bind::stages_of(model, stages)};
    const Released released;
    model.quantise(all);
    return r;
}

// The thresholds of stages that hold these shares of an image's bits before each of them.
py::bytes stages_at(const lic::Model& model, const Coding& q, const py::buffer& z, const Sides& shape,
                    const std::vector<double>& shares) {
    const lic::Shape s = shape_of(model, shape, kGridMost);
    const lic::Setting setting = setting_at(model, q, s);
    const Values<const std::int16_t> symbols(z, "z", z_shape(s));
    lic::Stages stages;
    {
        const Released released;
        stages = model.stages_at(setting, s, symbols.data, shares);
    }
    return py::bytes(reinterpret_cast<const char*>(stages.least), stages.count - 1);
}

// ---------------------------------------------------------------------------------------------------------------------

py::tuple rate_point(py::ssize_t q, py::ssize_t points) {
    const std::size_t at = in_range(q, "q", LIC_QUALITY_MIN, LIC_QUALITY_MAX);
    const lic::RatePoint found = lic::rate_point(static_cast<std::int32_t>(at),
                                                 in_range(points, "points", lic::kLimits[2].low, lic::kLimits[2].high));
    return py::make_tuple(found.p, found.f, found.nearest);
}

py::dict constants() {
    py::dict all;
#define LIC_ADD(name, value) all[#name] = py::int_(static_cast<std::int64_t>(name));
    LIC_CONSTANTS(LIC_ADD)
#undef LIC_ADD
    return all;
}

py::list residual_arrays() {
    py::list names;
    for (const char* name : lic::residual_arrays()) names.append(name);
    return names;
}

using Volume = std::tuple<py::ssize_t, py::ssize_t, py::ssize_t>;

// `turn` of samples of `shape`, height, width and bands.
template <typename Sample, typename Turn>
void turned(const py::buffer& from, const Volume& shape, std::uint32_t most, const py::buffer& out, const Turn& turn) {
    constexpr py::ssize_t kMost = LIC_PIXELS_MAX / LIC_TILE_UNIT;
    const auto [height, width, bands] = shape;
    const lic::Deep deep{in_range(height, "shape (height)", 1, kMost), in_range(width, "shape (width)", 1, kMost),
                         in_range(bands, "shape (bands)", 1, 4), most};
    const Values<const Sample> samples(from, "samples", {height, width, bands});
    const Values<Sample> to(out, "out", {height, width, bands}, true);
    const Released released;
    turn(deep, samples.data, to.data);
}

// The same of uint16, of a depth of 32 uint32.
template <typename Turn>
void turned_at(const py::buffer& from, const Volume& shape, py::ssize_t depth, const py::buffer& out,
               const Turn& turn) {
    if (depth == LIC_DEPTH_WHOLE) return turned<std::uint32_t>(from, shape, UINT32_MAX, out, turn);
    const std::uint32_t most = (1u << in_range(depth, "depth", LIC_DEPTH_MIN, LIC_DEPTH_MAX)) - 1;
    turned<std::uint16_t>(from, shape, most, out, turn);
}

void predict(const py::buffer& from, const Volume& shape, py::ssize_t depth, const py::buffer& out) {
    turned_at(from, shape, depth, out, [](const lic::Deep& deep, auto* s, auto* u) { lic::predict(deep, s, u); });
}

void restore(const py::buffer& from, const Volume& shape, py::ssize_t depth, const py::buffer& out) {
    turned_at(from, shape, depth, out, [](const lic::Deep& deep, auto* u, auto* s) { lic::restore(deep, u, s); });
}

py::dict model_limits() {
    py::dict all;
    for (const lic::Limit& limit : lic::kLimits) all[limit.name] = py::make_tuple(limit.low, limit.high);
    return all;
}

// ---------------------------------------------------------------------------------------------------------------------
// A tile of an image

using Place = std::tuple<py::ssize_t, py::ssize_t, py::ssize_t, py::ssize_t>;  // hy, wy, S, the tile's number

struct TileOf {
    Sizes sizes;
    lic::Tiling tiling;
    std::size_t number;
    explicit TileOf(const Place& place)
        : sizes({std::get<0>(place), std::get<1>(place)}),
          tiling{sizes.hy, sizes.wy, in_range(std::get<2>(place), "place (side)", 1, LIC_TILE_SIDE_MAX)},
          number(in_range(std::get<3>(place), "place (number)", 0, static_cast<py::ssize_t>(tiling.count()) - 1)) {}
};

// Whether the tile is all there; with `cut` its stages may break off.
bool read_tile(const lic::Model& model, const Coding& q, const py::sequence& data, const Place& place,
               const py::buffer& z, const py::buffer& r, bool cut) {
    const TileOf tile(place);
    const lic::Setting setting = setting_at(model, q, model.shape(tile.sizes.hy, tile.sizes.wy));
    const Segments segments(data, setting);
    const Values<std::int16_t> to_z(z, "z", tile.sizes.hyper(model.C()), true),
        to_r(r, "r", tile.sizes.latent(model.M()), true);
    lic::Outcome outcome{};
    {
        const Released released;
        outcome =
            lic::read_tile(model, setting, tile.tiling, tile.number, segments.streamed(cut), to_z.data, to_r.data);
    }
    check_stream(outcome, segments.bytes.size());
    return !outcome.cut;
}

// intervals: (2, M, hy, wy), where each symbol's begins and how wide it is, for models that take them.
py::list write_tile(const lic::Model& model, const Coding& q, const Place& place, const py::buffer& z,
                    const py::buffer& r, const std::optional<py::buffer>& intervals) {
    const TileOf tile(place);
    const lic::Setting setting = setting_at(model, q, model.shape(tile.sizes.hy, tile.sizes.wy));
    const Values<const std::int16_t> from_z(z, "z", tile.sizes.hyper(model.C())),
        from_r(r, "r", tile.sizes.latent(model.M()));
    lic::Integers from{from_z.data, from_r.data};
    std::optional<Values<const std::int32_t>> known;
    if (intervals) {
        if (!model.takes_intervals()) refuse("argument intervals: this residual kind takes none");
        std::vector<py::ssize_t> sides = tile.sizes.latent(model.M());
        sides.insert(sides.begin(), 2);
        known.emplace(*intervals, "intervals", sides);
        from.start = known->data, from.freq = known->data + model.M() * tile.sizes.hy * tile.sizes.wy;
    }
    lic::Stream stream;
    lic::Status status;
    {
        const Released released;
        status = lic::write_tile(model, setting, tile.tiling, tile.number, from, stream);
    }
    if (status != lic::Status::ok) refuse(std::string("cannot encode the tile: ") + lic::describe(status));
    return stages_of(stream, setting);
}

}  // namespace

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
    m.doc() = "The entropy coder of pillow-lic (docs/FORMAT.md, section 7) and its native engine (section 8).";

    py::class_<lic::Model>(m, "Model", "A model's integer tables, checked, and the coder over them (FORMAT 7, 9.2).")
        .def(py::init(&make_model), py::arg("arrays"), py::arg("latent"), py::arg("hyper"), py::arg("points"),
             py::arg("rows"), py::arg("skip"))
        .def("read_tile", &read_tile, py::arg("q"), py::arg("data"), py::arg("place"), py::arg("z"), py::arg("r"),
             py::arg("cut") = false)
        .def("write_tile", &write_tile, py::arg("q"), py::arg("place"), py::arg("z"), py::arg("r"),
             py::arg("intervals") = py::none())
        .def("scale_index", &scale_index, py::arg("q"), py::arg("z"), py::arg("h"), py::arg("w"))
        .def("scale_index_into", &scale_index_into, py::arg("q"), py::arg("z"), py::arg("shape"), py::arg("out"))
        .def("dequantise", &dequantise, py::arg("q"), py::arg("z"))
        .def("dequantise_into", &dequantise_into, py::arg("q"), py::arg("z"), py::arg("shape"), py::arg("v"))
        .def("z_rows", &z_rows, py::arg("q"), py::arg("z"))
        .def(
            "z_steps", [](const lic::Model& model, py::ssize_t q) { return array_of(setting_at(model, q).d); },
            py::arg("q"))
        .def(
            "bias", [](const lic::Model& model, py::ssize_t q) { return array_of(setting_at(model, q).bias); },
            py::arg("q"))
        .def("stages", &stages_at, py::arg("q"), py::arg("z"), py::arg("shape"), py::arg("shares"))
        .def("price", &price, py::arg("r"), py::arg("index"), py::arg("stages") = py::bytes())
        .def("symbols", &symbols, py::arg("r"), py::arg("index"), py::arg("stages") = py::bytes())
        .def("quantise", &quantise, py::arg("x"), py::arg("index"), py::arg("weight"), py::arg("stages") = py::bytes())
        .def_property_readonly("levels", &lic::Model::levels)
        .def_property_readonly("classes", &lic::Model::classes)
        .def_property_readonly("staged", &lic::Model::staged)
        .def_property_readonly("takes_intervals", &lic::Model::takes_intervals)
        .def_property_readonly("kind", &lic::Model::kind)
        .def_property_readonly("spacings", &lic::Model::spacings)
        .def_property_readonly("unit", &lic::Model::unit)
        .def_property_readonly("planes", &lic::Model::planes)
        .def_property_readonly("values", &lic::Model::values)
        .def_property_readonly("scale_rows", &lic::Model::scale_rows);
    bind_nn(m);
    bind_jpeg(m);

    m.def("rate_point", &rate_point, py::arg("q"), py::arg("points"), "p, f and nearest of FORMAT 7.1.");
    m.def("constants", &constants, "Every constant of FORMAT 10.");
    m.def("residual_arrays", &residual_arrays, "The arrays of FORMAT 9.2 that are some residual kind's own.");
    m.def("predict", &predict, py::arg("samples"), py::arg("shape"), py::arg("depth"), py::arg("out"),
          "Numbers of FORMAT 5.2 from samples.");
    m.def("restore", &restore, py::arg("samples"), py::arg("shape"), py::arg("depth"), py::arg("out"), "The inverse.");
    m.def("model_limits", &model_limits,
          "The integers of FORMAT 9.1 and their ranges, in the order of a model's hash.");

    // For _core_test, which has a copy of the core: the level of instruction sets that this module uses.
    m.attr("_simd") = py::capsule(&lic::simd_in_use(), "lic::Simd");
}

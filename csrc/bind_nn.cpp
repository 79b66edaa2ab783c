// The native engine for Python: lic::nn::Photo, Thumbnail and Analysis. Arguments and results are buffers; NumPy is not
// needed.
#include "bind_nn.h"

#include <algorithm>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "bind_networks.h"
#include "nn/analysis.h"
#include "nn/encoder.h"
#include "nn/gradient.h"
#include "nn/kernel_sets.h"
#include "nn/photo.h"
#include "nn/planes.h"
#include "nn/search.h"
#include "nn/thumbnail.h"
#include "nn/visual.h"

namespace {

using namespace lic_bind;
namespace nn = lic::nn;

using Box = std::tuple<py::ssize_t, py::ssize_t, py::ssize_t, py::ssize_t>;  // top, left, bottom, right, in pixels

constexpr py::ssize_t kPassesMost = 1000;

nn::Image image_of(const Sizes& s, const std::int16_t* v, const std::int16_t* r) {
    return {s.hy, s.wy, {v, s.hz * s.wz, s.wz, 0, 0}, {r, s.hy * s.wy, s.wy, 0, 0}};
}

// The rows by which a file's quality map moves the scale index, one for each hyper position; held while we work.
struct HeldShift {
    std::optional<Values<const std::int8_t>> values;
    HeldShift(const Coding& coding, const Sizes& s) {
        const auto* whole = std::get_if<1>(&coding);
        if (!whole) return;
        const auto& rows = std::get<2>(*whole);
        if (!rows) return;
        values.emplace(*rows, "q (map)",
                       std::vector<py::ssize_t>{static_cast<py::ssize_t>(s.hz), static_cast<py::ssize_t>(s.wz)});
    }
    nn::Shift shift(const Sizes& s) const { return {values ? values->data : nullptr, s.wz}; }
};

// Another decoder, how much of its synthesis, the seed of its noise and where the grid lies in the picture's.
using StyleOf = std::tuple<const nn::Photo*, py::ssize_t, py::ssize_t, Sides>;

nn::Style style_of(const StyleOf& style, const nn::Photo& photo) {
    const auto& [other, strength, seed, corner] = style;
    if (!other || !photo.fits(*other)) refuse("argument style has a synthesis of another shape");
    const auto side = [](py::ssize_t at, const char* name) { return in_range(at, name, 0, LIC_SIDE_MAX); };
    return {other,
            static_cast<int>(in_range(strength, "style (strength)", 0, 255)),
            {static_cast<std::uint32_t>(in_range(seed, "style (seed)", 0, 0xFFFFFFFF)),
             side(std::get<0>(corner), "style (row)"), side(std::get<1>(corner), "style (column)")}};
}

void render(const nn::Photo& photo, const Coding& q, const py::buffer& v, const py::buffer& r, const Sides& grid,
            const Box& box, const py::buffer& out, py::ssize_t threads, const std::optional<StyleOf>& style,
            py::ssize_t depth) {
    const Sizes s(grid);
    const int quality = quality_of(q), bits = static_cast<int>(in_range(depth, "depth", LIC_DEPTH_MIN, LIC_DEPTH_MAX));
    const nn::Style shown = style ? style_of(*style, photo) : nn::Style{};
    const HeldShift map(q, s);
    const std::size_t count = threads_of(threads);
    const auto height = static_cast<py::ssize_t>(s.hy * LIC_LATENT_STRIDE);
    const auto width = static_cast<py::ssize_t>(s.wy * LIC_LATENT_STRIDE);
    const std::size_t top = in_range(std::get<0>(box), "box (top)", 0, height - 1);
    const std::size_t left = in_range(std::get<1>(box), "box (left)", 0, width - 1);
    const std::size_t bottom = in_range(std::get<2>(box), "box (bottom)", std::get<0>(box) + 1, height);
    const std::size_t right = in_range(std::get<3>(box), "box (right)", std::get<1>(box) + 1, width);
    const Values<const std::int16_t> from_v(v, "v", s.hyper(photo.hyper())), from_r(r, "r", s.latent(photo.latent()));
    const py::buffer_info to = held(out, "out", true);
    const std::size_t bytes = depth > LIC_DEPTH_MIN ? sizeof(std::uint16_t) : 1, area = (bottom - top) * (right - left);
    const std::size_t size = static_cast<std::size_t>(to.size), bands = size / (area * bytes);
    if (to.itemsize != 1 || !contiguous(to) || (bands != 1 && bands != 3) || size != bands * area * bytes ||
        reinterpret_cast<std::uintptr_t>(to.ptr) % bytes) {
        refuse("argument out is no contiguous buffer of 1 or 3 samples for each pixel of the box, in bytes");
    }
    const nn::Canvas canvas{
        static_cast<std::uint8_t*>(to.ptr), (right - left) * bands * bytes, bands, top, left, bottom, right, bits};
    nn::Image image = image_of(s, from_v.data, from_r.data);
    image.shift = map.shift(s);
    const Released released;
    photo.render(image, quality, canvas, count, shown);
}

void thumbnail(const nn::Thumbnail& network, const nn::Photo& photo, const Coding& q, const py::buffer& v,
               const py::buffer& r, const Sides& grid, py::ssize_t scale, const Sides& size, const py::buffer& out,
               py::ssize_t threads) {
    const Sizes s(grid);
    const int quality = quality_of(q);
    const HeldShift map(q, s);
    const std::size_t count = threads_of(threads);
    if (scale != 4 && scale != 8 && scale != 16) refuse("argument scale is none of 4, 8 and 16");
    if (photo.latent() != network.latent()) refuse("argument photo has other latents than this network");
    const std::size_t places = static_cast<std::size_t>(LIC_LATENT_STRIDE / scale);
    const std::size_t height = in_range(size.first, "size (rows)", 1, static_cast<py::ssize_t>(s.hy * places));
    const std::size_t width = in_range(size.second, "size (columns)", 1, static_cast<py::ssize_t>(s.wy * places));
    const Values<const std::int16_t> from_v(v, "v", s.hyper(photo.hyper())), from_r(r, "r", s.latent(photo.latent()));
    const py::buffer_info to = held(out, "out", true);
    const std::size_t bands = static_cast<std::size_t>(to.size) / (height * width);
    if (to.itemsize != 1 || !contiguous(to) || (bands != 1 && bands != 3) ||
        static_cast<std::size_t>(to.size) != bands * height * width) {
        refuse("argument out is no contiguous buffer of 1 or 3 bytes for each sample of the small picture");
    }
    nn::Image image = image_of(s, from_v.data, from_r.data);
    image.shift = map.shift(s);
    const nn::Canvas canvas{static_cast<std::uint8_t*>(to.ptr), width * bands, bands, 0, 0, height, width};
    const Released released;
    network.render(photo, image, quality, static_cast<std::size_t>(scale), canvas, count);
}

void latents(const nn::Photo& photo, const Coding& q, const py::buffer& v, const py::buffer& r, const Sides& grid,
             const py::buffer& out, const std::optional<py::buffer>& log) {
    const Sizes s(grid);
    const int quality = quality_of(q);
    const HeldShift map(q, s);
    const Values<const std::int16_t> from_v(v, "v", s.hyper(photo.hyper())), from_r(r, "r", s.latent(photo.latent()));
    const Values<std::int16_t> to(out, "out", s.latent(photo.latent()), true);
    std::optional<Values<std::int16_t>> log_to;
    if (log) log_to.emplace(*log, "log", s.rows(photo.latent()), true);
    nn::Image image = image_of(s, from_v.data, from_r.data);
    image.shift = map.shift(s);
    image.log = log_to ? log_to->data : nullptr;
    const Released released;
    photo.latents(image, quality, to.data);
}

void check_latents(const nn::Photo& photo, const lic::Model& model) {
    if (model.planes() != 1 || model.M() != photo.latent() || model.C() != photo.hyper()) {
        refuse("argument model has other latents than these networks");
    }
}

// One weight for all channels, or a buffer of one for each.
std::vector<float> weights_of(const py::object& weight, std::size_t M) {
    const bool plain = PyFloat_Check(weight.ptr()) || PyLong_Check(weight.ptr()) || !PyObject_CheckBuffer(weight.ptr());
    if (plain) return std::vector<float>(M, weight.cast<float>());
    const Values<const float> each(weight.cast<py::buffer>(), "weight", {static_cast<py::ssize_t>(M)});
    return {each.data, each.data + M};
}

void quantise(const nn::Photo& photo, const lic::Model& model, const Coding& q, const py::buffer& z,
              const py::buffer& y, const py::buffer& r, const Sides& grid, const py::object& weight,
              py::ssize_t threads) {
    const Sizes s(grid);
    check_latents(photo, model);
    const int quality = quality_of(q);
    const lic::Setting setting = setting_at(model, q, model.shape(s.hy, s.wy));
    const std::size_t count = threads_of(threads), M = model.M();
    const Values<const std::int16_t> symbols(z, "z", s.hyper(model.C()));
    const Values<const std::int32_t> from_y(y, "y", s.rows(M));
    const Values<std::int16_t> to(r, "r", s.latent(M), true);
    const std::vector<float> weights = weights_of(weight, M);
    const Released released;
    std::vector<std::int16_t> v(model.C() * s.hz * s.wz);
    std::vector<std::uint8_t> index(M * s.hy * s.wy);
    model.dequantise(setting, symbols.data, s.hz * s.wz, v.data());
    model.index(setting, model.shape(s.hy, s.wy), symbols.data, index.data());
    nn::Choice choice;
    choice.y = from_y.data, choice.index = index.data(), choice.r = to.data;
    choice.quantise = [&](std::size_t, const float* x, const std::uint8_t* at, std::size_t n, std::int16_t* out) {
        model.quantise({x, at, weights.data(), M, n, out, setting.stages});
    };
    nn::Image image = image_of(s, v.data(), nullptr);
    image.shift = {setting.shift.empty() ? nullptr : setting.shift.data(), s.wz};
    photo.quantise(image, quality, choice, count);
}

// The squared error; `out`, where there is one, takes its gradient.
double gradient(const nn::Photo& photo, py::ssize_t q, const py::buffer& y_hat, const py::buffer& pixels,
                const Volume& shape, const std::optional<py::buffer>& out, py::ssize_t threads) {
    const int quality = quality_of(q);
    const std::size_t count = threads_of(threads);
    const HeldPicture held_picture(pixels, shape);
    const std::vector<py::ssize_t> sides = held_picture.sizes.rows(photo.latent());
    const Values<const std::int16_t> from(y_hat, "y_hat", sides);
    std::optional<Values<float>> to;
    if (out) to.emplace(*out, "out", sides, true);
    const Released released;
    return nn::Gradient(photo, quality)(from.data, held_picture.picture, to ? to->data : nullptr, count);
}

// The visual distance times the pixels, between a picture and levels (4 hy, 4 wy, 48) in 1/16; `out`, where there is
// one, takes its gradient.
double visual(const py::buffer& levels, const py::buffer& pixels, const Volume& shape,
              const std::optional<py::buffer>& out, const std::string& kernels, py::ssize_t threads) {
    const nn::Kernels* set = nn::find_kernels(kernels);
    if (!set) refuse("argument kernels is '" + kernels + "', which this CPU has not");
    const std::size_t count = threads_of(threads);
    const HeldPicture held_picture(pixels, shape);
    const Sizes& s = held_picture.sizes;
    const std::vector<py::ssize_t> sides{static_cast<py::ssize_t>(4 * s.hy), static_cast<py::ssize_t>(4 * s.wy), 48};
    const Values<const std::int16_t> from(levels, "levels", sides);
    std::optional<Values<float>> to;
    if (out) to.emplace(*out, "out", sides, true);
    const Released released;
    return nn::Visual(held_picture.picture, *set)(from.data, to ? to->data : nullptr, 1.0f, count);
}

bool search(const nn::Photo& photo, const lic::Model& model, const Coding& q, const py::buffer& z, const py::buffer& y,
            const py::buffer& r, const py::buffer& pixels, const Volume& shape, py::ssize_t passes, double bit,
            float weight, double visual, py::ssize_t threads, const std::optional<py::buffer>& moved,
            const std::optional<py::buffer>& weights) {
    check_latents(photo, model);
    const int quality = quality_of(q);
    const std::size_t count = threads_of(threads), times = in_range(passes, "passes", 0, kPassesMost);
    if (!(bit > 0.0 && bit < 1e12)) refuse("argument bit is not above 0 and below 1e12");
    if (!(visual >= 0.0 && visual < 1e12)) refuse("argument visual is not from 0 to below 1e12");
    const HeldPicture held_picture(pixels, shape);
    const Sizes& s = held_picture.sizes;
    const Values<const std::int16_t> symbols(z, "z", s.hyper(model.C()));
    const Values<const std::int32_t> from(y, "y", s.rows(model.M()));
    const Values<std::int16_t> to(r, "r", s.latent(model.M()), true);
    std::optional<Values<std::int32_t>> moved_to;
    if (moved) moved_to.emplace(*moved, "moved", s.rows(model.M()), true);
    std::optional<Values<float>> weights_to;
    if (weights) weights_to.emplace(*weights, "weights", std::vector{static_cast<py::ssize_t>(model.M())}, true);
    const lic::Setting setting = setting_at(model, q, model.shape(s.hy, s.wy));
    const Released released;
    return nn::search(
        {photo, model, quality, setting, held_picture.picture, symbols.data, from.data, times, weight, bit, visual,
         count, moved_to ? moved_to->data : nullptr, weights_to ? weights_to->data : nullptr},
        to.data);
}

void analyse(const nn::Analysis& analysis, py::ssize_t q, const py::buffer& pixels, const Volume& shape,
             const py::buffer& y, py::ssize_t threads) {
    const int quality = quality_of(q);
    const std::size_t count = threads_of(threads);
    const HeldPicture held_picture(pixels, shape);
    const Sizes& s = held_picture.sizes;
    const Values<std::int32_t> to(y, "y", s.rows(analysis.latent()), true);
    const Released released;
    analysis.analyse(held_picture.picture, quality, to.data, count);
}

void hyper_symbols(const nn::Analysis& analysis, const lic::Model& model, py::ssize_t q, const py::buffer& y,
                   const Sides& grid, const py::buffer& z) {
    const Sizes s(grid);
    if (model.C() != analysis.hyper()) refuse("argument model has other latents than these networks");
    const int quality = quality_of(q);
    const Values<const std::int32_t> from(y, "y", s.rows(analysis.latent()));
    const Values<std::int16_t> to(z, "z", s.hyper(model.C()), true);
    const Released released;
    nn::hyper_symbols(analysis, model, quality, from.data, s.hy, s.wy, to.data);
}

// passes, bit, weight and visual of a search
using Effort = std::tuple<py::ssize_t, double, float, double>;

void encode(const nn::Analysis& analysis, const nn::Photo& photo, const lic::Model& model, const Coding& q,
            const py::buffer& pixels, const Volume& shape, const std::tuple<py::buffer, py::buffer>& symbols,
            const Effort& effort, py::ssize_t threads, std::size_t slice) {
    check_latents(photo, model);
    if (model.C() != analysis.hyper() || model.M() != analysis.latent()) {
        refuse("argument model has other latents than these networks");
    }
    const auto [passes, bit, weight, visual] = effort;
    const std::size_t times = in_range(passes, "effort (passes)", 0, kPassesMost);
    if (times && !(bit > 0.0 && bit < 1e12)) refuse("argument effort (bit) is not above 0 and below 1e12");
    if (!(visual >= 0.0 && visual < 1e12)) refuse("argument effort (visual) is not from 0 to below 1e12");
    const HeldPicture held_picture(pixels, shape);
    const Sizes& s = held_picture.sizes;
    const int quality = quality_of(q);
    const lic::Setting setting = setting_at(model, q, model.shape(s.hy, s.wy));
    if (setting.stages.count > 1) refuse("argument q has stages, whose thresholds come from all of z");
    const Values<std::int16_t> z(std::get<0>(symbols), "z", s.hyper(model.C()), true),
        r(std::get<1>(symbols), "r", s.latent(model.M()), true);
    const nn::Encoder encoder{analysis, photo, model, quality, setting, times, weight, bit, visual, threads_of(threads),
                              slice};
    const Released released;
    nn::encode(encoder, held_picture.picture, z.data, r.data);
}

// ---------------------------------------------------------------------------------------------------------------------
// Planes of bytes

using Runs = std::vector<std::tuple<py::ssize_t, bool, py::ssize_t>>;  // bytes of an element, signed, how many
using Turn = void (*)(const std::vector<nn::Run>&, const std::uint8_t*, std::uint8_t*);

template <Turn turn>
void turned(const Runs& runs, const py::buffer& data, const py::buffer& out) {
    const Bytes from(data);
    const Values<std::uint8_t> to(out, "out", {static_cast<py::ssize_t>(from.size)}, true);
    std::vector<nn::Run> all;
    for (const auto& [bytes, is_signed, count] : runs) {
        if (bytes < 0 || count < 0) refuse("argument runs has a negative number");
        all.push_back({static_cast<std::size_t>(bytes), is_signed, static_cast<std::size_t>(count)});
    }
    std::size_t size = 0;
    if (!nn::size_of(all, from.size, &size) || size != from.size) {
        refuse("argument runs does not cover data, which has " + std::to_string(from.size) + " bytes");
    }
    const Released released;
    turn(all, from.data, to.data);
}

}  // namespace

void bind_nn(py::module_& m) {
    py::class_<nn::Photo>(m, "Photo", "The decoder networks of the photo family in integers (FORMAT 8).")
        .def(py::init(&make<nn::Photo>), py::arg("tensors"), py::arg("kernels") = "auto")
        .def("render", &render, py::arg("q"), py::arg("v"), py::arg("r"), py::arg("grid"), py::arg("box"),
             py::arg("out"), py::arg("threads") = 1, py::arg("style") = py::none(), py::arg("depth") = LIC_DEPTH_MIN)
        .def("latents", &latents, py::arg("q"), py::arg("v"), py::arg("r"), py::arg("grid"), py::arg("out"),
             py::arg("log") = py::none())
        .def("quantise", &quantise, py::arg("model"), py::arg("q"), py::arg("z"), py::arg("y"), py::arg("r"),
             py::arg("grid"), py::arg("weight"), py::arg("threads") = 1)
        .def("search", &search, py::arg("model"), py::arg("q"), py::arg("z"), py::arg("y"), py::arg("r"),
             py::arg("pixels"), py::arg("shape"), py::arg("passes"), py::arg("bit"), py::arg("weight"),
             py::arg("visual") = 0.0, py::arg("threads") = 1, py::arg("moved") = py::none(),
             py::arg("weights") = py::none())
        .def("fits", &nn::Photo::fits, py::arg("other"))
        .def_property_readonly("latent", &nn::Photo::latent)
        .def_property_readonly("hyper", &nn::Photo::hyper)
        .def_property_readonly("halo", &nn::Photo::halo);
    py::class_<nn::Thumbnail>(m, "Thumbnail", "A network that gives small pictures from y_hat (FORMAT 8.6).")
        .def(py::init(&make<nn::Thumbnail>), py::arg("tensors"), py::arg("kernels") = "auto")
        .def("render", &thumbnail, py::arg("photo"), py::arg("q"), py::arg("v"), py::arg("r"), py::arg("grid"),
             py::arg("scale"), py::arg("size"), py::arg("out"), py::arg("threads") = 1)
        .def_property_readonly("latent", &nn::Thumbnail::latent);
    py::class_<nn::Analysis>(m, "Analysis",
                             "The encoder networks of the photo family; nothing in them decides what a file means.")
        .def(py::init(&make<nn::Analysis>), py::arg("tensors"), py::arg("kernels") = "auto")
        .def("analyse", &analyse, py::arg("q"), py::arg("pixels"), py::arg("shape"), py::arg("y"),
             py::arg("threads") = 1)
        .def("hyper_symbols", &hyper_symbols, py::arg("model"), py::arg("q"), py::arg("y"), py::arg("grid"),
             py::arg("z"))
        .def("encode", &encode, py::arg("photo"), py::arg("model"), py::arg("q"), py::arg("pixels"), py::arg("shape"),
             py::arg("symbols"), py::arg("effort"), py::arg("threads") = 1, py::arg("slice") = nn::kSliceMost)
        .def_property_readonly("latent", &nn::Analysis::latent)
        .def_property_readonly("hyper", &nn::Analysis::hyper);
    m.def("join_planes", &turned<nn::join_planes>, py::arg("runs"), py::arg("data"), py::arg("out"))
        .def("split_planes", &turned<nn::split_planes>, py::arg("runs"), py::arg("data"), py::arg("out"));
    m.attr("SLICE_MOST") = nn::kSliceMost;
    m.def(
        "visual_weights",
        [] {
            py::list weights;
            for (const float weight : nn::visual_weights()) weights.append(weight);
            return weights;
        },
        "The 108 published weights of SSIMULACRA2: channel, scale, norm, map.");
}

void bind_nn_parts(py::module_& m) {
    m.def("gradient", &gradient, py::arg("photo"), py::arg("q"), py::arg("y_hat"), py::arg("pixels"), py::arg("shape"),
          py::arg("out") = py::none(), py::arg("threads") = 1,
          "The squared error of the pixels that y_hat makes; its gradient is added to `out`.");
    m.def("visual", &visual, py::arg("levels"), py::arg("pixels"), py::arg("shape"), py::arg("out") = py::none(),
          py::arg("kernels") = "auto", py::arg("threads") = 1,
          "The distance that visual models are trained for, times the pixels; its gradient is added to `out`.");
    m.def(
        "kernel_sets",
        [] {
            py::list names;
            for (const nn::Kernels* set : nn::available_kernels()) names.append(set->name);
            return names;
        },
        "The kernel sets of the native engine that this CPU can run, slowest first.");
}

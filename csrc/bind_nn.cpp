// The native engine for Python: tensors and integers in, samples out, through the buffer protocol. NumPy is not needed.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <string>

#include "bind_nn.h"
#include "lic_constants.h"
#include "nn/analysis.h"
#include "nn/kernel_sets.h"
#include "nn/photo.h"

namespace py = pybind11;

namespace {

using namespace lic::nn;

// The memory of a buffer of bytes or of elements of `size` bytes, contiguous, at least `count` elements of them.
struct View {
    py::buffer_info info;
    View(const py::buffer& buffer, std::size_t size, std::size_t count, const char* name, bool writable = false)
        : info(buffer.request(writable)) {
        std::size_t bytes = static_cast<std::size_t>(info.itemsize);
        py::ssize_t stride = info.itemsize;
        for (py::ssize_t axis = info.ndim; axis-- > 0;) {
            if (info.shape[static_cast<std::size_t>(axis)] > 1 &&
                info.strides[static_cast<std::size_t>(axis)] != stride)
                refuse(name, "is not contiguous");
            stride *= info.shape[static_cast<std::size_t>(axis)];
            bytes *= static_cast<std::size_t>(info.shape[static_cast<std::size_t>(axis)]);
        }
        if (bytes < size * count)
            refuse(name, "has " + std::to_string(bytes) + " bytes, want " + std::to_string(size * count));
        if (reinterpret_cast<std::uintptr_t>(info.ptr) % size) refuse(name, "is not aligned for its elements");
    }
    [[noreturn]] static void refuse(const std::string& name, const std::string& what) {
        throw py::value_error("argument " + name + " " + what);
    }
};

Tensors tensors_of(const py::dict& tensors, std::vector<View>& held) {
    Tensors all;
    for (const auto& [key, value] : tensors) {
        const auto name = key.cast<std::string>();
        const auto [type, shape, buffer] = value.cast<std::tuple<std::string, std::vector<std::size_t>, py::buffer>>();
        Tensor t{Type::int16, shape, nullptr};
        std::size_t size = 2, count = 1;
        if (type == "U16")
            t.type = Type::uint16;
        else if (type == "I32")
            t.type = Type::int32, size = 4;
        else if (type == "I64")
            t.type = Type::int64, size = 8;
        else if (type != "I16")
            continue;  // other tensors are none of ours
        for (const std::size_t n : shape) {
            if (n > (std::size_t{1} << 28) || (count *= n) > (std::size_t{1} << 28)) View::refuse(name, "is too large");
        }
        held.emplace_back(buffer, size, count, name.c_str());
        t.data = held.back().info.ptr;
        all.add(name, t);
    }
    return all;
}

template <class Net>
Net make(const py::dict& tensors, const std::string& kernels) {
    const Kernels* set = nullptr;
    for (const Kernels* one : available_kernels()) set = kernels == "auto" || kernels == one->name ? one : set;
    if (!set) View::refuse("kernels", "names none that this CPU has");
    std::vector<View> held;
    const Tensors all = tensors_of(tensors, held);
    try {
        return Net(all, *set);
    } catch (const BadModel& error) {
        throw py::value_error(error.what());
    }
}

void check(std::size_t hy, std::size_t wy, int q) {
    if (hy < 1 || wy < 1 || hy > (std::size_t{1} << 27) || wy > (std::size_t{1} << 27))
        View::refuse("grid", "is empty or too large");
    if (q < LIC_QUALITY_MIN || q > LIC_QUALITY_MAX) View::refuse("q", "is not from 100 to 10000");
}

class NativePhoto {
 public:
    NativePhoto(const py::dict& tensors, const std::string& kernels) : photo_(make<Photo>(tensors, kernels)) {}

    void render(const py::buffer& v, const py::buffer& r, std::pair<std::size_t, std::size_t> grid, int q,
                std::tuple<std::size_t, std::size_t, std::size_t, std::size_t> box, const py::buffer& out,
                std::size_t bands, std::size_t threads) const {
        const auto [hy, wy] = grid;
        const auto [top, left, bottom, right] = box;
        check(hy, wy, q);
        if (bands != 1 && bands != 3) View::refuse("bands", "must be 1 or 3");
        if (top >= bottom || left >= right || bottom > hy * 16 || right > wy * 16)
            View::refuse("box", "is empty or beyond the grid");
        View from_v(v, 2, photo_.hyper() * ((hy + 3) / 4) * ((wy + 3) / 4), "v"),
            from_r(r, 2, photo_.latent() * hy * wy, "r");
        View to(out, 1, (bottom - top) * (right - left) * bands, "out", true);
        const Image image = image_of(from_v, from_r, hy, wy);
        const Canvas canvas{
            static_cast<std::uint8_t*>(to.info.ptr), (right - left) * bands, bands, top, left, bottom, right};
        py::gil_scoped_release release;
        photo_.render(image, q, canvas, std::clamp<std::size_t>(threads, 1, 256));
    }

    void latents(const py::buffer& v, const py::buffer& r, std::pair<std::size_t, std::size_t> grid, int q,
                 const py::buffer& out) const {
        const auto [hy, wy] = grid;
        check(hy, wy, q);
        View from_v(v, 2, photo_.hyper() * ((hy + 3) / 4) * ((wy + 3) / 4), "v"),
            from_r(r, 2, photo_.latent() * hy * wy, "r");
        View to(out, 2, photo_.latent() * hy * wy, "out", true);
        py::gil_scoped_release release;
        photo_.latents(image_of(from_v, from_r, hy, wy), q, static_cast<i16*>(to.info.ptr));
    }

    std::size_t latent() const { return photo_.latent(); }
    std::size_t hyper() const { return photo_.hyper(); }
    std::size_t halo() const { return photo_.halo(); }

 private:
    static Image image_of(const View& v, const View& r, std::size_t hy, std::size_t wy) {
        const std::size_t hz = (hy + 3) / 4, wz = (wy + 3) / 4;
        return {hy,
                wy,
                {static_cast<const i16*>(v.info.ptr), hz * wz, wz, 0, 0},
                {static_cast<const i16*>(r.info.ptr), hy * wy, wy, 0, 0}};
    }
    Photo photo_;
};

class NativeAnalysis {
 public:
    NativeAnalysis(const py::dict& tensors, const std::string& kernels) : analysis_(make<Analysis>(tensors, kernels)) {}

    // y (hy, wy, M) i32, into `out`.
    void analyse(const py::buffer& pixels, std::tuple<std::size_t, std::size_t, std::size_t> shape, int q,
                 const py::buffer& out, std::size_t threads) const {
        const auto [height, width, bands] = shape;
        if (height < 1 || width < 1 || height > LIC_SIDE_MAX || width > LIC_SIDE_MAX)
            View::refuse("shape", "is empty or too large");
        if (bands != 1 && bands != 3) View::refuse("shape", "must have 1 or 3 bands");
        check(1, 1, q);
        const View from(pixels, 1, height * width * bands, "pixels");
        const Picture picture{static_cast<const std::uint8_t*>(from.info.ptr), height, width, bands, width * bands};
        View to(out, 4, picture.hy() * picture.wy() * analysis_.latent(), "out", true);
        py::gil_scoped_release release;
        analysis_.analyse(picture, q, static_cast<i32*>(to.info.ptr), std::clamp<std::size_t>(threads, 1, 256));
    }

    // z (C, hz, wz) i32 in 1/8192, into `out`.
    void hyper_analyse(const py::buffer& y, std::pair<std::size_t, std::size_t> grid, int q,
                       const py::buffer& out) const {
        const auto [hy, wy] = grid;
        check(hy, wy, q);
        const View from(y, 4, hy * wy * analysis_.latent(), "y");
        View to(out, 4, analysis_.hyper() * ((hy + 3) / 4) * ((wy + 3) / 4), "out", true);
        py::gil_scoped_release release;
        analysis_.hyper_analyse(static_cast<const i32*>(from.info.ptr), hy, wy, q, static_cast<i32*>(to.info.ptr));
    }

 private:
    Analysis analysis_;
};

}  // namespace

void bind_nn(py::module_& m) {
    py::class_<NativePhoto>(m, "Photo")
        .def(py::init<const py::dict&, const std::string&>(), py::arg("tensors"), py::arg("kernels") = "auto")
        .def("render", &NativePhoto::render, py::arg("v"), py::arg("r"), py::arg("grid"), py::arg("q"), py::arg("box"),
             py::arg("out"), py::arg("bands"), py::arg("threads") = 1)
        .def("latents", &NativePhoto::latents, py::arg("v"), py::arg("r"), py::arg("grid"), py::arg("q"),
             py::arg("out"))
        .def_property_readonly("latent", &NativePhoto::latent)
        .def_property_readonly("hyper", &NativePhoto::hyper)
        .def_property_readonly("halo", &NativePhoto::halo);
    py::class_<NativeAnalysis>(m, "Analysis")
        .def(py::init<const py::dict&, const std::string&>(), py::arg("tensors"), py::arg("kernels") = "auto")
        .def("analyse", &NativeAnalysis::analyse, py::arg("pixels"), py::arg("shape"), py::arg("q"), py::arg("out"),
             py::arg("threads") = 1)
        .def("hyper_analyse", &NativeAnalysis::hyper_analyse, py::arg("y"), py::arg("grid"), py::arg("q"),
             py::arg("out"));
    m.def("kernel_sets", [] {
        py::list names;
        for (const Kernels* set : available_kernels()) names.append(set->name);
        return names;
    });
}

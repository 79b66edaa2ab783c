// What makes decoded JPEGs better, for Python: lic::nn::Enhancer and Enlarger.
#include "bind_networks.h"
#include "bind_nn.h"
#include "nn/enhance.h"
#include "nn/enlarge.h"

namespace {

using namespace lic_bind;

// A decoded JPEG that the caller holds: pixels (height, width, bands), tables (2, 64) steps.
struct HeldJpeg {
    HeldPicture pixels;
    Values<const std::uint16_t> steps;
    nn::Jpeg jpeg;
    HeldJpeg(const py::buffer& buffer, const Volume& shape, bool rgb, const py::buffer& tables, bool halved)
        : pixels(buffer, shape), steps(tables, "tables", {2, nn::kBlock}) {
        const nn::Picture& picture = pixels.picture;
        if (!picture.data) refuse("argument pixels has dtype uint16, want uint8");
        const bool colour = picture.bands == 3;
        jpeg = {picture.data, picture.height, picture.width, picture.bands, rgb && colour, halved && colour, {}};
        for (std::size_t n = 0; n < 2 * nn::kBlock; ++n) {
            if (!steps.data[n]) refuse("argument tables has a step of 0");
            jpeg.steps[n / nn::kBlock][n % nn::kBlock] = steps.data[n];
        }
    }
};

// out: as pixels, grey or R, G, B.
void enhance(const nn::Enhancer& network, const py::buffer& pixels, const Volume& shape, bool rgb,
             const py::buffer& tables, bool halved, const py::buffer& out, py::ssize_t threads) {
    const HeldJpeg held_jpeg(pixels, shape, rgb, tables, halved);
    const auto [height, width, bands] = shape;
    const Values<std::uint8_t> to(out, "out", {height, width, bands}, true);
    const std::size_t count = threads_of(threads);
    const Released released;
    network.enhance(held_jpeg.jpeg, to.data, count);
}

// out: (*size, bands), sides twice those of pixels or one less.
void enlarge(const nn::Enlarger& network, const py::buffer& pixels, const Volume& shape, bool rgb,
             const py::buffer& tables, bool halved, const Sides& size, const py::buffer& out, py::ssize_t threads) {
    const HeldJpeg held_jpeg(pixels, shape, rgb, tables, halved);
    const nn::Jpeg& jpeg = held_jpeg.jpeg;
    const auto largest = [](std::size_t side) { return static_cast<py::ssize_t>(2 * side); };
    const std::size_t height = in_range(size.first, "size (height)", largest(jpeg.height) - 1, largest(jpeg.height));
    const std::size_t width = in_range(size.second, "size (width)", largest(jpeg.width) - 1, largest(jpeg.width));
    const Values<std::uint8_t> to(out, "out", {size.first, size.second, std::get<2>(shape)}, true);
    const std::size_t count = threads_of(threads);
    const Released released;
    network.enlarge(jpeg, height, width, to.data, count);
}

}  // namespace

void bind_jpeg(py::module_& m) {
    py::class_<nn::Enhancer>(m, "Enhancer", "The network that says what a decoded JPEG lacks, in integers.")
        .def(py::init(&make<nn::Enhancer>), py::arg("tensors"), py::arg("kernels") = "auto")
        .def("enhance", &enhance, py::arg("pixels"), py::arg("shape"), py::arg("rgb"), py::arg("tables"),
             py::arg("halved"), py::arg("out"), py::arg("threads") = 1);
    py::class_<nn::Enlarger>(m, "Enlarger", "The network that doubles the sides of a decoded JPEG, in integers.")
        .def(py::init(&make<nn::Enlarger>), py::arg("tensors"), py::arg("kernels") = "auto")
        .def("enlarge", &enlarge, py::arg("pixels"), py::arg("shape"), py::arg("rgb"), py::arg("tables"),
             py::arg("halved"), py::arg("size"), py::arg("out"), py::arg("threads") = 1);
}

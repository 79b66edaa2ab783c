// What the networks' bindings share: networks made of Python's buffers, pictures that the caller holds.
#ifndef LIC_BIND_NETWORKS_H
#define LIC_BIND_NETWORKS_H

#include <deque>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bind.h"
#include "nn/analysis.h"
#include "nn/kernel_sets.h"

namespace lic_bind {

namespace nn = lic::nn;

using Volume = std::tuple<py::ssize_t, py::ssize_t, py::ssize_t>;  // height, width, bands

constexpr py::ssize_t kThreadsMost = 256;

inline std::size_t threads_of(py::ssize_t threads) { return in_range(threads, "threads", 1, kThreadsMost); }

// A network from a mapping of names to buffers with a type and a shape.
template <class Net>
Net make(const py::object& tensors, const std::string& kernels) {
    const nn::Kernels* set = nn::find_kernels(kernels);
    if (!set) refuse("argument kernels is '" + kernels + "', which this CPU has not");
    std::deque<py::buffer_info> held_infos;
    nn::Tensors all;
    for (const py::handle& item : tensors.attr("items")()) {
        const auto [key, value] = item.cast<std::pair<std::string, py::object>>();
        if (!PyObject_CheckBuffer(value.ptr())) continue;
        held_infos.push_back(held(value.cast<py::buffer>(), key.c_str()));
        const py::buffer_info& info = held_infos.back();
        const std::string type = type_of(info);
        nn::Tensor t{nn::Type::int16, {info.shape.begin(), info.shape.end()}, info.ptr};
        if (type == "uint16") {
            t.type = nn::Type::uint16;
        } else if (type == "int32") {
            t.type = nn::Type::int32;
        } else if (type == "int64") {
            t.type = nn::Type::int64;
        } else if (type != "int16") {
            continue;  // none of ours
        }
        if (!contiguous(info)) refuse("the tensor " + key + " is not contiguous");
        if (reinterpret_cast<std::uintptr_t>(info.ptr) % static_cast<std::size_t>(info.itemsize)) {
            refuse("the tensor " + key + " is not aligned");
        }
        all.add(key, t);
    }
    try {
        return Net(all, *set);
    } catch (const nn::BadModel& error) {
        raise("LicModelMissing", std::string("the model's networks are not intact: ") + error.what() +
                                     "; reinstall the model, or export it again");
    }
}

// The samples of a picture, held while we work, and its latent grid.
struct HeldPicture {
    py::buffer_info pixels;
    nn::Picture picture;
    Sizes sizes;
    HeldPicture(const py::buffer& buffer, const Volume& shape)
        : pixels(held(buffer, "pixels")),
          picture(picture_of(pixels, shape)),
          sizes({static_cast<py::ssize_t>(picture.hy()), static_cast<py::ssize_t>(picture.wy())}) {}

 private:
    // uint8, or uint16 in 1/kFinePart of a level.
    static nn::Picture picture_of(const py::buffer_info& info, const Volume& shape) {
        const std::size_t height = in_range(std::get<0>(shape), "shape (height)", 1, LIC_SIDE_MAX);
        const std::size_t width = in_range(std::get<1>(shape), "shape (width)", 1, LIC_SIDE_MAX);
        const std::size_t bands = in_range(std::get<2>(shape), "shape (bands)", 1, 3);
        if (bands == 2) refuse("argument shape has 2 bands, want 1 or 3");
        const std::vector<py::ssize_t> sides{std::get<0>(shape), std::get<1>(shape), std::get<2>(shape)};
        nn::Picture made{nullptr, height, width, bands, width * bands};
        if (type_of(info) == type_name<std::uint16_t>()) {
            made.fine = checked<const std::uint16_t>(info, "pixels", sides);
        } else {
            made.data = checked<const std::uint8_t>(info, "pixels", sides);
        }
        return made;
    }
};

}  // namespace lic_bind

#endif

// What bind.cpp and test/bind_test.cpp share: arguments that are checked, and how refusals become exceptions.
// Arguments come through Python's buffer protocol, so that bytes, bytearray, memoryview and NumPy's arrays do alike;
// NumPy itself is imported when an array is to be returned, and not before.
#ifndef LIC_BIND_H
#define LIC_BIND_H

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "bind_released.h"
#include "model.h"

namespace lic_bind {

namespace py = pybind11;

[[noreturn]] inline void refuse(const std::string& message) { throw py::value_error(message); }

[[noreturn]] inline void raise(const char* name, const std::string& message) {
    const py::object error = py::module_::import("pillow_lic.errors").attr(name);
    PyErr_SetString(error.ptr(), message.c_str());
    throw py::error_already_set();
}

// What is wrong with a stream of `size` bytes.
inline std::string corrupt(const lic::Outcome& outcome, std::size_t size) {
    return std::string("tile stream is corrupt: ") + lic::describe(outcome.status) + " (byte " +
           std::to_string(outcome.at) + " of " + std::to_string(size) +
           "); the file is damaged or was coded with another model, get it again from its source";
}

inline void check_stream(const lic::Outcome& outcome, std::size_t size) {
    if (outcome.status != lic::Status::ok) raise("LicCorruptTile", corrupt(outcome, size));
}

inline std::size_t in_range(py::ssize_t value, const char* name, py::ssize_t low, py::ssize_t high) {
    if (value < low || value > high) {
        refuse(std::string("argument ") + name + " is " + std::to_string(value) + ", want " + std::to_string(low) +
               " to " + std::to_string(high));
    }
    return static_cast<std::size_t>(value);
}

// ---------------------------------------------------------------------------------------------------------------------
// Buffers

// NumPy's word for the elements of a buffer: "int16", ">int16" in the other byte order.
inline std::string type_of(const py::buffer_info& info) {
    const std::uint16_t probe = 1;
    const char other = *reinterpret_cast<const unsigned char*>(&probe) ? '>' : '<';
    std::string format = info.format, order;
    if (!format.empty() && std::string("@=<>!^").find(format[0]) != std::string::npos) {
        if (format[0] == other || format[0] == '!') order = ">";
        format = format.substr(1);
    }
    const std::string bits = std::to_string(8 * info.itemsize);
    if (format.size() != 1) return order + format;
    if (std::string("bhilqn").find(format[0]) != std::string::npos) return order + "int" + bits;
    if (std::string("BHILQN").find(format[0]) != std::string::npos) return order + "uint" + bits;
    if (std::string("efdg").find(format[0]) != std::string::npos) return order + "float" + bits;
    return order + format;
}

template <class T>
std::string type_name() {
    const char* kind = std::is_floating_point_v<T> ? "float" : std::is_signed_v<T> ? "int" : "uint";
    return kind + std::to_string(8 * sizeof(T));
}

inline std::string words(const std::vector<py::ssize_t>& shape) {
    std::string all;
    for (const py::ssize_t n : shape) all += (all.empty() ? "" : ", ") + (n < 0 ? "any" : std::to_string(n));
    return "(" + all + ")";
}

inline bool contiguous(const py::buffer_info& info) {
    py::ssize_t step = info.itemsize;
    for (std::size_t i = info.shape.size(); i-- > 0; step *= info.shape[i]) {
        if (info.shape[i] > 1 && info.strides[i] != step) return false;
    }
    return true;
}

// A buffer that is held while we work: nobody can resize it, though another thread may write to it.
inline py::buffer_info held(const py::buffer& buffer, const char* name, bool writable = false) {
    try {
        return buffer.request(writable);
    } catch (py::error_already_set& error) {
        if (!error.matches(PyExc_BufferError) && !error.matches(PyExc_ValueError)) throw;
        refuse(std::string("argument ") + name + (writable ? " cannot be written to" : " cannot be read"));
    }
}

constexpr py::ssize_t kAny = -1;

// The elements of a buffer, after its type, shape and layout have been found right. Where the shape is known, a plain
// run of as many bytes does as well.
template <class T>
T* checked(const py::buffer_info& info, const char* name, const std::vector<py::ssize_t>& shape) {
    const std::string what = std::string("argument ") + name;
    py::ssize_t bytes = sizeof(T);
    bool known = true;
    for (const py::ssize_t n : shape) known &= n >= 0, bytes *= n >= 0 ? n : 1;
    const bool raw = known && info.itemsize == 1 && info.ndim == 1 && info.size == bytes;
    if (!raw) {
        if (type_of(info) != type_name<T>()) {
            refuse(what + " has dtype " + type_of(info) + ", want " + type_name<T>());
        }
        bool same = info.shape.size() == shape.size();
        for (std::size_t i = 0; same && i < shape.size(); ++i) same = shape[i] < 0 || info.shape[i] == shape[i];
        if (!same) refuse(what + " has shape " + words(info.shape) + ", want " + words(shape));
    }
    if (!contiguous(info)) refuse(what + " is not contiguous, pass numpy.ascontiguousarray of it");
    if (reinterpret_cast<std::uintptr_t>(info.ptr) % alignof(T)) refuse(what + " is not aligned, pass a copy of it");
    return static_cast<T*>(info.ptr);
}

// The same of an argument that stays held.
template <class T>
struct Values {
    py::buffer_info info;
    T* data;
    Values(const py::buffer& buffer, const char* name, const std::vector<py::ssize_t>& shape, bool writable = false)
        : info(held(buffer, name, writable)), data(checked<T>(info, name, shape)) {}
    py::ssize_t length(std::size_t axis) const { return info.shape[axis]; }
};

// A buffer of bytes, side by side.
struct Bytes {
    py::buffer_info info;
    const std::uint8_t* data;
    std::size_t size;
    explicit Bytes(const py::buffer& buffer) : info(held(buffer, "data")), data(nullptr), size(0) {
        if (info.ndim != 1 || info.itemsize != 1 || !contiguous(info)) {
            refuse("argument data is no contiguous buffer of bytes");
        }
        data = static_cast<const std::uint8_t*>(info.ptr), size = static_cast<std::size_t>(info.size);
    }
};

template <class T>
py::array_t<T> array_of(std::size_t n0, std::size_t n1, std::size_t n2) {
    return py::array_t<T>({static_cast<py::ssize_t>(n0), static_cast<py::ssize_t>(n1), static_cast<py::ssize_t>(n2)});
}

template <class T>
py::array_t<T> array_of(const std::vector<T>& values) {
    return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

// ---------------------------------------------------------------------------------------------------------------------
// Tiles

// At most `most` hyper positions wide and high, in a tile LIC_TILE_SIDE_MAX and in a whole image as many as its sides
// of LIC_SIDE_MAX have. Every product of sizes fits 64 bits.
constexpr py::ssize_t kTileMost = LIC_TILE_SIDE_MAX;
constexpr py::ssize_t kGridMost = LIC_SIDE_MAX / (LIC_LATENT_STRIDE * LIC_HYPER_STRIDE);

using Sides = std::pair<py::ssize_t, py::ssize_t>;  // h, w of the latent grid

inline lic::Shape shape_of(const lic::Model& model, const Sides& sides, py::ssize_t most) {
    const auto side = static_cast<py::ssize_t>(lic::kSide);
    return model.shape(in_range(sides.first, "h", 1, most * side), in_range(sides.second, "w", 1, most * side));
}

inline std::vector<py::ssize_t> z_shape(const lic::Shape& s) {
    return {static_cast<py::ssize_t>(s.C), static_cast<py::ssize_t>(s.a), static_cast<py::ssize_t>(s.b)};
}
inline std::vector<py::ssize_t> r_shape(const lic::Shape& s, std::size_t planes = 1) {
    return {static_cast<py::ssize_t>(planes * s.M), static_cast<py::ssize_t>(s.h), static_cast<py::ssize_t>(s.w)};
}

// How a file's symbols are coded: Q; or Q, the thresholds of its stages, and its quality map, if it has one.
using Coding = std::variant<py::ssize_t, std::tuple<py::ssize_t, py::bytes, std::optional<py::buffer>>>;

inline lic::Stages stages_of(const lic::Model& model, const py::bytes& thresholds) {
    const std::string bytes = thresholds;
    lic::Stages stages;
    const char* wrong = lic::make_stages(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size(), stages);
    if (!wrong && stages.count > 1 && !model.staged()) wrong = "a model of mixtures has one stage alone";
    if (wrong) refuse(std::string("argument q (stages): ") + wrong);
    return stages;
}

inline lic::Setting setting_at(const lic::Model& model, py::ssize_t q, const lic::Stages& stages = {}) {
    return model.at(static_cast<std::int32_t>(in_range(q, "q", LIC_QUALITY_MIN, LIC_QUALITY_MAX)), stages);
}

inline lic::Setting setting_at(const lic::Model& model, py::ssize_t q, const lic::Shape&) {
    return setting_at(model, q);
}

// Of a tile or an image of this shape.
inline lic::Setting setting_at(const lic::Model& model, const Coding& coding, const lic::Shape& s) {
    if (const auto* q = std::get_if<py::ssize_t>(&coding)) return setting_at(model, *q);
    const auto& [q, thresholds, map] = std::get<1>(coding);
    lic::Setting setting = setting_at(model, q, stages_of(model, thresholds));
    if (map) {
        if (model.planes() != 1) refuse("argument q (map): a model of mixtures takes no quality map");
        const Values<const std::int8_t> rows(*map, "q (map)",
                                             {static_cast<py::ssize_t>(s.a), static_cast<py::ssize_t>(s.b)});
        setting.shift.assign(rows.data, rows.data + s.a * s.b);
        for (const std::int8_t by : setting.shift) in_range(by, "q (map, an element)", -LIC_SHIFT_MAX, LIC_SHIFT_MAX);
    }
    return setting;
}

inline int quality_of(const Coding& coding) {
    const auto* q = std::get_if<py::ssize_t>(&coding);
    return static_cast<int>(in_range(q ? *q : std::get<0>(std::get<1>(coding)), "q", LIC_QUALITY_MIN, LIC_QUALITY_MAX));
}

inline py::bytes bytes_of(std::size_t size) {
    PyObject* made = PyBytes_FromStringAndSize(nullptr, static_cast<py::ssize_t>(size));
    if (!made) throw py::error_already_set();
    return py::reinterpret_steal<py::bytes>(made);
}

inline std::uint8_t* data_of(const py::bytes& bytes) {
    return reinterpret_cast<std::uint8_t*>(PyBytes_AS_STRING(bytes.ptr()));
}

// A tile's stages, apart.
inline py::list stages_of(const lic::Stream& stream, const lic::Setting& setting) {
    std::vector<std::uint8_t> all(stream.size());
    stream.copy(all.data());
    py::list parts;
    std::size_t at = 0;
    for (std::size_t stage = 0; stage < setting.stages.count; ++stage) {
        const std::size_t end = stage + 1 < setting.stages.count ? stream.end(stage) : all.size();
        parts.append(py::bytes(reinterpret_cast<const char*>(all.data()) + at, end - at));
        at = end;
    }
    return parts;
}

// encode: (setting, shape, z, r, stream) -> Status, the model's or its twin. Without `sides` r must have its shape.
template <class Encode>
py::list encode_with(const lic::Model& model, const Coding& q, const py::buffer& z, const py::buffer& r,
                     const std::optional<Sides>& sides, const Encode& encode) {
    const py::buffer_info r_info = held(r, "r");
    if (!sides) checked<const std::int16_t>(r_info, "r", {static_cast<py::ssize_t>(model.M()), kAny, kAny});
    const lic::Shape s = shape_of(model, sides ? *sides : Sides{r_info.shape[1], r_info.shape[2]}, kTileMost);
    const lic::Setting setting = setting_at(model, q, s);
    const auto* r_at = checked<const std::int16_t>(r_info, "r", r_shape(s));
    const Values<const std::int16_t> z_values(z, "z", z_shape(s));
    lic::Stream stream;
    lic::Status status;
    {
        const Released released;
        status = encode(setting, s, z_values.data, r_at, stream);
    }
    if (status != lic::Status::ok) refuse(std::string("cannot encode the tile: ") + lic::describe(status));
    return stages_of(stream, setting);
}

// A tile's stages, put together.
struct Segments {
    std::vector<std::uint8_t> bytes;
    std::vector<std::size_t> ends;

    // As many as the setting has stages.
    Segments(const py::sequence& parts, const lic::Setting& setting) {
        if (PyObject_CheckBuffer(parts.ptr())) refuse("argument data is bytes, want a list of a tile's stages");
        if (parts.size() != setting.stages.count) {
            refuse("argument data has " + std::to_string(parts.size()) + " stages, want " +
                   std::to_string(setting.stages.count));
        }
        for (const py::handle& part : parts) {
            const Bytes one(part.cast<py::buffer>());
            bytes.insert(bytes.end(), one.data, one.data + one.size);
            ends.push_back(bytes.size());
        }
    }
    lic::Streamed streamed(bool cut = false) const { return {bytes.data(), ends.data(), bytes.size(), cut}; }
};

// decode: (setting, shape, streamed, z, r) -> Outcome. data: the stages of a tile.
template <class Decode>
std::pair<py::array_t<std::int16_t>, py::array_t<std::int16_t>> decode_with(const lic::Model& model, const Coding& q,
                                                                            const py::sequence& data,
                                                                            const Sides& sides, const Decode& decode) {
    const lic::Shape s = shape_of(model, sides, kTileMost);
    const lic::Setting setting = setting_at(model, q, s);
    const Segments segments(data, setting);
    auto z = array_of<std::int16_t>(s.C, s.a, s.b), r = array_of<std::int16_t>(s.M, s.h, s.w);
    std::int16_t *z_at = z.mutable_data(), *r_at = r.mutable_data();
    lic::Outcome outcome{};
    {
        const Released released;
        outcome = decode(setting, s, segments.streamed(), z_at, r_at);
    }
    check_stream(outcome, segments.bytes.size());
    return {std::move(z), std::move(r)};
}

// A latent grid and how many hyper positions lie over it.
struct Sizes {
    std::size_t hy, wy, hz, wz;
    explicit Sizes(const Sides& grid)
        : hy(in_range(grid.first, "grid (rows)", 1, kGridMost * static_cast<py::ssize_t>(lic::kSide))),
          wy(in_range(grid.second, "grid (columns)", 1, kGridMost * static_cast<py::ssize_t>(lic::kSide))),
          hz((hy + lic::kSide - 1) / lic::kSide),
          wz((wy + lic::kSide - 1) / lic::kSide) {}
    std::vector<py::ssize_t> latent(std::size_t channels) const { return shape(channels, hy, wy); }
    std::vector<py::ssize_t> hyper(std::size_t channels) const { return shape(channels, hz, wz); }
    std::vector<py::ssize_t> rows(std::size_t channels) const { return shape(hy, wy, channels); }

 private:
    static std::vector<py::ssize_t> shape(std::size_t a, std::size_t b, std::size_t c) {
        return {static_cast<py::ssize_t>(a), static_cast<py::ssize_t>(b), static_cast<py::ssize_t>(c)};
    }
};

}  // namespace lic_bind

#endif

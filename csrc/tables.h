// A model's arrays as somebody holds them, and how parts of the core take theirs: by name, of a type and a shape
// (FORMAT 9.2). Includes the standard library and constants; must not include Python. Throws BadModel alone.
#ifndef LIC_TABLES_H
#define LIC_TABLES_H

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "lic_constants.h"

namespace lic {

// A tensor of a model (FORMAT 9.2) as somebody holds it: contiguous, in this machine's byte order.
struct Array {
    std::string type;  // NumPy's word for it: "int16"
    std::vector<std::size_t> shape;
    const void* data;
};
using Arrays = std::map<std::string, Array>;

// The manifest's integers that the coder needs (FORMAT 9.1).
struct Numbers {
    std::int64_t latent, hyper, points, rows, skip;
};

// What those and `halo` may be, in the order in which a model's hash takes them.
struct Limit {
    const char* name;
    std::int64_t low, high;
};
constexpr Limit kLimits[] = {{"latent", 1, 1024}, {"hyper", 1, LIC_CHANNELS_MAX},
                             {"points", 2, 64},   {"rows", 1, 256},
                             {"skip", 0, 256},    {"halo", 0, 64}};

// Tables or integers that are not as FORMAT 9 says; what() says which.
class BadModel : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

inline std::string between(const std::string& what, std::int64_t value, std::int64_t low, std::int64_t high) {
    return what + " is " + std::to_string(value) + ", want an integer from " + std::to_string(low) + " to " +
           std::to_string(high);
}

template <class T>
inline constexpr const char* kTypeName = nullptr;
template <>
inline constexpr const char* kTypeName<std::uint8_t> = "uint8";
template <>
inline constexpr const char* kTypeName<std::uint16_t> = "uint16";
template <>
inline constexpr const char* kTypeName<std::uint32_t> = "uint32";
template <>
inline constexpr const char* kTypeName<std::int16_t> = "int16";
template <>
inline constexpr const char* kTypeName<std::int32_t> = "int32";

using Length = std::optional<std::size_t>;  // nothing stands for any length

inline std::string words(const std::vector<Length>& shape) {
    std::string all;
    for (const Length& n : shape) all += (all.empty() ? "" : ", ") + (n ? std::to_string(*n) : "any");
    return "(" + all + ")";
}

struct Tables {
    const Arrays& arrays;

    bool has(const std::string& name) const { return arrays.count(name) != 0; }

    // The array of that name, of exactly this type and shape.
    template <class T>
    const Array& found(const std::string& name, const std::vector<Length>& shape) const {
        const auto at = arrays.find(name);
        if (at == arrays.end()) throw BadModel("the array " + name + " is missing");
        const Array& array = at->second;
        const auto fits = [](const Length& want, std::size_t n) { return !want || *want == n; };
        if (array.type != kTypeName<T> ||
            !std::equal(shape.begin(), shape.end(), array.shape.begin(), array.shape.end(), fits)) {
            throw BadModel("the array " + name + " is " + array.type + " " +
                           words({array.shape.begin(), array.shape.end()}) + ", want " + kTypeName<T> + " " +
                           words(shape));
        }
        return array;
    }

    // A copy of its values: what is checked afterwards, nobody else can change.
    template <class T>
    std::vector<T> copy(const std::string& name, const std::vector<Length>& shape) const {
        const Array& array = found<T>(name, shape);
        std::size_t size = 1;
        for (const std::size_t n : array.shape) size *= n;
        const T* from = static_cast<const T*>(array.data);
        return {from, from + size};
    }
};

}  // namespace lic

#endif

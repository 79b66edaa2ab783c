// The integer tensors of a model by name (FORMAT 9.2): views of memory that somebody else holds. Must not include
// Python.
#ifndef LIC_NN_TENSORS_H
#define LIC_NN_TENSORS_H

#include <cstddef>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace lic::nn {

enum class Type { int16, uint16, int32, int64 };

struct Tensor {
    Type type;
    std::vector<std::size_t> shape;
    const void* data;  // aligned for its type, little-endian as the machine
};

// What is wrong with a model's tensors.
struct BadModel : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class Tensors {
 public:
    void add(const std::string& name, const Tensor& tensor) { all_[name] = tensor; }
    bool has(const std::string& name) const { return all_.count(name) != 0; }

    // use(name, tensor) for each, in the order of their names.
    template <class Use>
    void each(const Use& use) const {
        for (const auto& [name, tensor] : all_) use(name, tensor);
    }

    // The data of a tensor, whose type and shape must be these; 0 in `shape` stands for any length. Throws BadModel.
    template <class T>
    const T* get(const std::string& name, const std::vector<std::size_t>& shape) const {
        const Tensor& t = find(name, type_of<T>());
        bool same = t.shape.size() == shape.size();
        for (std::size_t i = 0; same && i < shape.size(); ++i)
            same = t.shape[i] == shape[i] || (shape[i] == 0 && t.shape[i] > 0);
        if (!same) throw BadModel("the tensor " + name + " has shape " + text(t.shape) + ", want " + text(shape));
        return static_cast<const T*>(t.data);
    }
    // One side of a tensor of two axes.
    std::size_t side(const std::string& name, std::size_t axis) const {
        const auto at = all_.find(name);
        if (at == all_.end() || at->second.shape.size() != 2)
            throw BadModel("the tensor " + name + " is missing or not a matrix");
        return at->second.shape[axis];
    }

 private:
    template <class T>
    static Type type_of();
    static std::string text(const std::vector<std::size_t>& shape) {
        std::string s = "(";
        for (const std::size_t n : shape)
            s += (s.size() > 1 ? ", " : "") + (n ? std::to_string(n) : std::string("any"));
        return s + ")";
    }
    const Tensor& find(const std::string& name, Type type) const {
        const auto at = all_.find(name);
        if (at == all_.end()) throw BadModel("the tensor " + name + " is missing");
        if (at->second.type != type) throw BadModel("the tensor " + name + " is of another type than FORMAT 9.2 says");
        return at->second;
    }
    std::map<std::string, Tensor> all_;
};

template <>
inline Type Tensors::type_of<std::int16_t>() {
    return Type::int16;
}
template <>
inline Type Tensors::type_of<std::uint16_t>() {
    return Type::uint16;
}
template <>
inline Type Tensors::type_of<std::int32_t>() {
    return Type::int32;
}
template <>
inline Type Tensors::type_of<std::int64_t>() {
    return Type::int64;
}

}  // namespace lic::nn

#endif

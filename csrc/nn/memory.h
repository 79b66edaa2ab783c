// Memory for rows and weights, aligned for every instruction set. Must not include Python.
#ifndef LIC_NN_MEMORY_H
#define LIC_NN_MEMORY_H

#include <cstdint>
#include <vector>

#include "kernels.h"

namespace lic::nn {

constexpr std::size_t kAlignment = 64;  // bytes

// `n` values of zero, with kSlack readable behind them.
template <class T>
class Aligned {
 public:
    Aligned() = default;
    explicit Aligned(std::size_t n) : storage_(n + kSlack + kAlignment / sizeof(T)) {
        const auto address = reinterpret_cast<std::uintptr_t>(storage_.data());
        const std::size_t skipped = (kAlignment - address % kAlignment) % kAlignment / sizeof(T);
        data_ = storage_.data() + skipped;
    }
    Aligned(Aligned&&) noexcept = default;
    Aligned& operator=(Aligned&&) noexcept = default;
    Aligned(const Aligned&) = delete;
    Aligned& operator=(const Aligned&) = delete;
    T* data() { return data_; }
    const T* data() const { return data_; }

 private:
    std::vector<T> storage_;
    T* data_ = nullptr;
};

}  // namespace lic::nn

#endif

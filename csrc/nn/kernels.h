// The kernels of the native engine: one matrix product and one depthwise convolution over i16, chosen once for the CPU
// at hand. Includes the standard library; must not include Python. Every set gives the same integers: FORMAT 8.1 says
// which.
//
// READ ME FIRST
// - A row of positions is i16, channels last: value (position p, channel c) lies at row[p * stride + c].
// - An output is R = (acc * scale + bias + 2^31) >> 32 with acc the i32 sum of weights times values. The model's check
//   sum |weight| <= 65535 keeps acc within an i32 whatever the values are, so sums may be taken in any order.
// - A kernel may read up to kSlack values beyond the end of a row, and multiplies them by weights of zero.
#ifndef LIC_NN_KERNELS_H
#define LIC_NN_KERNELS_H

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lic::nn {

using i16 = std::int16_t;
using i32 = std::int32_t;
using i64 = std::int64_t;

constexpr std::size_t kSlack = 64;    // values that must be readable behind every row
constexpr i32 kWeightSumMax = 65535;  // of one output
constexpr i32 kLeakySlope = 3277;     // in 1/32768
constexpr i32 kMeanMost = 1 << 24;    // means are kept within this

// Memory for rows, 64 bytes aligned, never initialised twice.
template <class T>
class Aligned {
 public:
    Aligned() = default;
    explicit Aligned(std::size_t n) : storage_(n + kSlack + 64 / sizeof(T)) {
        const auto address = reinterpret_cast<std::uintptr_t>(storage_.data());
        data_ = storage_.data() + (64 - address % 64) % 64 / sizeof(T);
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

// What becomes of R.
enum class Store {
    plain,  // clipped to i16
    leaky,  // clipped to i16, then max(v, (v * kLeakySlope + 2^14) >> 15)
    add,    // clipped to i16, then added to what is there, clipped again
    wide,   // as i32, clipped to +-kMeanMost
};

// scale and bias of a layer at one quality, in the order in which a kernel set wants them.
struct Final {
    Aligned<i32> scale;
    Aligned<i64> bias;  // with the 2^31
};

// Weights (outputs, inputs) in the order in which a kernel set wants them.
struct Packed {
    std::size_t outputs = 0, inputs = 0;  // of a depthwise convolution: channels and taps
    Aligned<i16> weight;
};

struct Product {
    const i16* in;  // positions, in_stride apart
    std::ptrdiff_t in_stride;
    std::size_t positions, inputs;  // inputs: even, or all; fewer than the weights have, and the rest are taken to be 0
    const Packed* weight;
    const Final* final;
    void* out;  // i16, of Store::wide i32
    std::ptrdiff_t out_stride;
    Store store;
};

struct Depthwise {
    const i16* const* rows;  // `side` rows, each at the position under the kernel's left column for the first output
    std::size_t side, step;  // 3 or 5; positions from one output to the next
    std::size_t positions, channels;
    const Packed* weight;
    const Final* final;
    i16* out;  // channels apart
};

struct Kernels {
    const char* name;
    Packed (*pack)(const i16* weight, std::size_t outputs, std::size_t inputs);
    Packed (*pack_depthwise)(const i16* weight, std::size_t channels, std::size_t taps);
    Final (*finish)(const i32* scale, const i64* bias, std::size_t outputs);
    void (*product)(const Product&);
    void (*depthwise)(const Depthwise&);
};

const Kernels& plain_kernels();  // loops, the reference
#if defined(__x86_64__) || defined(_M_X64)
const Kernels& sse41_kernels();
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();
const Kernels& vnni_kernels();
#elif defined(__aarch64__) || defined(_M_ARM64)
const Kernels& neon_kernels();
#endif

// The sets that this CPU can run, slowest first; `kernels` is the last one, or the one that was chosen by name.
std::vector<const Kernels*> available_kernels();
const Kernels& kernels();
bool choose_kernels(const char* name);  // "auto" or a set's name; false if there is none of that name here

}  // namespace lic::nn

#endif

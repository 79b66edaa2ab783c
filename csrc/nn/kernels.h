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

#include "../lic_constants.h"
#include "../machine.h"

namespace lic::nn {

using i16 = std::int16_t;
using i32 = std::int32_t;
using i64 = std::int64_t;

constexpr std::size_t kSlack = 64;                     // values that must be readable behind every row
constexpr i64 kHalf = i64{1} << (LIC_SCALE_BITS - 1);  // rounds R

// What becomes of R.
enum class Store {
    plain,  // clipped to i16
    leaky,  // clipped to i16, then max(v, (v * LIC_LEAKY_SLOPE + 2^14) >> 15)
    add,    // clipped to i16, then added to what is there, clipped again
    wide,   // as i32, clipped to +-LIC_MEAN_MAX
};

// Weights as a kernel set packs them, (outputs, inputs), of a depthwise convolution (channels, taps).
struct Weights {
    const i16* data;
    std::size_t outputs, inputs;
};

// scale and bias of the outputs at one quality, as a kernel set orders them; bias with the 2^31.
struct Final {
    const i32* scale;
    const i64* bias;
};

struct Product {
    const i16* in;  // positions, in_stride apart
    std::ptrdiff_t in_stride;
    std::size_t positions, inputs;  // inputs: even, or all; fewer than the weights have, and the rest are taken to be 0
    Weights weight;
    Final final;
    void* out;  // i16, of Store::wide i32
    std::ptrdiff_t out_stride;
    Store store;
};

struct Depthwise {
    const i16* const* rows;  // `side` rows, each at the position under the kernel's left column for the first output
    std::size_t side, step;  // 3 or 5; positions from one output to the next
    std::size_t positions;
    Weights weight;
    Final final;
    i16* out;  // as many channels apart as there are
};

struct Kernels {
    const char* name;
    // Values of packed weights, and of scale and bias each, that `outputs` take: zero before they are filled.
    std::size_t (*packed_size)(std::size_t outputs, std::size_t inputs);
    std::size_t (*final_size)(std::size_t outputs);
    void (*pack)(const i16* weight, std::size_t outputs, std::size_t inputs, i16* to);
    void (*pack_depthwise)(const i16* weight, std::size_t channels, std::size_t taps, i16* to);
    void (*finish)(const i32* scale, const i64* bias, std::size_t outputs, i32* to_scale, i64* to_bias);
    void (*product)(const Product&);
    void (*depthwise)(const Depthwise&);
};

const Kernels& plain_kernels();  // loops, the reference
#if LIC_X86
const Kernels& sse41_kernels();
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();
const Kernels& vnni_kernels();
#elif LIC_NEON
const Kernels& neon_kernels();
#elif LIC_WASM
const Kernels& wasm_kernels();
#endif

}  // namespace lic::nn

#endif

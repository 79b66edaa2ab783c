// The kernels by which an encoder searches: one matrix product and one depthwise convolution over float, chosen once
// for the CPU at hand. Nothing here decides what a file means. Includes the standard library; must not include Python.
//
// READ ME FIRST
// - A row of positions is float, channels last, and its channels are a whole number of groups of kFloatGroup: those
//   beyond the last are 0, and stay so, as their weights are.
// - A set sums in an order of its own, but in the same for every position: a result does not depend on how positions
//   are put together.
#ifndef LIC_NN_FLOAT_KERNELS_H
#define LIC_NN_FLOAT_KERNELS_H

#include <cstddef>
#include <cstdint>

#include "kernels.h"

namespace lic::nn {

constexpr std::size_t kFloatGroup = 16;  // channels
constexpr float kSlope = static_cast<float>(LIC_LEAKY_SLOPE) / (1 << LIC_LEAKY_BITS);

inline constexpr std::size_t float_width(std::size_t channels) {
    return (channels + kFloatGroup - 1) / kFloatGroup * kFloatGroup;
}

// What becomes of a sum.
enum class FloatStore {
    plain,
    add,    // to what is there
    leaky,  // times kSlope where the bit of `signs` is not set
};

// A bit for each channel of each position, `stride` bytes apart: 8-byte steps.
struct SignBits {
    const std::uint8_t* data = nullptr;
    std::size_t stride = 0;
};

struct FloatProduct {
    const float* in;
    std::size_t in_stride, positions, inputs;
    const float* weight;  // packed
    std::size_t outputs;  // whole groups
    float* out;
    std::size_t out_stride;
    FloatStore store;
    SignBits signs;
};

// 3x3, with the leaky layer's slopes behind it.
struct FloatDepthwise {
    const float* const* rows;  // three, each at the position left of the first output
    std::size_t positions, channels;
    const float* weight;  // (9, channels)
    float* out;
    SignBits signs;
};

// Bits of `channels` values of each position, side by side: whether a value is above 0.
struct SignRow {
    const i16* from;
    std::size_t positions, channels;
    std::uint8_t* to;
    std::size_t stride;
};

struct FloatKernels {
    const char* name;
    // weight (inputs, outputs), outputs whole groups, to as many floats.
    void (*pack)(const float* weight, std::size_t inputs, std::size_t outputs, float* to);
    void (*product)(const FloatProduct&);
    void (*depthwise)(const FloatDepthwise&);
    void (*signs)(const SignRow&);
};

const FloatKernels& plain_float_kernels();
#if LIC_X86
const FloatKernels& sse41_float_kernels();
const FloatKernels& fma_float_kernels();
const FloatKernels& avx512_float_kernels();
#elif LIC_NEON
const FloatKernels& neon_float_kernels();
#endif

}  // namespace lic::nn

#endif

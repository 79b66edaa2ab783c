// The float kernels as plain loops: the twin of all others.
#include <cstring>

#include "float_kernels.h"

namespace lic::nn {
namespace {

float leaky(float x, const std::uint8_t* signs, std::size_t n) { return signs[n / 8] >> n % 8 & 1 ? x : x * kSlope; }

void pack(const float* weight, std::size_t inputs, std::size_t outputs, float* to) {
    std::memcpy(to, weight, inputs * outputs * sizeof(float));
}

void product(const FloatProduct& t) {
    constexpr std::size_t kPart = kFloatGroup;
    for (std::size_t p = 0; p < t.positions; ++p) {
        for (std::size_t first = 0; first < t.outputs; first += kPart) {
            float sum[kPart] = {};
            for (std::size_t k = 0; k < t.inputs; ++k) {
                const float x = t.in[p * t.in_stride + k];
                const float* w = t.weight + k * t.outputs + first;
                for (std::size_t n = 0; n < kPart; ++n) sum[n] += x * w[n];
            }
            float* out = t.out + p * t.out_stride + first;
            for (std::size_t n = 0; n < kPart; ++n) {
                if (t.store == FloatStore::add) sum[n] += out[n];
                if (t.store == FloatStore::leaky) sum[n] = leaky(sum[n], t.signs.data + p * t.signs.stride, first + n);
                out[n] = sum[n];
            }
        }
    }
}

void depthwise(const FloatDepthwise& t) {
    for (std::size_t p = 0; p < t.positions; ++p) {
        for (std::size_t c = 0; c < t.channels; ++c) {
            float sum = 0.0f;
            for (std::size_t tap = 0; tap < 9; ++tap)
                sum += t.rows[tap / 3][(p + tap % 3) * t.channels + c] * t.weight[tap * t.channels + c];
            t.out[p * t.channels + c] = leaky(sum, t.signs.data + p * t.signs.stride, c);
        }
    }
}

void signs(const SignRow& t) {
    for (std::size_t p = 0; p < t.positions; ++p) {
        std::uint8_t* to = t.to + p * t.stride;
        std::memset(to, 0, t.stride);
        for (std::size_t c = 0; c < t.channels; ++c)
            to[c / 8] = static_cast<std::uint8_t>(to[c / 8] | (t.from[p * t.channels + c] > 0) << c % 8);
    }
}

}  // namespace

const FloatKernels& plain_float_kernels() {
    static const FloatKernels set{"plain", pack, product, depthwise, signs};
    return set;
}

}  // namespace lic::nn

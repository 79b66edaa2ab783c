// The kernels as plain loops: what FORMAT 8.1 says, and the twin of all others.
#include <algorithm>
#include <cstring>

#include "kernels.h"

namespace lic::nn {
namespace {

std::size_t packed_size(std::size_t outputs, std::size_t inputs) { return outputs * inputs; }
std::size_t final_size(std::size_t outputs) { return outputs; }
void pack(const i16* weight, std::size_t outputs, std::size_t inputs, i16* to) {
    std::copy_n(weight, outputs * inputs, to);
}

void finish(const i32* scale, const i64* bias, std::size_t outputs, i32* to_scale, i64* to_bias) {
    std::copy_n(scale, outputs, to_scale);
    for (std::size_t n = 0; n < outputs; ++n) to_bias[n] = bias[n] + kHalf;
}

i32 clip(i32 x) { return std::clamp(x, -32768, 32767); }

void store(i32 acc, const Final& final, std::size_t n, Store kind, void* out) {
    const auto r = static_cast<i32>((i64{acc} * final.scale[n] + final.bias[n]) >> LIC_SCALE_BITS);
    if (kind == Store::wide) {
        static_cast<i32*>(out)[n] = std::clamp(r, -LIC_MEAN_MAX, LIC_MEAN_MAX);
        return;
    }
    i16* to = static_cast<i16*>(out) + n;
    i32 v = clip(r);
    if (kind == Store::leaky) v = std::max(v, (v * LIC_LEAKY_SLOPE + (1 << (LIC_LEAKY_BITS - 1))) >> LIC_LEAKY_BITS);
    if (kind == Store::add) v = clip(*to + v);
    *to = static_cast<i16>(v);
}

void product(const Product& t) {
    const std::size_t outputs = t.weight.outputs;
    for (std::size_t p = 0; p < t.positions; ++p) {
        const i16* x = t.in + static_cast<std::ptrdiff_t>(p) * t.in_stride;
        const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(p) * t.out_stride;
        void* out =
            t.store == Store::wide ? static_cast<void*>(static_cast<i32*>(t.out) + at) : static_cast<i16*>(t.out) + at;
        for (std::size_t n = 0; n < outputs; ++n) {
            const i16* w = t.weight.data + n * t.weight.inputs;
            i32 acc = 0;
            for (std::size_t k = 0; k < t.inputs; ++k) acc += i32{x[k]} * w[k];
            store(acc, t.final, n, t.store, out);
        }
    }
}

void depthwise(const Depthwise& t) {
    const std::size_t channels = t.weight.outputs;
    for (std::size_t p = 0; p < t.positions; ++p) {
        for (std::size_t c = 0; c < channels; ++c) {
            const i16* w = t.weight.data + c * t.side * t.side;
            i32 acc = 0;
            for (std::size_t u = 0; u < t.side; ++u) {
                for (std::size_t v = 0; v < t.side; ++v)
                    acc += i32{t.rows[u][(p * t.step + v) * channels + c]} * w[u * t.side + v];
            }
            store(acc, t.final, c, Store::plain, t.out + p * channels);
        }
    }
}

}  // namespace

const Kernels& plain_kernels() {
    static const Kernels set{"plain", packed_size, final_size, pack, pack, finish, product, depthwise};
    return set;
}

}  // namespace lic::nn

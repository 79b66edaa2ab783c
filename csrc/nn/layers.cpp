// Reading and checking of layers.
#include "layers.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

namespace lic::nn {
namespace {

constexpr std::size_t kWidthMax = 1024, kPointsMax = 1024;

void check_sums(const std::string& name, const i16* weight, std::size_t outputs, std::size_t inputs) {
    for (std::size_t n = 0; n < outputs; ++n) {
        i32 sum = 0;  // at most 1024 * 32768
        for (std::size_t k = 0; k < inputs; ++k) sum += std::abs(i32{weight[n * inputs + k]});
        if (sum > LIC_WEIGHT_SUM_MAX)
            throw BadModel("the weights of output " + std::to_string(n) + " of " + name + " sum to more than 65535");
    }
}

Layer read(const Tensors& t, const std::string& name, std::size_t outputs, std::size_t inputs,
           const std::vector<std::size_t>& order, const i16** weight, std::vector<i16>* ordered) {
    if (inputs > kWidthMax * 2 || outputs > kWidthMax * 16) throw BadModel("the layer " + name + " is too large");
    const i16* w = t.get<i16>(name + ".weight", {outputs, inputs});
    check_sums(name, w, outputs, inputs);
    Layer layer;
    layer.points = t.side(name + ".scale", 0);
    if (layer.points > kPointsMax) throw BadModel("the table " + name + ".scale has too many rows");
    const i32* scale = t.get<i32>(name + ".scale", {layer.points, outputs});
    const std::size_t rows = t.side(name + ".bias", 0);
    const i64* bias = t.get<i64>(name + ".bias", {rows, outputs});
    if (rows != layer.points) throw BadModel("the tables of " + name + " differ in their rows");
    layer.outputs = order.size(), layer.inputs = inputs;
    layer.scale.resize(layer.points * order.size());
    layer.bias.resize(layer.points * order.size());
    ordered->resize(order.size() * inputs);
    for (std::size_t n = 0; n < order.size(); ++n) {
        std::copy_n(w + order[n] * inputs, inputs, ordered->data() + n * inputs);
        for (std::size_t p = 0; p < layer.points; ++p) {
            layer.scale[p * order.size() + n] = scale[p * outputs + order[n]];
            const i64 b = bias[p * outputs + order[n]];
            // With |acc * scale| < 2^62 the sum stays within 64 bits, and so does an interpolation between rows.
            if (b < -(i64{1} << 53) || b > (i64{1} << 53)) throw BadModel("a bias of " + name + " is beyond 2^53");
            layer.bias[p * order.size() + n] = b;
        }
    }
    *weight = ordered->data();
    return layer;
}

std::vector<std::size_t> natural(std::size_t n) {
    std::vector<std::size_t> order(n);
    std::iota(order.begin(), order.end(), std::size_t{0});
    return order;
}

}  // namespace

std::vector<i32> scale_at(const Layer& layer, int q) {
    const RatePoint r = rate_point(q, layer.points);
    const std::size_t n = layer.outputs, above = layer.points > 1 ? n : 0;
    std::vector<i32> s(n);
    for (std::size_t i = 0; i < n; ++i) {
        const std::size_t one = r.p * n + i;
        s[i] = static_cast<i32>(lerp(layer.scale[one], layer.scale[one + above], r.f));
    }
    return s;
}

LayerAt::LayerAt(const Layer& layer, const Kernels& k, int q)
    : weight(layer.weights()), scale(k.final_size(layer.outputs)), bias(k.final_size(layer.outputs)) {
    const std::size_t n = layer.outputs;
    if (layer.points == 1) {
        k.finish(layer.scale.data(), layer.bias.data(), n, scale.data(), bias.data());
        return;
    }
    const RatePoint r = rate_point(q, layer.points);
    const std::vector<i32> s = scale_at(layer, q);
    std::vector<i64> b(n);
    for (std::size_t i = 0; i < n; ++i) {
        const std::size_t one = r.p * n + i, two = one + n;
        b[i] = lerp(layer.bias[one], layer.bias[two], r.f);
    }
    k.finish(s.data(), b.data(), n, scale.data(), bias.data());
}

LayerAt::LayerAt(const Layer& layer, const Kernels& k, const std::vector<i32>& scales, const std::vector<i64>& biases)
    : weight(layer.weights()), scale(k.final_size(layer.outputs)), bias(k.final_size(layer.outputs)) {
    k.finish(scales.data(), biases.data(), layer.outputs, scale.data(), bias.data());
}

Layer read_layer(const Kernels& k, const Tensors& t, const std::string& name, std::size_t outputs, std::size_t inputs,
                 const std::vector<std::size_t>& order, bool plain) {
    const i16* weight = nullptr;
    std::vector<i16> ordered;
    Layer layer = read(t, name, outputs, inputs, order, &weight, &ordered);
    layer.packed = Aligned<i16>(k.packed_size(order.size(), inputs));
    k.pack(weight, order.size(), inputs, layer.packed.data());
    if (plain) layer.plain = std::move(ordered);
    return layer;
}

Layer read_layer(const Kernels& k, const Tensors& t, const std::string& name, std::size_t outputs, std::size_t inputs,
                 bool plain) {
    return read_layer(k, t, name, outputs, inputs, natural(outputs), plain);
}

std::vector<Layer> read_shuffled(const Kernels& k, const Tensors& t, const std::string& name, std::size_t channels,
                                 std::size_t inputs, std::size_t factor, bool plain) {
    const std::size_t places = factor * factor;
    std::vector<Layer> layers;
    for (std::size_t place = 0; place < places; ++place) {
        std::vector<std::size_t> order(channels);
        for (std::size_t c = 0; c < channels; ++c) order[c] = c * places + place;
        layers.push_back(read_layer(k, t, name, channels * places, inputs, order, plain));
    }
    return layers;
}

Layer read_depthwise(const Kernels& k, const Tensors& t, const std::string& name, std::size_t channels,
                     std::size_t side, bool plain) {
    const i16* weight = nullptr;
    std::vector<i16> ordered;
    Layer layer = read(t, name, channels, side * side, natural(channels), &weight, &ordered);
    layer.packed = Aligned<i16>(k.packed_size(channels, side * side));
    k.pack_depthwise(weight, channels, side * side, layer.packed.data());
    if (plain) layer.plain = std::move(ordered);
    return layer;
}

Block read_block(const Kernels& k, const Tensors& t, const std::string& name, std::size_t width, bool plain) {
    Block b;
    b.width = width;
    b.mix = read_layer(k, t, name + ".mix", width, width, plain);
    b.spatial = read_depthwise(k, t, name + ".spatial", width, 3, plain);
    b.join = read_layer(k, t, name + ".join", width, width, plain);
    b.expand = read_layer(k, t, name + ".expand", 2 * width, width, plain);
    b.contract = read_layer(k, t, name + ".contract", width, 2 * width, plain);
    return b;
}

BlockAt::BlockAt(const Block& block, const Kernels& k, int q)
    : width(block.width),
      mix(block.mix, k, q),
      spatial(block.spatial, k, q),
      join(block.join, k, q),
      expand(block.expand, k, q),
      contract(block.contract, k, q) {}

}  // namespace lic::nn

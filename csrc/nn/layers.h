// Layers of FORMAT 8.1: checked and packed once, with their multipliers and biases at a quality. Must not include
// Python.
#ifndef LIC_NN_LAYERS_H
#define LIC_NN_LAYERS_H

#include <string>
#include <vector>

#include "../rate_point.h"
#include "memory.h"
#include "tensors.h"

namespace lic::nn {

// A 1x1 or depthwise convolution: weights in the kernels' order, tables of scale and bias over the trained rates.
struct Layer {
    Aligned<i16> packed;
    std::vector<i16> plain;  // the same (outputs, inputs), where asked for
    std::size_t outputs = 0, inputs = 0, points = 0;
    std::vector<i32> scale;  // (points, outputs)
    std::vector<i64> bias;

    Weights weights() const { return {packed.data(), outputs, inputs}; }
};

// Multipliers (outputs) at a quality.
std::vector<i32> scale_at(const Layer& layer, int q);

// A layer at a quality.
struct LayerAt {
    Weights weight{};
    Aligned<i32> scale;
    Aligned<i64> bias;
    LayerAt() = default;
    LayerAt(const Layer& layer, const Kernels& k, int q);
    // With multipliers and biases (outputs) of its own.
    LayerAt(const Layer& layer, const Kernels& k, const std::vector<i32>& scales, const std::vector<i64>& biases);
    Final final() const { return {scale.data(), bias.data()}; }
};

// How a layer's outputs are split where they become neighbours in space: `factor` squared layers, in raster order of
// the place, of the channels c * factor^2 + place. order: what channel of the layer stands at each output, for other
// arrangements. plain: whether to keep Layer::plain.
Layer read_layer(const Kernels& k, const Tensors& t, const std::string& name, std::size_t outputs, std::size_t inputs,
                 bool plain = false);
Layer read_layer(const Kernels& k, const Tensors& t, const std::string& name, std::size_t outputs, std::size_t inputs,
                 const std::vector<std::size_t>& order, bool plain = false);
std::vector<Layer> read_shuffled(const Kernels& k, const Tensors& t, const std::string& name, std::size_t channels,
                                 std::size_t inputs, std::size_t factor, bool plain = false);
Layer read_depthwise(const Kernels& k, const Tensors& t, const std::string& name, std::size_t channels,
                     std::size_t side, bool plain = false);

struct Block {
    std::size_t width = 0;
    Layer mix, spatial, join, expand, contract;
};
Block read_block(const Kernels& k, const Tensors& t, const std::string& name, std::size_t width, bool plain = false);

struct BlockAt {
    std::size_t width;
    LayerAt mix, spatial, join, expand, contract;
    BlockAt(const Block& block, const Kernels& k, int q);
};

// One row through a layer: positions of all inputs, side by side, to outputs side by side.
inline void run(const Kernels& k, const LayerAt& layer, const i16* in, std::size_t positions, void* out, Store store) {
    k.product({in, static_cast<std::ptrdiff_t>(layer.weight.inputs), positions, layer.weight.inputs, layer.weight,
               layer.final(), out, static_cast<std::ptrdiff_t>(layer.weight.outputs), store});
}

// The same, outputs out_stride apart.
inline void run_spread(const Kernels& k, const LayerAt& layer, const i16* in, std::size_t positions, void* out,
                       std::size_t out_stride, Store store) {
    k.product({in, static_cast<std::ptrdiff_t>(layer.weight.inputs), positions, layer.weight.inputs, layer.weight,
               layer.final(), out, static_cast<std::ptrdiff_t>(out_stride), store});
}

}  // namespace lic::nn

#endif

// Layers of FORMAT 8.1: checked and packed once, with their multipliers and biases at a quality. Must not include
// Python.
#ifndef LIC_NN_LAYERS_H
#define LIC_NN_LAYERS_H

#include <string>
#include <vector>

#include "kernels.h"
#include "tensors.h"

namespace lic::nn {

// A 1x1 or depthwise convolution: weights in the kernels' order, tables of scale and bias over the trained rates.
struct Layer {
    Packed packed;
    std::size_t points = 0, outputs = 0;
    std::vector<i32> scale;  // (points, outputs)
    std::vector<i64> bias;

    Final at(const Kernels& k, int q) const;
};

// How a layer's outputs are split where they become neighbours in space: `factor` squared layers, in raster order of
// the place, of the channels c * factor^2 + place. order: what channel of the layer stands at each output, for other
// arrangements.
Layer read_layer(const Kernels& k, const Tensors& t, const std::string& name, std::size_t outputs, std::size_t inputs);
Layer read_layer(const Kernels& k, const Tensors& t, const std::string& name, std::size_t outputs, std::size_t inputs,
                 const std::vector<std::size_t>& order);
std::vector<Layer> read_shuffled(const Kernels& k, const Tensors& t, const std::string& name, std::size_t channels,
                                 std::size_t inputs, std::size_t factor);
Layer read_depthwise(const Kernels& k, const Tensors& t, const std::string& name, std::size_t channels,
                     std::size_t side);

// FORMAT 7.1 for a table of `points` rows.
struct RatePoint {
    std::size_t low;
    i64 part;  // of 256, from row `low` to the next
};
RatePoint rate_point(int q, std::size_t points);
inline i64 lerp(i64 a, i64 b, i64 part) { return (a * (256 - part) + b * part + 128) >> 8; }

struct Block {
    std::size_t width = 0;
    Layer mix, spatial, join, expand, contract;
};
Block read_block(const Kernels& k, const Tensors& t, const std::string& name, std::size_t width);

// A block's finals at a quality.
struct BlockAt {
    const Block* block = nullptr;
    Final mix, spatial, join, expand, contract;
};
BlockAt at(const Block& block, const Kernels& k, int q);

}  // namespace lic::nn

#endif

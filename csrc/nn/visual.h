// A distance after SSIMULACRA2 (Sneyers 2022, libjxl/ssimulacra2) between a picture and what a decoder makes of it, and
// its gradient by the decoder's samples: what `tune="visual"` is trained for, in C++ for encoders that search. Its twin
// in PyTorch is pillow_lic/engines/torch/visual.py. Nothing here decides what a file means. Must not include Python.
//
// READ ME FIRST
// - Both pictures go from sRGB through linear light to an opsin space of three channels. On six scales, each half of
// the
//   one before in linear light, three maps say how they differ: structure, ringing, blur. Means and 4-norms of the maps
//   are weighed by 108 numbers that the metric's authors fitted to people's judgements; most are nearly 0, and a
//   channel whose numbers all are is left out at that scale.
// - A large picture is looked at in blocks of at most kVisualBlock pixels a side, each a picture of its own: memory is
//   that of a few blocks, and threads share them.
#ifndef LIC_NN_VISUAL_H
#define LIC_NN_VISUAL_H

#include <array>

#include "analysis.h"
#include "visual_kernels.h"

namespace lic::nn {

constexpr std::size_t kVisualBlock = 768, kVisualScales = 6;

// The published weights: channel, scale, norm (mean, 4-norm), map (structure, ringing, blur).
using VisualWeights = std::array<float, 3 * kVisualScales * 2 * 3>;
const VisualWeights& visual_weights();

class Visual {
 public:
    Visual(const Picture& picture, const Kernels& kernels);

    // The distance times the pixels, of levels (4 hy, 4 wy, 48) as SynthesisStream gives them. by_levels, of the same
    // shape, where it is not null: its gradient times `unit` is added.
    double operator()(const i16* levels, float* by_levels, float unit, std::size_t threads) const;

 private:
    struct Block {
        std::size_t top, left, height, width;
    };
    double block(const Block& block, const i16* levels, float* by_levels, float unit, std::size_t threads) const;

    Picture picture_;
    const VisualKernels& k_;
};

}  // namespace lic::nn

#endif

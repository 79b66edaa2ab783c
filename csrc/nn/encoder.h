// A picture to its symbols: analysis, hyper-analysis and search, slice by slice of rows, so that memory is that of a
// slice and not of the picture. Nothing here decides what a file means. Must not include Python.
//
// READ ME FIRST
// - A slice is encoded as a picture of its own, with kHalo rows of y more above and below, whose results are dropped. A
//   picture that fits a slice is one slice, without a halo.
// - r of a row depends on y up to kReach rows away, through the means that a decoder will have. Two slices move y each
//   in its own way, so the rows around where they meet are quantised anew, of the y that both moved: then r is what one
//   pass over the whole picture's y would give, and a decoder's means are those that it was chosen by.
#ifndef LIC_NN_ENCODER_H
#define LIC_NN_ENCODER_H

#include "search.h"

namespace lic::nn {

// z (C, hz, wz), rounded to the model's steps, from y (hy, wy, M) of the analysis.
void hyper_symbols(const Analysis& analysis, const Model& model, int q, const i32* y, std::size_t hy, std::size_t wy,
                   i16* z);

constexpr std::size_t kSliceMost = 16 << 20;  // elements of y in a slice and its halo: some 22 bytes each

struct Encoder {
    const Analysis& analysis;
    const Photo& photo;
    const Model& model;
    int q;
    const Setting& setting;  // of the model at q, without stages: their thresholds come from all of z
    std::size_t passes;      // and the next three: of Search
    float weight;
    double bit, visual;
    std::size_t threads;
    std::size_t slice = kSliceMost;
};

// z (C, hz, wz) and r (M, hy, wy) of a picture. The same on one machine whatever the threads.
void encode(const Encoder& encoder, const Picture& picture, i16* z, i16* r);

}  // namespace lic::nn

#endif

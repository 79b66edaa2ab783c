// Encoder effort: a search for better symbols of the picture at hand, through the decoder as it is. No file changes its
// meaning. Must not include Python.
//
// The one pass of effort 0 rounds y as if every element's error were on its own, and as if the analysis had found the
// best y. Here each pass asks the decoder: the gradient of the squared error at what it would reconstruct points to
// where y had better be, a damped Newton step with the diagonal of the Hessian, and y is quantised anew, rate against
// distortion, with the price of a bit that its curvature says. So elements make up for each other's errors. After
// Campos et al. 2019, "Content adaptive optimization for neural image compression", which descends on y alone. z, and
// with it every probability, stays as the encoder's one pass found it.
#ifndef LIC_NN_SEARCH_H
#define LIC_NN_SEARCH_H

#include "../model.h"
#include "analysis.h"
#include "photo.h"

namespace lic::nn {

struct Search {
    const Photo& photo;
    const Model& model;
    int q;
    const Setting& setting;  // of the model at q
    Picture picture;
    const i16* z;        // (C, hz, wz) the symbols
    const i32* y;        // (hy, wy, M) of the analysis, in 1/16 of y_hat's unit
    std::size_t passes;  // 0: r is that of effort 0
    float weight;        // of a bit against a squared error of what r counts, of effort 0
    double bit;          // the squared error of samples in 0..1 that a bit is worth; of no use without passes
    double visual;       // that squared error which a visual distance of 1 counts for, a pixel; 0: it does not count
    std::size_t threads;
    // Where to leave what was found, so that `Photo::quantise` makes r of it, at this quality and at those near it; may
    // be null. y (hy, wy, M) as it was moved, and the weight (M,) of a bit of each channel.
    i32* moved = nullptr;
    float* weights = nullptr;
};

// r (M, hy, wy): that of effort 0 where the search finds none that costs less. The same on one machine whatever the
// threads. Returns whether it found one.
bool search(const Search& s, i16* r);

}  // namespace lic::nn

#endif

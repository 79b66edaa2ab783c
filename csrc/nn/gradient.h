// The gradient of the squared error by y_hat through the synthesis of the `photo` family: forward in the decoder's own
// integers, back in float. An encoder's tool; nothing here decides what a file means. Must not include Python.
//
// READ ME FIRST
// - Rows stream, forward and back in one: a row of y_hat enters, rows of samples come out some rows later, and rows of
//   the gradient some rows after those. Of the way forward nothing is kept but a bit for each leaky output, and that of
//   a few rows alone: memory is that of a few rows, whatever the image's size. A distance that looks at the whole
//   picture comes between the two ways, and has those bits kept for all rows.
// - A thread's strip begins as many rows early as it takes: results do not depend on how many threads there are.
#ifndef LIC_NN_GRADIENT_H
#define LIC_NN_GRADIENT_H

#include <memory>
#include <vector>

#include "analysis.h"
#include "photo.h"

namespace lic::nn {

class Gradient {
 public:
    // Of a decoder, which must outlive it, at quality Q.
    Gradient(const Photo& photo, int q);
    ~Gradient();

    // The squared error, of samples in 0..1, of what y_hat (hy, wy, M) gives for a picture, in its own units: samples
    // are clipped, not rounded, and those beyond the picture's edges do not count. gradient (hy, wy, M): by y_hat, as
    // if nothing had been clipped or rounded; null where the error alone is wanted.
    double operator()(const i16* y_hat, const Picture& picture, float* gradient, std::size_t threads) const;

    // What `samples` keeps for `back`: a bit for each leaky output, some five bytes a pixel of each thread's strip and
    // of the rows around it.
    class Kept {
     public:
        Kept();
        ~Kept();

     private:
        friend class Gradient;
        struct Strip;
        std::size_t threads_ = 0;
        std::vector<std::unique_ptr<Strip>> strips_;  // by their first row; used again
    };

    // For distances that look at more than a sample: first the samples (4 hy, 4 wy, 48) in 1/16 of a level as
    // SynthesisStream gives them, and the squared error; by_levels, of the same shape, takes its gradient by them, or
    // is null, and nothing is kept. Then, of the same picture, the gradient by y_hat of what has such a one by the
    // samples, on as many threads.
    double samples(const i16* y_hat, const Picture& picture, i16* levels, float* by_levels, std::size_t threads,
                   Kept& kept) const;
    void back(const Picture& picture, const float* by_levels, float* gradient, const Kept& kept) const;

    struct Parts;

 private:
    std::unique_ptr<Parts> parts_;
};

}  // namespace lic::nn

#endif

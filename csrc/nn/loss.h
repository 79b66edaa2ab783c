// What a search lowers: an error of the samples that y_hat gives, and its gradient by y_hat. Must not include Python.
#ifndef LIC_NN_LOSS_H
#define LIC_NN_LOSS_H

#include <vector>

#include "gradient.h"
#include "photo_parts.h"
#include "visual.h"

namespace lic::nn {

// The squared error of samples in 0..1, and the visual distance times the pixels times `visual`, where that is not 0.
class Loss {
 public:
    // The decoder and the picture must outlive it.
    Loss(const Photo& photo, int q, const Picture& picture, double visual, std::size_t threads)
        : gradient_(photo, q),
          visual_(picture, photo.kernels()),
          picture_(picture),
          weight_(visual),
          threads_(threads) {}

    // Of y_hat (hy, wy, M). gradient (hy, wy, M): by y_hat; null where the error alone is wanted.
    double operator()(const i16* y_hat, float* gradient) {
        if (weight_ <= 0.0) return gradient_(y_hat, picture_, gradient, threads_);
        const std::size_t samples = picture_.hy() * picture_.wy() * 16 * kOut;
        levels_.resize(samples);
        if (gradient) by_levels_.resize(samples);
        float* by = gradient ? by_levels_.data() : nullptr;
        const double squares = gradient_.samples(y_hat, picture_, levels_.data(), by, threads_, kept_);
        const double apart = visual_(levels_.data(), by, static_cast<float>(weight_), threads_);
        if (gradient) gradient_.back(picture_, by, gradient, kept_);
        return squares + weight_ * apart;
    }

 private:
    Gradient gradient_;
    Gradient::Kept kept_;
    Visual visual_;
    Picture picture_;
    double weight_;
    std::size_t threads_;
    std::vector<i16> levels_;
    std::vector<float> by_levels_;
};

}  // namespace lic::nn

#endif

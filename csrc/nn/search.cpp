#include "search.h"

#include <algorithm>
#include <cmath>
#include <variant>
#include <vector>

#include "../threads.h"
#include "loss.h"
#include "stream.h"

namespace lic::nn {
namespace {

constexpr double kStep = 0.42;   // what part of the Newton step the first pass takes; it falls linearly to nothing
constexpr double kDither = 0.8;  // steps by which y is shaken at first, where there are so many passes:
constexpr std::size_t kDithered = 6;
constexpr double kWeight = 0.74;  // of a bit against the curvature that was found
constexpr double kShrink = 50.0;  // squared steps of error that a channel's curvature by theory counts for
constexpr double kSpread = 3.0;   // by how much it may differ from theory
constexpr double kSure = 0.995;   // of the cost at first: symbols that were so much cheaper are not weighed once more
                                  // after the last, smallest step
constexpr double kLocal = 10.0;   // of a visual distance: squared steps that theory counts for at a position
constexpr float kFine = 1 << LIC_MEAN_BITS;  // y and its steps are in 1/16 of y_hat's unit

class Searching {
 public:
    Searching(const Search& search, i16* r)
        : s_(search),
          hy_(search.picture.hy()),
          wy_(search.picture.wy()),
          M_(search.model.M()),
          unit_(search.model.unit()),
          r_(r),
          v_(search.model.C() * cells(hy_) * cells(wy_)),
          index_(M_ * hy_ * wy_),
          weights_(M_, search.weight) {
        const Setting& setting = s_.setting;
        s_.model.dequantise(setting, s_.z, cells(hy_) * cells(wy_), v_.data());
        s_.model.index(setting, s_.model.shape(hy_, wy_), s_.z, index_.data());
    }

    bool run() {
        const std::size_t n = hy_ * wy_ * M_;
        if (s_.passes == 0) {
            quantise(s_.y, r_, 0.0f, 0);
            leave(s_.y, weights_);
            return false;
        }
        const std::vector<float> plain = weights_;
        y_.assign(s_.y, s_.y + n);
        if (s_.visual > 0.0) slower_.resize(hy_ * wy_);
        y_hat_.resize(n), step_.resize(n), gradient_.resize(n);
        std::vector<i16> found(n);
        quantise(y_.data(), r_, 0.0f, 0);
        Loss loss(s_.photo, s_.q, s_.picture, s_.visual, s_.threads);
        double before = 0.0, last = HUGE_VAL;
        for (std::size_t k = 0; k < s_.passes; ++k) {
            const double error = loss(y_hat_.data(), gradient_.data());
            if (k == 0) {
                before = error + s_.bit * bits(r_);
                find_curvature();
            } else if (k + 1 == s_.passes) {
                last = error + s_.bit * bits(found.data());
            }
            if (!slower_.empty()) slow_down();
            const double part = static_cast<double>(k) / static_cast<double>(s_.passes);
            move(static_cast<float>(kStep * (1.0 - part)));
            const double shake =
                kDither * (1.0 - (static_cast<double>(k) + 1.0) / (0.8 * static_cast<double>(s_.passes)));
            const bool shaken = s_.passes >= kDithered && shake > 0.0;
            quantise(y_.data(), found.data(), shaken ? static_cast<float>(shake) * static_cast<float>(unit_) : 0.0f,
                     k + 1);
        }
        const double price = s_.bit * bits(found.data());
        if (!(last < kSure * before) || !std::isfinite(price)) last = loss(y_hat_.data(), nullptr) + price;
        if (!(last < before)) {
            leave(s_.y, plain);
            return false;
        }
        std::copy(found.begin(), found.end(), r_);
        leave(y_.data(), weights_);
        return true;
    }

 private:
    void leave(const i32* y, const std::vector<float>& weights) const {
        if (s_.moved) std::copy_n(y, hy_ * wy_ * M_, s_.moved);
        if (s_.weights) std::copy(weights.begin(), weights.end(), s_.weights);
    }

    static std::size_t cells(std::size_t n) { return (n + LIC_HYPER_STRIDE - 1) / LIC_HYPER_STRIDE; }

    void quantise(const i32* y, i16* r, float shake, std::size_t pass) {
        Choice choice;
        choice.y = y, choice.index = index_.data(), choice.r = r;
        choice.shake = shake, choice.seed = static_cast<std::uint32_t>(pass) * 0x9E3779B9u;
        if (!y_hat_.empty()) choice.y_hat = y_hat_.data(), choice.step = step_.data();
        choice.quantise = [this](std::size_t, const float* x, const std::uint8_t* at, std::size_t n, i16* out) {
            s_.model.quantise({x, at, weights_.data(), M_, n, out, s_.setting.stages});
        };
        const std::size_t hz = cells(hy_), wz = cells(wy_);
        Image image{hy_, wy_, {v_.data(), hz * wz, wz, 0, 0}, {}};
        if (!s_.setting.shift.empty()) image.shift = {s_.setting.shift.data(), wz};
        s_.photo.quantise(image, s_.q, choice, s_.threads);
    }

    double bits(const i16* r) const {
        double all = 0.0;
        return s_.model.price({r, index_.data(), M_, hy_ * wy_, s_.setting.stages}, all) == Status::ok ? all : HUGE_VAL;
    }

    // The whole step of r at an element, in y_hat's unit.
    float whole(float step) const { return step * (static_cast<float>(unit_) / kFine); }

    // Second derivative of the squared error by r of each channel, in whole steps: how the gradient follows the
    // rounding error. Where there is little error to go by, what it is at high rate: an error D = c / 24 of a step
    // falls by 2 ln 2 D with a bit more, which is the bit's worth. Then what a bit weighs against it.
    void find_curvature() {
        std::vector<double> products(hy_ * M_), squares(hy_ * M_);
        in_strips(hy_, kStripRows, s_.threads, [&](std::size_t begin, std::size_t end) {
            for (std::size_t row = begin; row < end; ++row) {
                double *product = products.data() + row * M_, *square = squares.data() + row * M_;
                for (std::size_t at = row * wy_ * M_; at < (row + 1) * wy_ * M_; at += M_) {
                    for (std::size_t m = 0; m < M_; ++m) {
                        const float step = whole(step_[at + m]);
                        const float error =
                            (static_cast<float>(y_hat_[at + m]) - static_cast<float>(y_[at + m]) / kFine) / step;
                        product[m] += static_cast<double>(gradient_[at + m] * step * error);
                        square[m] += static_cast<double>(error * error);
                    }
                }
            }
        });
        const double theory = 12.0 * s_.bit / std::log(2.0);
        per_curvature_.resize(M_);
        for (std::size_t m = 0; m < M_; ++m) {
            double product = kShrink * theory, square = kShrink;
            for (std::size_t row = 0; row < hy_; ++row)
                product += products[row * M_ + m], square += squares[row * M_ + m];
            const double ratio = product / square,
                         curvature =
                             std::isfinite(ratio) ? std::clamp(ratio, theory / kSpread, theory * kSpread) : theory;
            per_curvature_[m] = static_cast<float>(1.0 / curvature);
            weights_[m] = static_cast<float>(kWeight * 2.0 * s_.bit / curvature * unit_ * unit_);
        }
    }

    // A visual distance bends far more at some positions than at others: where little is seen of what surrounds a flaw.
    // By how much more than theory says, the sizes of gradients and errors tell, over a position's channels together;
    // its own errors are those against the y of the analysis.
    void slow_down() {
        const double theory = 12.0 * s_.bit / std::log(2.0);
        in_strips(hy_, kStripRows, s_.threads, [&](std::size_t begin, std::size_t end) {
            for (std::size_t p = begin * wy_; p < end * wy_; ++p) {
                double slopes = kLocal, errors = kLocal;
                for (std::size_t at = p * M_; at < (p + 1) * M_; ++at) {
                    const float step = whole(step_[at]);
                    const double slope = static_cast<double>(gradient_[at] * step) / theory,
                                 error = static_cast<double>(
                                     (static_cast<float>(y_hat_[at]) - static_cast<float>(s_.y[at]) / kFine) / step);
                    slopes += slope * slope, errors += error * error;
                }
                const double ratio = std::sqrt(slopes / errors);
                slower_[p] = static_cast<float>(std::isfinite(ratio) ? 1.0 / ratio : 0.0);
            }
        });
    }

    // y by `part` of the way to where the gradient says that it had better be.
    void move(float part) {
        in_strips(hy_, kStripRows, s_.threads, [&](std::size_t begin, std::size_t end) {
            for (std::size_t at = begin * wy_ * M_; at < end * wy_ * M_; at += M_) {
                const float slower = slower_.empty() ? 1.0f : slower_[at / M_];
                for (std::size_t m = 0; m < M_; ++m) {
                    const float step = whole(step_[at + m]), g = gradient_[at + m] * slower;
                    const float best =
                        (static_cast<float>(y_hat_[at + m]) - g * step * step * per_curvature_[m]) * kFine;
                    const float now = static_cast<float>(y_[at + m]), then = now + part * (best - now);
                    constexpr auto kMost = static_cast<float>(LIC_MEAN_MAX);
                    y_[at + m] = static_cast<i32>(std::lrint(std::max(-kMost, std::min(kMost, then))));
                }
            }
        });
    }

    const Search& s_;
    std::size_t hy_, wy_, M_;
    int unit_;  // what r counts to a whole step
    i16* r_;
    std::vector<i16> v_;
    std::vector<std::uint8_t> index_;
    std::vector<float> weights_, per_curvature_;
    std::vector<float> slower_;  // (hy, wy) what a step is multiplied by, of a visual distance
    std::vector<i32> y_;
    std::vector<i16> y_hat_;
    std::vector<float> step_, gradient_;
};

}  // namespace

bool search(const Search& s, i16* r) { return Searching(s, r).run(); }

}  // namespace lic::nn

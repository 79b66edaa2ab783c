// The encoder's networks of the `photo` family in the kernels of the decoder: from samples to y and z. Nothing here
// decides what a file means. Must not include Python.
#ifndef LIC_NN_ANALYSIS_H
#define LIC_NN_ANALYSIS_H

#include <algorithm>
#include <cstdint>
#include <memory>

#include "layers.h"

namespace lic::nn {

constexpr i32 kFinePart = 128, kFineWhite = 255 * kFinePart;  // of a level of 8 bits, and the brightest

// Samples (height, width, bands), 1 or 3 bands, interleaved: levels of 8 bits or, of a picture of more, in 1/kFinePart.
struct Picture {
    const std::uint8_t* data = nullptr;
    std::size_t height = 0, width = 0, bands = 3, row_stride = 0;  // row_stride in samples
    const std::uint16_t* fine = nullptr;                           // in the place of data, up to kFineWhite
    // Sample n of a row, in 1/kFinePart of a level.
    i32 at(std::size_t row, std::size_t n) const {
        const std::size_t i = row * row_stride + n;
        return fine ? std::min<i32>(fine[i], kFineWhite) : data[i] * kFinePart;
    }
    std::size_t hy() const { return (height + 15) / 16; }
    std::size_t wy() const { return (width + 15) / 16; }
};

class Analysis {
 public:
    // Checks and packs. Throws BadModel.
    Analysis(const Tensors& tensors, const Kernels& kernels);
    ~Analysis();
    Analysis(Analysis&&) noexcept;

    std::size_t latent() const;  // M
    std::size_t hyper() const;   // C

    // y (hy, wy, M) in 1/16 of y_hat's unit, at quality Q.
    void analyse(const Picture& picture, int q, i32* y, std::size_t threads) const;

    // z (C, hz, wz) in 1/8192 of what v / 32 is, before rounding, from such y.
    void hyper_analyse(const i32* y, std::size_t hy, std::size_t wy, int q, i32* z) const;

    struct Parts;

 private:
    std::unique_ptr<Parts> parts_;
};

}  // namespace lic::nn

#endif

// The decoder networks of the `photo` family in integers (FORMAT 8): from v and r to y_hat and to samples, row by row.
// Must not include Python. Nothing here is shared between calls but the weights, so any number of threads may decode at
// once.
//
// READ ME FIRST
// - Rows stream: a row of the latent grid enters at the top of a chain of stages, and each stage hands on the rows that
//   it can finish. Nothing larger than a few rows is ever held, whatever the image's size.
// - A chain may begin and end anywhere in an image. A stage whose first row is not the image's first does not know the
//   row above and does not hand that row on; so what comes out is right, and fewer rows come out than went in (a
//   pyramid, not a strip with a fixed margin).
// - Columns are those of a window of the image. Its edges inside the image are wrong for some columns, which the caller
//   leaves out.
#ifndef LIC_NN_PHOTO_H
#define LIC_NN_PHOTO_H

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "layers.h"
#include "noise.h"

namespace lic::nn {

// Integers (channels, rows, columns), of which `row0` and `column0` are the first that are there.
struct Grid {
    const i16* data = nullptr;
    std::size_t channel_stride = 0, row_stride = 0;
    std::size_t row0 = 0, column0 = 0;
    const i16* at(std::size_t channel, std::size_t row, std::size_t column) const {
        return data + channel * channel_stride + (row - row0) * row_stride + (column - column0);
    }
};

// Where samples go: the box of the image's pixels [top, bottom) x [left, right), 1 or 3 bands, interleaved. A sample is
// a byte or, of more than 8 bits, a u16 of the machine's byte order.
struct Canvas {
    std::uint8_t* data = nullptr;
    std::size_t row_stride = 0, bands = 3;  // row_stride in bytes
    std::size_t top = 0, left = 0, bottom = 0, right = 0;
    int depth = LIC_DEPTH_MIN;
    std::size_t pixel_bytes() const { return bands * (depth > LIC_DEPTH_MIN ? sizeof(std::uint16_t) : 1); }
};

// The quality map (FORMAT 5.3): by how many rows of the scale index the steps of a hyper position are finer.
struct Shift {
    const std::int8_t* rows = nullptr;  // (hz, wz), or none
    std::size_t columns = 0;            // wz

    // What is added to the logarithm of the step of a latent position, in 1/256 octave.
    i32 log(std::size_t row, std::size_t column) const {
        if (!rows) return 0;
        // NOLINTNEXTLINE(bugprone-signed-char-misuse): an i8 that counts rows, no character
        const auto by = static_cast<i32>(rows[row / LIC_HYPER_STRIDE * columns + column / LIC_HYPER_STRIDE]);
        return -((by * LIC_ROW_OCTAVE + (1 << (LIC_OCTAVE_BITS - 1))) >> LIC_OCTAVE_BITS);
    }
};

struct Image {
    std::size_t hy = 0, wy = 0;  // the latent grid
    Grid v, r;                   // v (C, hy / 4, wy / 4) of FORMAT 7.5, r (M, hy, wy); divisions round up
    Shift shift{};
    i16* log = nullptr;  // (hy, wy, M) takes the logarithm of the step of every element, in 1/256 octave; may be null
};

// An encoder's residuals: what y is, and how it is quantised as means and steps become known.
struct Choice {
    const i32* y = nullptr;               // (hy, wy, M) in 1/16 of y_hat's unit
    const std::uint8_t* index = nullptr;  // (M, hy, wy) the scale index
    i16* r = nullptr;                     // (M, hy, wy) what is chosen
    i16* y_hat = nullptr;                 // (hy, wy, M) what a decoder will have; may be null
    float* step = nullptr;                // (hy, wy, M) what r counts, in 1/16 of y_hat's unit; may be null
    float shake = 0.0f;                   // by so much of what r counts is y moved at random at most, in all
    std::uint32_t seed = 0;               // of those numbers
    // x (M, n) = (y - mean) / step and index (M, n) to r (M, n), of positions of a row that do not depend on each
    // other. Several threads call it at once.
    std::function<void(std::size_t row, const float* x, const std::uint8_t* index, std::size_t n, i16* r)> quantise;
    std::size_t begin = 0, end = 0;  // rows that are written; Photo::quantise sets them
};

class Photo;

// Another synthesis beside a decoder's own (FORMAT 8.5), how much of it is wanted, in 1/255, and its noise.
struct Style {
    const Photo* other = nullptr;
    int strength = 0;
    Noise noise{};
};

class Photo {
 public:
    // Checks and packs. Throws BadModel.
    Photo(const Tensors& tensors, const Kernels& kernels);
    ~Photo();
    Photo(Photo&&) noexcept;

    std::size_t latent() const;  // M
    std::size_t hyper() const;   // C
    const Kernels& kernels() const;
    // Latent positions beyond a box that its samples depend on.
    std::size_t halo() const;

    // Whether another decoder's synthesis takes this one's y_hat and has its depth and widths.
    bool fits(const Photo& other) const;

    // Samples of a box at quality Q. The style's other decoder fits.
    void render(const Image& image, int q, const Canvas& canvas, std::size_t threads, const Style& style = {}) const;

    // The residuals of an image at quality Q; its r is not read.
    void quantise(const Image& image, int q, const Choice& choice, std::size_t threads) const;

    // y_hat (M, hy, wy), without samples.
    void latents(const Image& image, int q, i16* y_hat) const;

    struct Parts;
    const Parts& parts() const { return *parts_; }

 private:
    std::unique_ptr<Parts> parts_;
};

}  // namespace lic::nn

#endif

// A decoded JPEG in integers: its blocks of 8 x 8 samples, their coefficients, and the cells that quantisation left.
// Must not include Python.
//
// READ ME FIRST
// - A row of blocks is i16: kFolded values a block, of Y, Cb and Cr 64 samples each, row by row, less grey; then 64
// that
//   belong to the network. A sample has 1/64 of a level.
// - Changes of samples and coefficients are i16 in 1/32 of a level, 64 a block.
#ifndef LIC_NN_JPEG_CELLS_H
#define LIC_NN_JPEG_CELLS_H

#include <array>

#include "layers.h"

namespace lic::nn {

constexpr std::size_t kBlockSide = 8, kBlock = 64, kPlanes = 3, kFolded = 4 * kBlock;
constexpr int kSampleUnit = 64, kChangeUnit = 32;  // to a level

using Steps = std::array<std::uint16_t, kBlock>;  // of a quantisation table, by rows of frequencies, from 1 on

// A JPEG's samples as they were decoded.
struct Jpeg {
    const std::uint8_t* data;          // (height, width, bands)
    std::size_t height, width, bands;  // 1 or 3
    bool rgb;                          // of three bands: R, G, B, not Y, Cb, Cr
    bool halved;                       // whether chroma had fewer samples than luma
    std::array<Steps, 2> steps;        // of luma and of chroma

    std::size_t rows() const { return (height + kBlockSide - 1) / kBlockSide; }
    std::size_t columns() const { return (width + kBlockSide - 1) / kBlockSide; }
};

// Row `row` of blocks; beyond the edges the last samples again.
void fold(const Jpeg& jpeg, std::size_t row, i16* folded);

// The samples of a row of blocks with changes (3 planes of columns x 64; of grey pictures one), rounded once: grey, or
// R, G, B, to out (height, width, bands).
void unfold(const Jpeg& jpeg, std::size_t row, const i16* folded, const i16* const* change, std::uint8_t* out);

// A pixel of luma and, of 3 bands, chroma less grey, 1/64 of a level each: grey, or R, G, B, rounded.
void to_pixel(i32 luma, i32 blue, i32 red, std::size_t bands, std::uint8_t* to);

// The transform of blocks, packed for a kernel set.
class Transform {
 public:
    explicit Transform(const Kernels& kernels);

    // Of the samples of a plane of folded blocks: coefficients in 1/32.
    void coefficients(const i16* folded, std::size_t plane, std::size_t columns, i16* out) const;
    // The same in 1/4096 of steps; out: out_stride apart.
    void in_steps(const i16* folded, const LayerAt& by_steps, std::size_t columns, i16* out) const;
    // What scales those.
    LayerAt by_steps(const Steps& steps) const;
    // Changes of samples to those of coefficients, and back. store: plain or add.
    void forward(const i16* samples, std::size_t columns, i16* out, Store store) const;
    void back(const i16* coefficients, std::size_t columns, i16* out) const;

 private:
    const Kernels& k_;
    Layer there_, from_;
    LayerAt samples_, forward_, back_;
};

// Changes of coefficients, moved into the cells of the file: within half a step of what it states, less what rounding
// samples to whole levels may add. Blocks with clipped samples are left as they are: their coefficients are not known.
// found: the blocks' coefficients.
void project(const i16* folded, std::size_t plane, const i16* found, const Steps& steps, std::size_t columns,
             i16* change);

}  // namespace lic::nn

#endif

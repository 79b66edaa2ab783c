// A tile of an image (FORMAT 6): its stream to its part of z and r of the whole image and back. Tiles are independent,
// so that any number of threads may each take one. Includes model.h and the standard library; must not include Python.
#ifndef LIC_IMAGE_H
#define LIC_IMAGE_H

#include <cstddef>
#include <cstdint>

#include "model.h"

namespace lic {

// FORMAT 6.1: tiles of S x S hyper positions over a latent grid, less at the right and lower edges.
struct Tiling {
    std::size_t hy, wy, side;  // the latent grid; S
    std::size_t rows() const { return (hy + kSide * side - 1) / (kSide * side); }
    std::size_t columns() const { return (wy + kSide * side - 1) / (kSide * side); }
    std::size_t count() const { return rows() * columns(); }
};

// Fills in the tile's part of z (C, hz, wz) and r (M, hy, wy); a stream that section 7 refuses leaves zeros or nothing
// there.
Outcome read_tile(const Model& model, const Setting& q, const Tiling& tiling, std::size_t number, const Streamed& from,
                  std::int16_t* z, std::int16_t* r);

// An image's integers as an encoder has them.
struct Integers {
    const std::int16_t *z, *r;
    const std::int32_t *start = nullptr, *freq = nullptr;  // the intervals of r, or nothing: see Given
};

Status write_tile(const Model& model, const Setting& q, const Tiling& tiling, std::size_t number, const Integers& from,
                  Stream& stream);

}  // namespace lic

#endif

// The tiles of an image (FORMAT 6): streams to z and r of the whole image and back, tiles spread over threads.
// Includes model.h and the standard library; must not include Python.
#ifndef LIC_IMAGE_H
#define LIC_IMAGE_H

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "model.h"

namespace lic {

// FORMAT 6.1: tiles of S x S hyper positions over a latent grid, less at the right and lower edges.
struct Tiling {
    std::size_t hy, wy, side;  // the latent grid; S
    std::size_t rows() const { return (hy + kSide * side - 1) / (kSide * side); }
    std::size_t columns() const { return (wy + kSide * side - 1) / (kSide * side); }
    std::size_t count() const { return rows() * columns(); }
};

struct Bytes {
    const std::uint8_t* data;  // null: the stream is not there
    std::size_t size;
};

// z (C, hz, wz) and r (M, hy, wy) of all tiles; those without a stream, or whose stream section 7 refuses, are left as
// they are. How each tile ended; nothing for a stream that is not there.
std::vector<std::optional<Outcome>> read_tiles(const Model& model, const Setting& q, const Tiling& tiling,
                                               const std::vector<Bytes>& streams, std::int16_t* z, std::int16_t* r,
                                               std::size_t threads);

// The streams of z and r, and whether all could be made.
Status write_tiles(const Model& model, const Setting& q, const Tiling& tiling, const std::int16_t* z,
                   const std::int16_t* r, std::vector<Stream>& streams, std::size_t threads);

}  // namespace lic

#endif

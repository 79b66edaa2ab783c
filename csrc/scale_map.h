// The map: dequantised z -> a byte per latent position and channel (FORMAT 7.5), in integers alone: a row of the bank,
// or a parameter of a mixture. Includes lic_constants.h and the standard library; must not include Python or the coder.
//
// READ ME FIRST
// - The map is one integer matrix product, (16 M, C) x (C, positions), then a shift and a clamp. Integer sums do not
// depend
//   on their order, so the four code paths below give the same bytes by construction; a test checks it at the worst
//   magnitudes.
// - Why no sum overflows: |weight| <= 1023, |v| <= 4096, C <= 256, |offset|, |bias| < 2^22, hence
//   |acc| <= 1023 * 4096 * 256 + 2 * 2^22 = 1,081,081,856 < 2^31. Partial sums are bounded by the same figure.
// - Weights are streamed once for each block of `kBlock` positions, not once for each position; a block's v stays in
// L1.
#ifndef LIC_SCALE_MAP_H
#define LIC_SCALE_MAP_H

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "lic_constants.h"
#include "scale_map_kernels.h"

namespace lic {

// A tile's shape: C hyper channels of a x b positions, M latent channels of h x w.
struct Shape {
    std::size_t C, M, a, b, h, w;
    std::size_t z_size() const { return C * a * b; }
    std::size_t r_size() const { return M * h * w; }
};

// What quality makes of a map (FORMAT 7.1), and the number of values that it may yield.
struct MapSetting {
    const std::int32_t* d;     // (C,) step of z, 1 to 255
    const std::int32_t* bias;  // (M,)
    std::int32_t values;       // 1 to 256
};

// v of FORMAT 7.5: z in units of 1/32, clamped. |z * d| <= 32768 * 255 fits an i32.
inline std::int32_t dequantise(std::int16_t z, std::int32_t d) {
    const std::int32_t v = z * d;
    return v < LIC_Z_MIN ? LIC_Z_MIN : v > LIC_Z_MAX ? LIC_Z_MAX : v;
}

// The last line of FORMAT 7.5. `>>` of a negative int is arithmetic on every compiler that we build with (and in
// C++20).
inline std::uint8_t index_of(std::int32_t acc, std::int32_t rows) {
    const std::int32_t k = acc >> LIC_MAP_SHIFT;
    return static_cast<std::uint8_t>(k < 0 ? 0 : k > rows - 1 ? rows - 1 : k);
}

// A hidden layer (FORMAT 7.5): at every hyper position alone, a matrix product, a leaky shift and a clamp.
struct Layer {
    std::size_t in, out;
    std::vector<std::int16_t> weight;  // (out, in)
    std::vector<std::int32_t> offset;  // (out,)

    static std::int16_t activate(std::int32_t acc) {
        const std::int32_t k = acc >> LIC_MAP_SHIFT, leaky = k < 0 ? k >> LIC_LEAK_SHIFT : k;
        return static_cast<std::int16_t>(leaky < LIC_Z_MIN ? LIC_Z_MIN : leaky > LIC_Z_MAX ? LIC_Z_MAX : leaky);
    }
};

class ScaleMap {
 public:
    // A hidden layer behind those that are there; all of them before `build`. weight: (out, in), offset: (out,). False
    // when a size or a value is outside FORMAT 7.5.
    bool add_layer(const std::int16_t* weight, const std::int32_t* offset, std::size_t out, std::size_t in);

    // The map itself. weight: (16 M, C), offset: (16 M,). False, and no usable map, when a size or a value is outside
    // FORMAT 7.5. Allocates (and may throw std::bad_alloc) here and in add_layer; `index` does not.
    bool build(const std::int16_t* weight, const std::int32_t* offset, std::size_t M, std::size_t C);

    std::size_t M() const { return M_; }
    std::size_t C() const { return C_; }  // channels of z

    // FORMAT 7.5 for a tile. z: (C, a, b), out: (M, h, w). The caller has checked that a = ceil(h / 4), b = ceil(w /
    // 4), 1 <= d <= 255, |bias| < 2^22 and 1 <= values <= 256.
    void index(const std::int16_t* z, const Shape& s, const MapSetting& q, std::uint8_t* out) const;

    // The numbers that it was made of. weight: row k of 16 M, input c.
    const std::vector<Layer>& layers() const { return layers_; }
    std::size_t inputs() const { return inputs_; }
    std::int16_t weight(std::size_t k, std::size_t c) const { return weight_[k * 2 * pairs_ + c]; }
    std::int32_t offset(std::size_t k) const { return offset_[k]; }

 private:
    void pack(const std::int16_t* z, const Shape& s, const MapSetting& q, std::size_t start, std::size_t n,
              std::int16_t* v) const;
    void block(const std::int16_t* v, const Shape& s, const MapSetting& q, std::size_t start, std::size_t n,
               std::uint8_t* out) const;

    std::size_t M_ = 0, C_ = 0, inputs_ = 0, pairs_ = 0;  // inputs: C, or the channels of the last hidden layer
    std::vector<Layer> layers_;
    std::vector<std::int16_t> weight_;  // (16 M, 2 * pairs)
    std::vector<std::int32_t> offset_;  // (16 M,)
};

}  // namespace lic

#endif

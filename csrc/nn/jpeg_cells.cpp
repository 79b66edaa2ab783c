#include "jpeg_cells.h"

#include <algorithm>

namespace lic::nn {
namespace {

constexpr int kTransformBits = 12;  // of the transform's entries: a row's sum stays below 65535
constexpr i32 kGrey = 128 * kSampleUnit, kWhite = 255 * kSampleUnit;
constexpr i32 kBelow = -kGrey, kAbove = kWhite + kGrey;  // samples beyond may be clipped before colours are changed
constexpr int kColourBits = 14;
// cos(k pi / 16) / 2 in 1/2^30, of k = 0 sqrt(1/8): an orthonormal transform.
constexpr i64 kCosine[8] = {379625062, 526555088, 496004047, 446391849, 379625062, 298269498, 205451603, 104738319};

// Entry (k, n) of the transform of eight samples, in 1/2^30.
i64 basis(std::size_t k, std::size_t n) {
    if (k == 0) return kCosine[0];
    const std::size_t turn = (2 * n + 1) * k % 32;  // of 16 to pi
    const std::size_t half = turn > 16 ? 32 - turn : turn;
    if (half == 8) return 0;
    return half < 8 ? kCosine[half] : -kCosine[16 - half];
}

// (64, 64): from samples to coefficients, or back.
std::vector<i16> matrix(bool back) {
    std::vector<i16> all(kBlock * kBlock);
    constexpr int kShift = 60 - kTransformBits;
    for (std::size_t k = 0; k < kBlock; ++k) {
        for (std::size_t n = 0; n < kBlock; ++n) {
            const i64 entry = basis(k / kBlockSide, n / kBlockSide) * basis(k % kBlockSide, n % kBlockSide);
            const auto whole = static_cast<i16>((entry + (i64{1} << (kShift - 1))) >> kShift);
            all[back ? n * kBlock + k : k * kBlock + n] = whole;
        }
    }
    return all;
}

Layer packed(const Kernels& k, const std::vector<i16>& weight) {
    Layer layer;
    layer.outputs = layer.inputs = kBlock;
    layer.packed = Aligned<i16>(k.packed_size(kBlock, kBlock));
    k.pack(weight.data(), kBlock, kBlock, layer.packed.data());
    return layer;
}

// A layer whose outputs have `unit` to a level, of inputs with `from`.
LayerAt scaled(const Layer& layer, const Kernels& k, int unit, int from) {
    const i64 one = (i64{1} << (LIC_SCALE_BITS - kTransformBits)) * unit / from;
    return {layer, k, std::vector<i32>(kBlock, static_cast<i32>(one)), std::vector<i64>(kBlock, 0)};
}

i16 narrow(i32 value) { return static_cast<i16>(std::clamp(value, -32768, 32767)); }

std::uint8_t rounded(i32 value, int bits) {
    return static_cast<std::uint8_t>(std::clamp((value + (1 << (bits - 1))) >> bits, 0, 255));
}

// Y, Cb, Cr of R, G, B as JFIF has them, in units of the network, less grey.
void to_ycc(const std::uint8_t* rgb, i16* to) {
    const i32 r = rgb[0], g = rgb[1], b = rgb[2];
    constexpr int kShift = 10;  // constants have 16 bits, a level 6
    static_assert(kSampleUnit == 1 << (16 - kShift), "units");
    to[0] = static_cast<i16>(((19595 * r + 38470 * g + 7471 * b + (1 << (kShift - 1))) >> kShift) - kGrey);
    to[kBlock] = static_cast<i16>((-11058 * r - 21710 * g + 32768 * b + (1 << (kShift - 1))) >> kShift);
    to[2 * kBlock] = static_cast<i16>((32768 * r - 27439 * g - 5329 * b + (1 << (kShift - 1))) >> kShift);
}

}  // namespace

void fold(const Jpeg& jpeg, std::size_t row, i16* folded) {
    for (std::size_t u = 0; u < kBlockSide; ++u) {
        const std::size_t y = std::min(row * kBlockSide + u, jpeg.height - 1);
        const std::uint8_t* line = jpeg.data + y * jpeg.width * jpeg.bands;
        for (std::size_t column = 0; column < jpeg.columns(); ++column) {
            i16* to = folded + column * kFolded + u * kBlockSide;
            for (std::size_t v = 0; v < kBlockSide; ++v, ++to) {
                const std::uint8_t* from = line + std::min(column * kBlockSide + v, jpeg.width - 1) * jpeg.bands;
                if (jpeg.rgb) {
                    to_ycc(from, to);
                } else {
                    for (std::size_t c = 0; c < kPlanes; ++c)
                        to[c * kBlock] = c < jpeg.bands ? static_cast<i16>((from[c] - 128) * kSampleUnit) : i16{0};
                }
            }
        }
    }
}

void to_pixel(i32 luma, i32 blue, i32 red, std::size_t bands, std::uint8_t* to) {
    constexpr int kBits = 6 + kColourBits;
    luma = std::clamp(luma, kBelow, kAbove);
    if (bands == 1) {
        *to = rounded(luma, 6);
        return;
    }
    blue = std::clamp(blue, kBelow - kGrey, kAbove - kGrey);
    red = std::clamp(red, kBelow - kGrey, kAbove - kGrey);
    const i32 whole = luma * (1 << kColourBits);
    to[0] = rounded(whole + 22970 * red, kBits);
    to[1] = rounded(whole - 5638 * blue - 11700 * red, kBits);
    to[2] = rounded(whole + 29032 * blue, kBits);
}

void unfold(const Jpeg& jpeg, std::size_t row, const i16* folded, const i16* const* change, std::uint8_t* out) {
    static_assert(kSampleUnit == 64 && kSampleUnit == 2 * kChangeUnit, "units");
    const std::size_t rows = std::min(kBlockSide, jpeg.height - row * kBlockSide);
    for (std::size_t u = 0; u < rows; ++u) {
        std::uint8_t* to = out + (row * kBlockSide + u) * jpeg.width * jpeg.bands;
        for (std::size_t x = 0; x < jpeg.width; ++x, to += jpeg.bands) {
            const std::size_t column = x / kBlockSide, n = u * kBlockSide + x % kBlockSide;
            const i16* from = folded + column * kFolded + n;
            i32 planes[kPlanes] = {};
            for (std::size_t c = 0; c < jpeg.bands; ++c)
                planes[c] = from[c * kBlock] + 2 * change[c][column * kBlock + n];
            to_pixel(planes[0] + kGrey, planes[1], planes[2], jpeg.bands, to);
        }
    }
}

Transform::Transform(const Kernels& kernels)
    : k_(kernels),
      there_(packed(kernels, matrix(false))),
      from_(packed(kernels, matrix(true))),
      samples_(scaled(there_, kernels, kChangeUnit, kSampleUnit)),
      forward_(scaled(there_, kernels, 1, 1)),
      back_(scaled(from_, kernels, 1, 1)) {}

LayerAt Transform::by_steps(const Steps& steps) const {
    std::vector<i32> scale(kBlock);
    for (std::size_t n = 0; n < kBlock; ++n) {
        constexpr i64 kOne = i64{1} << (LIC_SCALE_BITS - 6);  // 1/4096 of a step, of 1/64 of a level
        scale[n] = static_cast<i32>((kOne + steps[n] / 2) / steps[n]);
    }
    return {there_, k_, scale, std::vector<i64>(kBlock, 0)};
}

void Transform::coefficients(const i16* folded, std::size_t plane, std::size_t columns, i16* out) const {
    k_.product({folded + plane * kBlock, kFolded, columns, kBlock, samples_.weight, samples_.final(), out, kBlock,
                Store::plain});
}

void Transform::in_steps(const i16* folded, const LayerAt& by_steps, std::size_t columns, i16* out) const {
    k_.product({folded, kFolded, columns, kBlock, by_steps.weight, by_steps.final(), out, kFolded, Store::plain});
}

void Transform::forward(const i16* samples, std::size_t columns, i16* out, Store store) const {
    run(k_, forward_, samples, columns, out, store);
}

void Transform::back(const i16* coefficients, std::size_t columns, i16* out) const {
    run(k_, back_, coefficients, columns, out, Store::plain);
}

void project(const i16* folded, std::size_t plane, const i16* found, const Steps& steps, std::size_t columns,
             i16* change) {
    // Half a step; of what rounding to whole levels may add to a coefficient, 3/4, less. 1/32 each.
    i32 half[kBlock];
    for (std::size_t n = 0; n < kBlock; ++n)
        half[n] = std::max(kChangeUnit / 2 * steps[n] - kChangeUnit * 3 / 4, kChangeUnit / 4 * steps[n]);
    for (std::size_t column = 0; column < columns; ++column) {
        const i16* samples = folded + column * kFolded + plane * kBlock;
        i16 least = samples[0], most = samples[0];
        for (std::size_t n = 1; n < kBlock; ++n) least = std::min(least, samples[n]), most = std::max(most, samples[n]);
        if (least <= -kGrey || most >= kWhite - kGrey) continue;
        const i16* own = found + column * kBlock;
        i16* to = change + column * kBlock;
        for (std::size_t n = 0; n < kBlock; ++n) {
            const i32 step = kChangeUnit * steps[n];
            const i32 centre = (own[n] + (own[n] < 0 ? -step / 2 : step / 2)) / step * step;
            to[n] = narrow(std::clamp(own[n] + to[n], centre - half[n], centre + half[n]) - own[n]);
        }
    }
}

}  // namespace lic::nn

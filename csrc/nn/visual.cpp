#include "visual.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "../threads.h"
#include "kernel_sets.h"
#include "photo_parts.h"

namespace lic::nn {
namespace {

constexpr int kWhite = 255 << LIC_SAMPLE_BITS;
constexpr std::size_t kLeastSide = 8;  // of a scale that still counts
constexpr double kOutside = 0.02;      // how far beyond 0..1 a sample still counts, so that its gradient leads it back
constexpr float kNegligible = 0.01f;   // a weight below it: all maps are below 1, and distances above 1
constexpr double kTiny = 1e-20;        // under roots, whose slope is infinite at 0
// The sum of weighted maps to the distance: a cubic.
constexpr double kSum = 0.9562382616834844;
constexpr double kCubic[3] = {2.326765642916932, -0.020884521182843837, 6.248496625763138e-05};

// sRGB to linear light, of levels.
class Curve {
 public:
    Curve() {
        for (int k = 0; k < kCount; ++k) {
            const double x = static_cast<double>(k + kFirst) / kWhite;
            const bool low = x <= 0.04045;
            value_[k] = static_cast<float>(low ? x / 12.92 : std::pow((x + 0.055) / 1.055, 2.4));
            slope_[k] = static_cast<float>(low ? 1.0 / 12.92 : 2.4 / 1.055 * std::pow((x + 0.055) / 1.055, 1.4));
        }
    }
    float value(int level) const { return value_[std::clamp(level, kFirst, kLast) - kFirst]; }
    float slope(int level) const { return level < kFirst || level > kLast ? 0.0f : slope_[level - kFirst]; }

 private:
    static constexpr int kFirst = -static_cast<int>(kOutside * kWhite), kLast = kWhite - kFirst,
                         kCount = kLast - kFirst + 1;
    float value_[kCount], slope_[kCount];
};

const Curve& curve() {
    static const Curve made;
    return made;
}

// Of both pictures in linear light, and the gradient by the second: three planes each.
struct Scale {
    Plane plane;
    std::size_t n;
    std::vector<float> a, b, gradient;
    Scale(std::size_t height, std::size_t width, bool back)
        : plane{height, width}, n(height * width), a(3 * n), b(3 * n), gradient(back ? 3 * n : 0) {}
};

ConstPlanes planes_of(const std::vector<float>& all, std::size_t n) {
    return {all.data(), all.data() + n, all.data() + 2 * n};
}

// Place of a pixel's first sample among levels of `columns` positions at a quarter of the resolution.
std::size_t level_at(std::size_t y, std::size_t x, std::size_t columns) {
    return (y / 4 * columns + x / 4) * kOut + y % 4 * 12 + x % 4 * 3;
}

// Means of 2x2; an odd last row or column of what there is.
void halve(const std::vector<float>& from, const Plane& f, std::vector<float>& to, const Plane& t) {
    for (std::size_t c = 0; c < 3; ++c) {
        for (std::size_t y = 0; y < t.height; ++y) {
            const float* upper = from.data() + (c * f.height + 2 * y) * f.width;
            const float* lower = 2 * y + 1 < f.height ? upper + f.width : upper;
            float* out = to.data() + (c * t.height + y) * t.width;
            const std::size_t whole = f.width / 2;
            for (std::size_t x = 0; x < whole; ++x)
                out[x] = 0.25f * (upper[2 * x] + upper[2 * x + 1] + lower[2 * x] + lower[2 * x + 1]);
            if (whole < t.width) out[whole] = 0.5f * (upper[2 * whole] + lower[2 * whole]);
        }
    }
}

// The gradient of `halve`, added.
void halve_back(const std::vector<float>& from, const Plane& f, std::vector<float>& to, const Plane& t) {
    for (std::size_t c = 0; c < 3; ++c) {
        for (std::size_t y = 0; y < t.height; ++y) {
            const float part = y == t.height - 1 && t.height % 2 ? 0.5f : 0.25f;
            const float* in = from.data() + (c * f.height + y / 2) * f.width;
            float* out = to.data() + (c * t.height + y) * t.width;
            for (std::size_t x = 0; x < t.width; ++x) out[x] += part * in[x / 2];
            if (t.width % 2) out[t.width - 1] += part * in[(t.width - 1) / 2];
        }
    }
}

const float* weights_of(std::size_t channel, std::size_t scale) {
    return visual_weights().data() + (channel * kVisualScales + scale) * 6;
}

bool counts(std::size_t channel, std::size_t scale) {
    const float* w = weights_of(channel, scale);
    return std::any_of(w, w + 6, [](float one) { return one >= kNegligible; });
}

// Weighted norms of the maps of a channel; `gradient` (n), where it is not null: by b.
double channel_distance(const VisualKernels& k, const float* w, const float* a, const float* b, const Plane& plane,
                        float* gradient) {
    const std::size_t n = plane.height * plane.width;
    std::vector<float> room(6 * n), scratch(plane.width + 2 * kBlurRadius);
    float* part[6];
    for (std::size_t p = 0; p < 6; ++p) part[p] = room.data() + p * n;
    const auto blurred = [&](const float* x, const float* y, float* out) {  // of x y, or of x
        if (y) k.multiply(x, y, n, part[5]);
        k.blur(y ? part[5] : x, plane, out, scratch.data());
    };
    blurred(a, nullptr, part[0]), blurred(a, a, part[1]);
    blurred(b, nullptr, part[2]), blurred(b, b, part[3]), blurred(a, b, part[4]);
    const Blurred from{a, part[0], part[1], b, part[2], part[3], part[4]};
    const MapSums sums = k.maps(from, n);
    MapSlopes slopes{};
    double all = 0.0;
    const double count = static_cast<double>(n);
    for (std::size_t m = 0; m < 3; ++m) {
        const double fourth = sums.fourth[m] / count + kTiny;
        const auto by_mean = static_cast<double>(w[m]), by_fourth = static_cast<double>(w[3 + m]);
        all += by_mean * sums.mean[m] / count + by_fourth * (std::pow(fourth, 0.25) - std::pow(kTiny, 0.25));
        slopes.mean[m] = static_cast<float>(by_mean / count);
        slopes.fourth[m] = static_cast<float>(by_fourth / count * std::pow(fourth, -0.75));
    }
    if (!gradient) return all;
    std::vector<float> by(3 * n);
    const MapGradients to{gradient, by.data(), by.data() + n, by.data() + 2 * n};
    k.maps_back(from, slopes, n, to);
    blurred(to.mean, nullptr, part[0]), blurred(to.square, nullptr, part[1]), blurred(to.product, nullptr, part[2]);
    k.gather(a, b, part[0], part[1], part[2], n, gradient);
    return all;
}

// The sum of weighted norms of a scale; its gradient by linear light is written, where it has room for one.
double scale_distance(const VisualKernels& k, Scale& s, std::size_t scale, std::size_t threads) {
    std::vector<std::size_t> channels;
    for (std::size_t c = 0; c < 3; ++c)
        if (counts(c, scale)) channels.push_back(c);
    if (channels.empty()) return 0.0;
    const bool back = !s.gradient.empty();
    std::array<std::vector<float>, 3> a, b, by;
    const auto wanted = [&](std::array<std::vector<float>, 3>& all) {
        float* to[3];
        for (std::size_t c = 0; c < 3; ++c) {
            if (c == 1 || counts(c, scale)) all[c].resize(s.n);  // the last needs the second
            to[c] = all[c].empty() ? nullptr : all[c].data();
        }
        return Planes{to[0], to[1], to[2]};
    };
    k.to_opsin(planes_of(s.a, s.n), s.n, wanted(a));
    k.to_opsin(planes_of(s.b, s.n), s.n, wanted(b));
    const Planes by_opsin = back ? wanted(by) : Planes{};
    std::array<double, 3> found{};
    in_threads(channels.size(), threads, [&](std::size_t i) {
        const std::size_t c = channels[i];
        found[c] =
            channel_distance(k, weights_of(c, scale), a[c].data(), b[c].data(), s.plane, back ? by[c].data() : nullptr);
    });
    if (back) {
        k.opsin_back(planes_of(s.b, s.n), {by_opsin.a, by_opsin.b, by_opsin.c}, s.n,
                     {s.gradient.data(), s.gradient.data() + s.n, s.gradient.data() + 2 * s.n});
    }
    return found[0] + found[1] + found[2];
}

// Places at which `size` is cut into parts of at most kVisualBlock, about alike.
std::vector<std::size_t> cuts(std::size_t size) {
    const std::size_t parts = (size + kVisualBlock - 1) / kVisualBlock;
    std::vector<std::size_t> at;
    for (std::size_t p = 0; p <= parts; ++p) at.push_back(size * p / parts);
    return at;
}

}  // namespace

Visual::Visual(const Picture& picture, const Kernels& kernels)
    : picture_(picture), k_(visual_kernels_beside(kernels)) {}

double Visual::operator()(const i16* levels, float* by_levels, float unit, std::size_t threads) const {
    const std::vector<std::size_t> rows = cuts(picture_.height), columns = cuts(picture_.width);
    std::vector<Block> blocks;
    for (std::size_t r = 0; r + 1 < rows.size(); ++r)
        for (std::size_t c = 0; c + 1 < columns.size(); ++c)
            blocks.push_back({rows[r], columns[c], rows[r + 1] - rows[r], columns[c + 1] - columns[c]});
    std::vector<double> found(blocks.size());
    const std::size_t own = std::max<std::size_t>(1, threads / blocks.size());
    in_threads(blocks.size(), threads,
               [&](std::size_t n) { found[n] = block(blocks[n], levels, by_levels, unit, own); });
    double all = 0.0;
    for (const double one : found) all += one;
    return all;
}

double Visual::block(const Block& block, const i16* levels, float* by_levels, float unit, std::size_t threads) const {
    const std::size_t columns = 4 * picture_.wy(), h = block.height, w = block.width;
    std::vector<Scale> scales;
    scales.reserve(kVisualScales);
    scales.emplace_back(h, w, by_levels != nullptr);
    const Curve& light = curve();
    for (std::size_t y = 0; y < h; ++y) {
        constexpr i32 kUnit = kFinePart >> LIC_SAMPLE_BITS;
        for (std::size_t x = 0; x < w; ++x) {
            const i16* level = levels + level_at(block.top + y, block.left + x, columns);
            for (std::size_t c = 0; c < 3; ++c) {
                const std::size_t at = (c * h + y) * w + x;
                const std::size_t sample = (block.left + x) * picture_.bands + (picture_.bands == 3 ? c : 0);
                scales[0].a[at] = light.value((picture_.at(block.top + y, sample) + kUnit / 2) / kUnit);
                scales[0].b[at] = light.value(level[c]);
            }
        }
    }
    double total = 0.0;
    for (std::size_t s = 0; s < kVisualScales; ++s) {
        const Plane p = scales[s].plane;
        if (std::min(p.height, p.width) < kLeastSide) break;
        total += scale_distance(k_, scales[s], s, threads);
        if (s + 1 == kVisualScales) break;
        scales.emplace_back((p.height + 1) / 2, (p.width + 1) / 2, by_levels != nullptr);
        halve(scales[s].a, p, scales[s + 1].a, scales[s + 1].plane);
        halve(scales[s].b, p, scales[s + 1].b, scales[s + 1].plane);
    }
    total *= kSum;
    const auto pixels = static_cast<double>(h * w);
    const double distance = total * (kCubic[0] + total * (kCubic[1] + total * kCubic[2]));
    if (!by_levels) return pixels * distance;
    for (std::size_t s = scales.size() - 1; s > 0; --s)
        halve_back(scales[s].gradient, scales[s].plane, scales[s - 1].gradient, scales[s - 1].plane);
    const double slope = kSum * (kCubic[0] + total * (2.0 * kCubic[1] + total * 3.0 * kCubic[2]));
    const auto factor = static_cast<float>(static_cast<double>(unit) * pixels * slope / kWhite);
    for (std::size_t y = 0; y < h; ++y) {
        for (std::size_t x = 0; x < w; ++x) {
            const std::size_t at = level_at(block.top + y, block.left + x, columns);
            for (std::size_t c = 0; c < 3; ++c)
                by_levels[at + c] += factor * light.slope(levels[at + c]) * scales[0].gradient[(c * h + y) * w + x];
        }
    }
    return pixels * distance;
}

}  // namespace lic::nn

// See scale_map.h.
#include "scale_map.h"

#include <utility>

#include "cpu.h"

namespace lic {
namespace {

void four_rows_scalar(const FourRows& t) {
    for (std::size_t j = 0; j < kSide; ++j) {
        const std::int16_t* weight = t.weight + j * 2 * t.pairs;
        std::int32_t acc[kBlock];
        for (std::size_t p = 0; p < t.positions; ++p) acc[p] = t.base[j];
        for (std::size_t i = 0; i < t.pairs; ++i) {
            const std::int32_t w0 = weight[2 * i], w1 = weight[2 * i + 1];
            const std::int16_t* v = t.v + i * 2 * kBlock;
            for (std::size_t p = 0; p < t.positions; ++p) acc[p] += w0 * v[2 * p] + w1 * v[2 * p + 1];
        }
        for (std::size_t p = 0; p < t.positions; ++p) t.out[kSide * p + j] = index_of(acc[p], t.rows);
    }
}

using FourRowsKernel = void (*)(const FourRows&);

FourRowsKernel four_rows_in_use() {
#if LIC_X86
    switch (simd_level()) {
        case Simd::avx512:
            return four_rows_avx512;
        case Simd::avx2:
            return four_rows_avx2;
        case Simd::sse41:
            return four_rows_sse41;
        case Simd::scalar:
            break;
    }
#endif
    return four_rows_scalar;
}

// from: (in, kBlock), to: (out, kBlock).
void apply(const Layer& layer, const std::int16_t* from, std::int16_t* to) {
    for (std::size_t k = 0; k < layer.out; ++k) {
        std::int32_t acc[kBlock];
        for (std::size_t p = 0; p < kBlock; ++p) acc[p] = layer.offset[k];
        for (std::size_t c = 0; c < layer.in; ++c) {
            const std::int32_t w = layer.weight[k * layer.in + c];
            for (std::size_t p = 0; p < kBlock; ++p) acc[p] += w * from[c * kBlock + p];
        }
        for (std::size_t p = 0; p < kBlock; ++p) to[k * kBlock + p] = Layer::activate(acc[p]);
    }
}

// Copies the bytes of sub-row u to the plane of one channel, hyper row by hyper row, cropped to h x w.
void place(const std::uint8_t* bytes, const Shape& s, std::size_t start, std::size_t n, std::size_t u,
           std::uint8_t* plane) {
    for (std::size_t p = start; p < start + n;) {
        const std::size_t row = p / s.b, column = p % s.b;
        const std::size_t left = start + n - p, run = s.b - column < left ? s.b - column : left;
        const std::size_t y = kSide * row + u, x = kSide * column;
        if (y < s.h) {
            const std::size_t width = kSide * run < s.w - x ? kSide * run : s.w - x;
            std::memcpy(plane + y * s.w + x, bytes + kSide * (p - start), width);
        }
        p += run;
    }
}

// The copies are checked, not the originals: nobody else can change those any more.
bool in_bounds(const std::vector<std::int16_t>& weight, const std::vector<std::int32_t>& offset) {
    bool good = true;
    for (const std::int16_t w : weight) good &= w >= -LIC_WEIGHT_MAX && w <= LIC_WEIGHT_MAX;
    for (const std::int32_t o : offset) good &= o >= -LIC_BIAS_MAX && o <= LIC_BIAS_MAX;
    return good;
}

}  // namespace

bool ScaleMap::add_layer(const std::int16_t* weight, const std::int32_t* offset, std::size_t out, std::size_t in) {
    if (in < 1 || in > LIC_CHANNELS_MAX || out < 1 || out > LIC_CHANNELS_MAX) return false;
    if (!layers_.empty() && layers_.back().out != in) return false;
    layers_.push_back({in, out, {weight, weight + out * in}, {offset, offset + out}});
    return in_bounds(layers_.back().weight, layers_.back().offset);
}

bool ScaleMap::build(const std::int16_t* weight, const std::int32_t* offset, std::size_t M, std::size_t C) {
    if (M < 1 || C < 1 || C > LIC_CHANNELS_MAX || (!layers_.empty() && layers_.back().out != C)) return false;
    M_ = M, inputs_ = C, C_ = layers_.empty() ? C : layers_.front().in, pairs_ = (C + 1) / 2;
    offset_.assign(offset, offset + kCell * M);
    weight_.assign(kCell * M * 2 * pairs_, 0);
    for (std::size_t k = 0; k < kCell * M; ++k) {
        std::memcpy(&weight_[k * 2 * pairs_], weight + k * C, C * sizeof *weight);
    }
    return in_bounds(weight_, offset_);
}

void ScaleMap::index(const std::int16_t* z, const Shape& s, const MapSetting& q, std::uint8_t* out) const {
    std::int16_t v[kBlock * (LIC_CHANNELS_MAX + 1)];  // (pairs, kBlock, 2), 33 KiB of stack
    for (std::size_t start = 0; start < s.a * s.b; start += kBlock) {
        const std::size_t n = s.a * s.b - start < kBlock ? s.a * s.b - start : kBlock;
        pack(z, s, q, start, n, v);
        block(v, s, q, start, n, out);
    }
}

// What the map takes, at `n` positions from `start`, channel pairs interleaved, zeros behind the last odd channel.
// Behind the last position is 0, or what the layers make of it; nobody looks.
void ScaleMap::pack(const std::int16_t* z, const Shape& s, const MapSetting& q, std::size_t start, std::size_t n,
                    std::int16_t* v) const {
    std::int16_t one[kBlock * LIC_CHANNELS_MAX], two[kBlock * LIC_CHANNELS_MAX];  // (channels, kBlock), 32 KiB each
    std::int16_t *now = one, *next = two;
    std::memset(now, 0, C_ * kBlock * sizeof *now);
    for (std::size_t c = 0; c < C_; ++c) {
        const std::int16_t* from = z + c * s.a * s.b + start;
        for (std::size_t p = 0; p < n; ++p)
            now[c * kBlock + p] = static_cast<std::int16_t>(dequantise(from[p], q.d[c]));
    }
    for (const Layer& layer : layers_) {
        apply(layer, now, next);
        std::swap(now, next);
    }
    if (inputs_ % 2) std::memset(v + (pairs_ - 1) * kBlock * 2, 0, kBlock * 2 * sizeof *v);
    for (std::size_t c = 0; c < inputs_; ++c) {
        std::int16_t* to = v + c / 2 * kBlock * 2 + c % 2;
        // NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): zeroed above, or written by `apply`
        for (std::size_t p = 0; p < kBlock; ++p) to[2 * p] = now[c * kBlock + p];
    }
}

// All rows of the map for one block of positions.
void ScaleMap::block(const std::int16_t* v, const Shape& s, const MapSetting& q, std::size_t start, std::size_t n,
                     std::uint8_t* out) const {
    const auto four_rows = four_rows_in_use();
    std::uint8_t bytes[kSide * kBlock];
    FourRows t{nullptr, v, pairs_, (n + kLanes - 1) / kLanes * kLanes, {0, 0, 0, 0}, q.values, bytes};
    for (std::size_t m = 0; m < M_; ++m) {
        for (std::size_t u = 0; u < kSide; ++u) {
            const std::size_t k = kCell * m + kSide * u;
            t.weight = &weight_[k * 2 * pairs_];
            for (std::size_t j = 0; j < kSide; ++j) t.base[j] = offset_[k + j] + q.bias[m];
            four_rows(t);
            place(bytes, s, start, n, u, out + m * s.h * s.w);
        }
    }
}

}  // namespace lic

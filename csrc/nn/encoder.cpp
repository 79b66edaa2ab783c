#include "encoder.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

namespace lic::nn {
namespace {

constexpr std::size_t kCellRows = LIC_HYPER_STRIDE, kRowPixels = LIC_LATENT_STRIDE;
constexpr std::size_t kHalo = 8;   // rows of y that a slice has beyond its own: for better results alone
constexpr std::size_t kReach = 6;  // rows of y that r of a row depends on, above and below (photo.cpp, kLatentReach)
constexpr std::size_t kSeam = 16;  // rows on each side of where slices meet that are looked at again: kReach twice
constexpr std::int32_t kHyperMost = 127;  // a bound of ours on |z|; what lies beyond 7.5's clamp is clamped alike

std::size_t cells(std::size_t rows) { return (rows + kCellRows - 1) / kCellRows; }

// Rows [begin, end) of values (channels, rows, columns).
struct Rows {
    std::size_t begin, end, rows, columns;
};

void copy_rows(const i16* from, const Rows& a, std::size_t channels, i16* to, const Rows& b) {
    for (std::size_t c = 0; c < channels; ++c)
        std::copy_n(from + (c * a.rows + a.begin) * a.columns, (a.end - a.begin) * a.columns,
                    to + (c * b.rows + b.begin) * b.columns);
}

class Slices {
 public:
    Slices(const Encoder& encoder, const Picture& picture, i16* z, i16* r)
        : e_(encoder),
          picture_(picture),
          hy_(picture.hy()),
          wy_(picture.wy()),
          M_(encoder.model.M()),
          C_(encoder.model.C()),
          z_(z),
          r_(r) {}

    void run() {
        const std::size_t fits = e_.slice / (wy_ * M_);
        if (fits >= hy_) return slice(0, hy_);
        const std::size_t rows = std::max(kSeam, fits < 2 * kHalo ? 0 : (fits - 2 * kHalo) / kCellRows * kCellRows);
        for (std::size_t begin = 0; begin < hy_; begin += rows) slice(begin, std::min(hy_, begin + rows));
    }

 private:
    // Rows [begin, end) of y, and what lies where they meet those above.
    void slice(std::size_t begin, std::size_t end) {
        const std::size_t from = begin - std::min(begin, kHalo), to = std::min(hy_, end + kHalo), rows = to - from;
        Picture part = picture_;
        part.data += from * kRowPixels * picture_.row_stride;
        part.height = std::min(picture_.height, to * kRowPixels) - from * kRowPixels;
        std::vector<i32> y(rows * wy_ * M_);
        std::vector<i16> z(C_ * cells(rows) * cells(wy_)), r(M_ * rows * wy_);
        e_.analysis.analyse(part, e_.q, y.data(), e_.threads);
        hyper_symbols(e_.analysis, e_.model, e_.q, y.data(), rows, wy_, z.data());
        std::vector<float> weights(M_);
        const Setting setting = setting_of(from, to);
        Search one{e_.photo, e_.model,  e_.q,      setting, part,      z.data(),
                   y.data(), e_.passes, e_.weight, e_.bit,  e_.visual, e_.threads};
        if (rows < hy_) one.moved = y.data(), one.weights = weights.data();
        search(one, r.data());
        copy_rows(z.data(), {(begin - from) / kCellRows, cells(end - from), cells(rows), cells(wy_)}, C_, z_,
                  {begin / kCellRows, cells(end), cells(hy_), cells(wy_)});
        copy_rows(r.data(), {begin - from, end - from, rows, wy_}, M_, r_, {begin, end, hy_, wy_});
        const i32* own = y.data() + (begin - from) * wy_ * M_;
        if (begin > 0) seam(begin, {own, own + std::min(kSeam, end - begin) * wy_ * M_}, weights);
        if (end < hy_) above_.assign(own + (end - begin - kSeam) * wy_ * M_, own + (end - begin) * wy_ * M_);
        weights_above_ = std::move(weights);
    }

    // r of the rows around `row`, where two slices meet, of y as both moved it: of above_, and of rows below.
    void seam(std::size_t row, const std::vector<i32>& below, const std::vector<float>& weights) {
        const std::size_t rows = (above_.size() + below.size()) / (wy_ * M_), hz = cells(rows), wz = cells(wy_);
        std::vector<i32> y(above_);
        y.insert(y.end(), below.begin(), below.end());
        std::vector<i16> z(C_ * hz * wz), r(M_ * rows * wy_);
        const std::size_t first = row - kSeam;
        copy_rows(z_, {first / kCellRows, first / kCellRows + hz, cells(hy_), wz}, C_, z.data(), {0, hz, hz, wz});
        const Setting setting = setting_of(first, first + rows);
        std::vector<i16> v(z.size());
        std::vector<std::uint8_t> index(r.size());
        e_.model.dequantise(setting, z.data(), hz * wz, v.data());
        e_.model.index(setting, e_.model.shape(rows, wy_), z.data(), index.data());
        Choice choice;
        choice.y = y.data(), choice.index = index.data(), choice.r = r.data();
        choice.quantise = [&](std::size_t at, const float* x, const std::uint8_t* scale, std::size_t n, i16* out) {
            e_.model.quantise({x, scale, (at < kSeam ? weights_above_ : weights).data(), M_, n, out, setting.stages});
        };
        Image image{rows, wy_, {v.data(), hz * wz, wz, 0, 0}, {}};
        if (!setting.shift.empty()) image.shift = {setting.shift.data(), wz};
        e_.photo.quantise(image, e_.q, choice, e_.threads);
        const std::size_t from = kSeam - kReach, to = std::min(kSeam + kReach, rows);
        copy_rows(r.data(), {from, to, rows, wy_}, M_, r_, {first + from, first + to, hy_, wy_});
    }

    // The setting of rows [begin, end) of y alone: that part of a quality map.
    Setting setting_of(std::size_t begin, std::size_t end) const {
        Setting part = e_.setting;
        if (part.shift.empty()) return part;
        const auto first = part.shift.begin();
        const auto at = [&](std::size_t row) { return first + static_cast<std::ptrdiff_t>(row * cells(wy_)); };
        part.shift = std::vector<std::int8_t>(at(begin / kCellRows), at(cells(end)));
        return part;
    }

    const Encoder& e_;
    const Picture& picture_;
    std::size_t hy_, wy_, M_, C_;
    i16 *z_, *r_;
    std::vector<i32> above_;  // y of the last rows of the slice above, where it was moved to
    std::vector<float> weights_above_;
};

}  // namespace

void hyper_symbols(const Analysis& analysis, const Model& model, int q, const i32* y, std::size_t hy, std::size_t wy,
                   i16* z) {
    const std::size_t n = cells(hy) * cells(wy);
    const Setting setting = model.at(q);
    std::vector<i32> fine(model.C() * n);
    analysis.hyper_analyse(y, hy, wy, q, fine.data());
    for (std::size_t c = 0; c < model.C(); ++c) {
        const i32 step = setting.d[c] << 8;  // z in 1/8192, d in 1/32
        for (std::size_t i = c * n; i < (c + 1) * n; ++i) {
            const i32 size = (std::abs(fine[i]) + step / 2) / step;
            z[i] = static_cast<i16>(std::clamp(fine[i] < 0 ? -size : size, -kHyperMost, kHyperMost));
        }
    }
}

void encode(const Encoder& encoder, const Picture& picture, i16* z, i16* r) { Slices(encoder, picture, z, r).run(); }

}  // namespace lic::nn

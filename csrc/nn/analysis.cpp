#include "analysis.h"

#include <algorithm>
#include <string>

#include "../threads.h"
#include "stream.h"

namespace lic::nn {
namespace {

constexpr std::size_t kSide = 8, kBands = 3,
                      kSamples = kBands * kSide * kSide;  // of a position at an eighth of the resolution
constexpr std::size_t kBlocksMax = 64;
constexpr int kGainBits = 24;

i16 clip(i64 x) { return static_cast<i16>(std::clamp<i64>(x, -32768, 32767)); }

// Two rows of positions to one of half as many, the four neighbours side by side.
void gather(const i16* upper, const i16* lower, std::size_t channels, std::size_t positions, i16* to) {
    for (std::size_t p = 0; p < positions; ++p) {
        to = std::copy_n(upper + 2 * p * channels, 2 * channels, to);
        to = std::copy_n(lower + 2 * p * channels, 2 * channels, to);
    }
}

}  // namespace

struct Analysis::Parts {
    const Kernels& k;
    std::size_t latent, hyper, high_width, low_width, body, gain_points;
    Layer patch, down, out, direct, enter, down1, down2, hyper_out;
    std::vector<Block> high, low;
    Block first, second;
    std::vector<i32> gain;

    Parts(const Tensors& t, const Kernels& kernels) : k(kernels) {
        const auto side = [&](const char* name, std::size_t most) {
            const std::size_t n = t.side(name, 0);
            if (n < 1 || n > most) throw BadModel(std::string("the tensor ") + name + " is too large or empty");
            return n;
        };
        high_width = side("analysis.patch.weight", 512);
        low_width = side("analysis.down.weight", 512);
        latent = side("analysis.out.weight", 1024);
        body = side("hyper.enter.weight", 512);
        hyper = side("hyper.out.weight", 256);
        patch = read_layer(k, t, "analysis.patch", high_width, kSamples);
        down = read_layer(k, t, "analysis.down", low_width, 4 * high_width);
        out = read_layer(k, t, "analysis.out", latent, low_width);
        direct = read_layer(k, t, "analysis.direct", latent, 4 * kSamples);
        const auto blocks = [&](const std::string& prefix, std::size_t width) {
            std::vector<Block> list;
            while (list.size() < kBlocksMax && t.has(prefix + std::to_string(list.size()) + ".mix.weight")) {
                list.push_back(read_block(k, t, prefix + std::to_string(list.size()), width));
            }
            return list;
        };
        high = blocks("analysis.high", high_width);
        low = blocks("analysis.low", low_width);
        enter = read_layer(k, t, "hyper.enter", body, latent);
        first = read_block(k, t, "hyper.first", body);
        down1 = read_layer(k, t, "hyper.down1", hyper, 4 * body);
        second = read_block(k, t, "hyper.second", hyper);
        down2 = read_layer(k, t, "hyper.down2", hyper, 4 * hyper);
        hyper_out = read_layer(k, t, "hyper.out", hyper, hyper);
        gain_points = t.side("hyper.gain", 0);
        const i32* g = t.get<i32>("hyper.gain", {gain_points, latent});
        gain.assign(g, g + gain_points * latent);
    }
};

namespace {

// Rows at an eighth of the resolution in, rows of y out.
class AnalysisStream {
 public:
    template <class W>
    AnalysisStream(const W& w, int q, const Picture& picture, bool top, i32* y, std::size_t begin, std::size_t end)
        : k_(w.k),
          picture_(picture),
          y_(y),
          begin_(begin),
          end_(end),
          columns_(picture.wy()),
          high_width_(w.high_width),
          patch_(w.patch, k_, q),
          down_(w.down, k_, q),
          out_(w.out, k_, q),
          direct_(w.direct, k_, q),
          samples_((w.high.size() / 2 + w.low.size() + 3) * 2, 2 * columns_ * kSamples, 0),
          x8_(2 * columns_ * w.high_width),
          half_(2, 2 * columns_ * w.high_width, 0),
          gathered_(columns_ * 4 * std::max(w.high_width, kSamples)),
          x16_(columns_ * w.low_width),
          linear_(columns_ * w.latent) {
        high_at_.reserve(w.high.size()), low_at_.reserve(w.low.size());
        for (const Block& b : w.high) high_at_.emplace_back(b, k_, q);
        for (const Block& b : w.low) low_at_.emplace_back(b, k_, q);
        for (const BlockAt& b : high_at_) high_.emplace_back(k_, b, 2 * columns_, top);
        for (const BlockAt& b : low_at_) low_.emplace_back(k_, b, columns_, top);
    }

    // Row `row` of positions of 8x8 pixels.
    void push(std::size_t row) {
        i16* s = samples_.row(row);
        read(row, s);
        run(k_, patch_, s, 2 * columns_, x8_.data(), Store::plain);
        high(0, x8_.data(), row);
    }

    void finish() {
        for (std::size_t k = 0; k < high_.size(); ++k)
            high_[k].finish([&](const i16* x, std::size_t row) { high(k + 1, x, row); });
        for (std::size_t k = 0; k < low_.size(); ++k)
            low_[k].finish([&](const i16* x, std::size_t row) { low(k + 1, x, row); });
    }

    bool done() const { return done_; }

 private:
    void read(std::size_t row, i16* to) const {
        picture_.fine ? read_from(picture_.fine, 1, row, to) : read_from(picture_.data, kFinePart, row, to);
    }

    // Of samples in 1/unit of kFinePart. The last row and column of the picture repeat beyond its edge.
    template <class Sample>
    void read_from(const Sample* samples, i32 unit, std::size_t row, i16* to) const {
        const std::size_t width = picture_.width, bands = picture_.bands;
        for (std::size_t u = 0; u < kSide; ++u) {
            const Sample* from = samples + std::min(row * kSide + u, picture_.height - 1) * picture_.row_stride;
            i16* line = to + u * kSide * kBands;
            for (std::size_t x = 0; x < 2 * columns_ * kSide; ++x) {
                const Sample* sample = from + std::min(x, width - 1) * bands;
                i16* out = line + x / kSide * kSamples + x % kSide * kBands;
                for (std::size_t c = 0; c < kBands; ++c)
                    out[c] =
                        static_cast<i16>(std::min<i32>(sample[bands == 1 ? 0 : c] * unit, kFineWhite) - kFineWhite / 2);
            }
        }
    }

    void high(std::size_t k, const i16* x, std::size_t row) {
        if (k < high_.size()) return high_[k].push(x, row, [&](const i16* y, std::size_t to) { high(k + 1, y, to); });
        std::copy_n(x, 2 * columns_ * high_width_, half_.row(row));
        if (row % 2 == 0) {
            upper_ = row, has_upper_ = true;
            return;
        }
        if (!has_upper_ || upper_ + 1 != row) return;  // a chain that begins inside the picture begins with half a pair
        gather(half_.row(row - 1), half_.row(row), high_width_, columns_, gathered_.data());
        run(k_, down_, gathered_.data(), columns_, x16_.data(), Store::plain);
        low(0, x16_.data(), row / 2);
    }

    void low(std::size_t k, const i16* x, std::size_t row) {
        if (k < low_.size()) return low_[k].push(x, row, [&](const i16* y, std::size_t to) { low(k + 1, y, to); });
        if (row < begin_ || row >= end_) return;
        const std::size_t M = out_.weight.outputs;
        i32* y = y_ + row * columns_ * M;
        run(k_, out_, x, columns_, y, Store::wide);
        gather(samples_.row(2 * row), samples_.row(2 * row + 1), kSamples, columns_, gathered_.data());
        run(k_, direct_, gathered_.data(), columns_, linear_.data(), Store::wide);
        for (std::size_t n = 0; n < columns_ * M; ++n) y[n] += linear_.data()[n];
        done_ = row + 1 >= end_;
    }

    const Kernels& k_;
    const Picture& picture_;
    i32* y_;
    std::size_t begin_, end_, columns_, high_width_, upper_ = 0;
    bool has_upper_ = false, done_ = false;
    LayerAt patch_, down_, out_, direct_;
    std::vector<BlockAt> high_at_, low_at_;
    std::vector<BlockStream> high_, low_;
    Ring<i16> samples_;
    Aligned<i16> x8_;
    Ring<i16> half_;
    Aligned<i16> gathered_, x16_;
    Aligned<i32> linear_;
};

}  // namespace

Analysis::Analysis(const Tensors& tensors, const Kernels& kernels)
    : parts_(std::make_unique<Parts>(tensors, kernels)) {}
Analysis::~Analysis() = default;
Analysis::Analysis(Analysis&&) noexcept = default;
std::size_t Analysis::latent() const { return parts_->latent; }
std::size_t Analysis::hyper() const { return parts_->hyper; }

void Analysis::analyse(const Picture& picture, int q, i32* y, std::size_t threads) const {
    const Parts& w = *parts_;
    const std::size_t rows = picture.hy(), reach = w.low.size() + (w.high.size() + 1) / 2 + 1;
    in_strips(rows, kStripRows, threads, [&](std::size_t begin, std::size_t end) {
        const std::size_t from = begin < reach ? 0 : begin - reach;
        AnalysisStream stream(w, q, picture, from == 0, y, begin, end);
        for (std::size_t row = 2 * from; row < 2 * rows && !stream.done(); ++row) stream.push(row);
        if (!stream.done()) stream.finish();
    });
}

void Analysis::hyper_analyse(const i32* y, std::size_t hy, std::size_t wy, int q, i32* z) const {
    const Parts& w = *parts_;
    const Kernels& k = w.k;
    const std::size_t hz = (hy + 3) / 4, wz = (wy + 3) / 4, M = w.latent, C = w.hyper;
    const RatePoint rate = rate_point(q, w.gain_points);
    std::vector<i32> gain(M);
    for (std::size_t m = 0; m < M; ++m) {
        gain[m] =
            static_cast<i32>(lerp(w.gain[rate.p * M + m], w.gain[(rate.p + (w.gain_points > 1)) * M + m], rate.f));
    }
    const LayerAt enter(w.enter, k, q), down1(w.down1, k, q), down2(w.down2, k, q), out(w.hyper_out, k, q);
    const BlockAt first_at(w.first, k, q), second_at(w.second, k, q);
    BlockStream first(k, first_at, 4 * wz, true), second(k, second_at, 2 * wz, true);
    Aligned<i16> scaled(4 * wz * M), x16(4 * wz * w.body), x32(2 * wz * C), x64(wz * C),
        gathered(2 * wz * 4 * std::max(w.body, C));
    Ring<i16> half16(2, 4 * wz * w.body, 0), half32(2, 2 * wz * C, 0);
    Aligned<i32> row_z(wz * C);
    const auto after_second = [&](const i16* x, std::size_t row) {
        std::copy_n(x, 2 * wz * C, half32.row(row));
        if (row % 2 == 0) return;
        gather(half32.row(row - 1), half32.row(row), C, wz, gathered.data());
        run(k, down2, gathered.data(), wz, x64.data(), Store::plain);
        run(k, out, x64.data(), wz, row_z.data(), Store::wide);
        for (std::size_t c = 0; c < C; ++c) {
            for (std::size_t p = 0; p < wz; ++p) z[(c * hz + row / 2) * wz + p] = row_z.data()[p * C + c];
        }
    };
    const auto after_first = [&](const i16* x, std::size_t row) {
        std::copy_n(x, 4 * wz * w.body, half16.row(row));
        if (row % 2 == 0) return;
        gather(half16.row(row - 1), half16.row(row), w.body, 2 * wz, gathered.data());
        run(k, down1, gathered.data(), 2 * wz, x32.data(), Store::plain);
        second.push(x32.data(), row / 2, after_second);
    };
    for (std::size_t row = 0; row < 4 * hz; ++row) {
        const i32* from = y + std::min(row, hy - 1) * wy * M;  // y repeats beyond its edge, up to a multiple of 4
        for (std::size_t p = 0; p < 4 * wz; ++p) {
            const i32* one = from + std::min(p, wy - 1) * M;
            for (std::size_t m = 0; m < M; ++m)
                scaled.data()[p * M + m] = clip((i64{one[m]} * gain[m] + (i64{1} << (kGainBits - 1))) >> kGainBits);
        }
        run(k, enter, scaled.data(), 4 * wz, x16.data(), Store::plain);
        first.push(x16.data(), row, after_first);
    }
    first.finish(after_first);
    second.finish(after_second);
}

}  // namespace lic::nn

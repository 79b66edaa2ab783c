#include "gradient.h"

#include <atomic>
#include <cmath>

#include "../threads.h"
#include "kernel_sets.h"
#include "synthesis.h"

namespace lic::nn {
namespace {

constexpr std::size_t kFloatChunk = 48;  // positions that pass a block's layers together
constexpr i32 kWhite = 255 << LIC_SAMPLE_BITS;
constexpr std::size_t kQuarters = LIC_LATENT_STRIDE / 4;  // rows at a quarter of the resolution to one of y_hat

// What takes gradients by a layer's outputs to gradients by its inputs.
struct BackLayer {
    Aligned<float> packed;
    std::size_t inputs = 0, outputs = 0;  // in whole groups

    BackLayer() = default;
    // Layers of the same inputs, whose outputs lie one behind the other, each in whole groups.
    BackLayer(const FloatKernels& k, const std::vector<const Layer*>& layers, int q) {
        outputs = float_width(layers[0]->inputs);
        for (const Layer* layer : layers) inputs += float_width(layer->outputs);
        std::vector<float> weight(inputs * outputs);
        float* to = weight.data();
        for (const Layer* layer : layers) {
            const std::vector<i32> scale = scale_at(*layer, q);
            for (std::size_t n = 0; n < layer->outputs; ++n) {
                const float unit = std::ldexp(static_cast<float>(scale[n]), -LIC_SCALE_BITS);
                const i16* from = layer->plain.data() + n * layer->inputs;
                for (std::size_t m = 0; m < layer->inputs; ++m)
                    to[n * outputs + m] = unit * static_cast<float>(from[m]);
            }
            to += float_width(layer->outputs) * outputs;
        }
        packed = Aligned<float>(inputs * outputs);
        k.pack(weight.data(), inputs, outputs, packed.data());
    }
};

struct BackBlock {
    std::size_t width;  // in whole groups
    BackLayer mix, join, expand, contract;
    Aligned<float> spatial;

    BackBlock(const FloatKernels& k, const Block& block, int q)
        : width(float_width(block.width)),
          mix(k, {&block.mix}, q),
          join(k, {&block.join}, q),
          expand(k, {&block.expand}, q),
          contract(k, {&block.contract}, q),
          spatial(9 * width) {
        const std::vector<i32> scale = scale_at(block.spatial, q);
        for (std::size_t c = 0; c < block.width; ++c) {
            for (std::size_t tap = 0; tap < 9; ++tap) {
                spatial.data()[(8 - tap) * width + c] =
                    std::ldexp(static_cast<float>(scale[c]) * static_cast<float>(block.spatial.plain[c * 9 + tap]),
                               -LIC_SCALE_BITS);
            }
        }
    }
};

void back(const FloatKernels& k, const BackLayer& layer, const float* in, std::size_t positions, float* out,
          FloatStore store, const SignBits& signs = {}) {
    k.product({in, layer.inputs, positions, layer.inputs, layer.packed.data(), layer.outputs, out, layer.outputs, store,
               signs});
}

// BlockStream the other way: rows of gradients by what a block made in, by what it was made of out, one later.
class BackStream {
 public:
    BackStream(const FloatKernels& kernels, const BackBlock& block, std::size_t columns, bool top, const Signs& signs)
        : k_(kernels),
          b_(block),
          columns_(columns),
          width_(block.width),
          signs_(signs),
          spatial_(columns * width_, width_, top),
          x_(2, columns * width_, 0),
          hidden_(kFloatChunk * 2 * width_) {}

    // The image's row `index`; next(row, index) is called for what is finished.
    template <class Next>
    void push(const float* g, std::size_t index, const Next& next) {
        for (std::size_t p = 0; p < columns_; p += kFloatChunk) {
            const std::size_t n = std::min(kFloatChunk, columns_ - p);
            float* x = x_.row(index) + p * width_;
            std::copy_n(g + p * width_, n * width_, x);
            back(k_, b_.contract, x, n, hidden_.data(), FloatStore::leaky,
                 {signs_.expand.row(index) + p * signs_.expand_stride, signs_.expand_stride});
            back(k_, b_.expand, hidden_.data(), n, x, FloatStore::add);
            back(k_, b_.join, x, n, spatial_.row(index) + p * width_, FloatStore::plain);
        }
        spatial_.came(index, [&](std::size_t at, const Three<float>& rows) { hand_on(at, rows, next); });
    }

    // After the image's last row.
    template <class Next>
    void finish(const Next& next) {
        spatial_.finish([&](std::size_t at, const Three<float>& rows) { hand_on(at, rows, next); });
    }

 private:
    template <class Next>
    void hand_on(std::size_t index, const Three<float>& joined, const Next& next) {
        float* x = x_.row(index);
        for (std::size_t p = 0; p < columns_; p += kFloatChunk) {
            const std::size_t n = std::min(kFloatChunk, columns_ - p);
            const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(p * width_) - static_cast<std::ptrdiff_t>(width_);
            const float* rows[3] = {joined.above + at, joined.own + at, joined.below + at};
            k_.depthwise({rows,
                          n,
                          width_,
                          b_.spatial.data(),
                          hidden_.data(),
                          {signs_.mix.row(index) + p * signs_.mix_stride, signs_.mix_stride}});
            back(k_, b_.mix, hidden_.data(), n, x + p * width_, FloatStore::add);
        }
        next(x, index);
    }

    const FloatKernels& k_;
    const BackBlock& b_;
    std::size_t columns_, width_;
    const Signs& signs_;
    Neighbours<float> spatial_;
    Ring<float> x_;
    Aligned<float> hidden_;
};

}  // namespace

struct Gradient::Parts {
    const Photo::Parts& w;
    const FloatKernels& k;
    Photo::Parts::At at;
    BackLayer enter, out;
    std::array<BackLayer, 2> up8, up4;  // of the upper and the lower of two rows
    std::array<BackLayer, 4> direct;    // of each of four rows
    std::vector<BackBlock> bodies, details;
    BackBlock render;

    Parts(const Photo::Parts& parts, int q)
        : w(parts),
          k(float_kernels_beside(parts.k)),
          at(parts, q),
          enter(k, {&w.synthesis_enter}, q),
          out(k, {&w.out}, q),
          render(k, w.render, q) {
        for (std::size_t u = 0; u < 2; ++u) {
            up8[u] = BackLayer(k, {&w.up8[2 * u], &w.up8[2 * u + 1]}, q);
            up4[u] = BackLayer(k, {&w.up4[2 * u], &w.up4[2 * u + 1]}, q);
        }
        for (std::size_t a = 0; a < direct.size(); ++a) direct[a] = BackLayer(k, {&w.direct[a]}, q);
        for (const Block& block : w.bodies) bodies.emplace_back(k, block, q);
        for (const Block& block : w.details) details.emplace_back(k, block, q);
    }

    // Rows of y_hat beyond a row that its gradient depends on: samples around it, and what those are made of.
    std::size_t reach() const { return 2 * bodies.size() + details.size() + 1; }

    // Room for the signs of so many rows of y_hat; 0: for those between a row's way forward and its way back.
    Tape tape(std::size_t columns, std::size_t rows) const {
        Tape made;
        for (std::size_t n = bodies.size(); n > 0; --n)
            made.bodies.emplace_back(k, rows ? rows : 2 * n + details.size() + 3, columns, w.body);
        for (std::size_t n = details.size(); n > 0; --n)
            made.details.emplace_back(k, rows ? 2 * rows : 2 * n + 3, 2 * columns, w.detail);
        made.render = Signs(k, rows ? 4 * rows : 4, 4 * columns, w.render_width);
        return made;
    }
};

// A strip's signs, from `from` on.
struct Gradient::Kept::Strip {
    std::size_t from;
    Tape tape;
};
Gradient::Kept::Kept() = default;
Gradient::Kept::~Kept() = default;

namespace {

// From errors at a quarter of the resolution to gradients by y_hat, for the rows [begin, end).
class BackChain {
 public:
    // tape: the signs of the rows that come, which it does not change.
    BackChain(const Gradient::Parts& parts, std::size_t columns, bool top, std::size_t begin, std::size_t end,
              float* gradient, const Tape& tape)
        : w_(parts),
          k_(parts.k),
          columns_(columns),
          begin_(begin),
          end_(end),
          latent_(parts.w.latent),
          width_(float_width(latent_)),
          gradient_(gradient),
          y_(parts.bodies.size() + parts.details.size() / 2 + 4, columns * width_, 0),
          x4_(4 * columns * parts.out.outputs),
          x8_(2 * columns * parts.up4[0].outputs),
          x16_(columns * parts.up8[0].outputs) {
        for (std::size_t k = 0; k < parts.bodies.size(); ++k)
            bodies_.emplace_back(k_, parts.bodies[k], columns, top, tape.bodies[k]);
        for (std::size_t k = 0; k < parts.details.size(); ++k)
            details_.emplace_back(k_, parts.details[k], 2 * columns, top, tape.details[k]);
        render_ = std::make_unique<BackStream>(k_, parts.render, 4 * columns, top, tape.render);
    }

    bool done() const { return done_; }

    // Gradients (4 columns, 48) by the samples of row `row` at a quarter of the resolution.
    void push(const float* error, std::size_t row) {
        const BackLayer& direct = w_.direct[row % kQuarters];
        back(k_, direct, error, columns_, y_.row(row / kQuarters),
             row % kQuarters ? FloatStore::add : FloatStore::plain);
        back(k_, w_.out, error, 4 * columns_, x4_.data(), FloatStore::plain);
        render_->push(x4_.data(), row, [&](const float* g, std::size_t at) { rendered(g, at); });
    }

    // After the image's last row.
    void finish() {
        render_->finish([&](const float* g, std::size_t at) { rendered(g, at); });
        for (std::size_t k = details_.size(); k-- > 0;)
            details_[k].finish([&](const float* g, std::size_t at) { detailed(k, g, at); });
        for (std::size_t k = bodies_.size(); k-- > 0;)
            bodies_[k].finish([&](const float* g, std::size_t at) { entered(k, g, at); });
    }

 private:
    // Two rows, of which this is one, back to the one that they were made of; false as long as one is missing.
    bool gathered(const std::array<BackLayer, 2>& up, const float* g, std::size_t positions, std::size_t row,
                  std::size_t& upper, float* x) const {
        if (row % 2 == 0) {
            upper = row;
            back(k_, up[0], g, positions, x, FloatStore::plain);
            return false;
        }
        if (upper + 1 != row) return false;  // the first one of a chain that begins inside the image
        back(k_, up[1], g, positions, x, FloatStore::add);
        return true;
    }

    void rendered(const float* g, std::size_t row) {
        if (gathered(w_.up4, g, 2 * columns_, row, upper4_, x8_.data())) detailed(details_.size(), x8_.data(), row / 2);
    }

    // By what detail block k takes.
    void detailed(std::size_t k, const float* g, std::size_t row) {
        if (k > 0) return details_[k - 1].push(g, row, [&](const float* x, std::size_t at) { detailed(k - 1, x, at); });
        if (gathered(w_.up8, g, columns_, row, upper8_, x16_.data())) entered(bodies_.size(), x16_.data(), row / 2);
    }

    void entered(std::size_t k, const float* g, std::size_t row) {
        if (k > 0) return bodies_[k - 1].push(g, row, [&](const float* x, std::size_t at) { entered(k - 1, x, at); });
        if (row < begin_ || row >= end_) return;
        float* y = y_.row(row);
        back(k_, w_.enter, g, columns_, y, FloatStore::add);
        for (std::size_t p = 0; p < columns_; ++p)
            std::copy_n(y + p * width_, latent_, gradient_ + (row * columns_ + p) * latent_);
        done_ = row + 1 == end_;
    }

    static constexpr std::size_t kNone = static_cast<std::size_t>(-2);

    const Gradient::Parts& w_;
    const FloatKernels& k_;
    std::size_t columns_, begin_, end_, latent_, width_;
    float* gradient_;
    std::vector<BackStream> bodies_, details_;
    std::unique_ptr<BackStream> render_;
    Ring<float> y_;
    Aligned<float> x4_, x8_, x16_;
    std::size_t upper4_ = kNone, upper8_ = kNone;
    bool done_ = false;
};

// Errors of a row at a quarter of the resolution: four rows of pixels.
class Errors {
 public:
    Errors(const Picture& picture, std::size_t columns) : picture_(picture), columns_(columns) {}

    // The squared error in (1 / kWhite)^2. to, where it is not null: twice the error, the gradient by the samples.
    i64 row(const i16* levels, std::size_t row, float* to) const {
        constexpr float kUnit = 2.0f / (static_cast<float>(kWhite) * static_cast<float>(kWhite));
        i64 sum = 0;
        for (std::size_t u = 0; u < 4; ++u) {
            const std::size_t y = 4 * row + u, known = y < picture_.height ? picture_.width : 0;
            const std::uint8_t* line = known && picture_.data ? picture_.data + y * picture_.row_stride : nullptr;
            for (std::size_t p = 0; p < 4 * columns_; ++p) {
                const std::size_t at = p * kOut + u * 12;
                i16 pixels[12], apart[12];
                const std::size_t n = known <= 4 * p ? 0 : std::min<std::size_t>(4, known - 4 * p) * 3;
                if (!line) {
                    for (std::size_t i = 0; i < n; ++i)
                        pixels[i] = fine(y, picture_.bands == 3 ? 12 * p + i : 4 * p + i / 3);
                } else if (picture_.bands == 3) {
                    for (std::size_t i = 0; i < n; ++i) pixels[i] = level(line[12 * p + i]);
                } else {
                    for (std::size_t i = 0; i < n; ++i) pixels[i] = level(line[4 * p + i / 3]);
                }
                i32 squares = 0;
                if (n == 12) {
                    squares = difference<12>(levels + at, pixels, 12, apart);
                } else {
                    squares = difference<0>(levels + at, pixels, n, apart);
                }
                sum += squares;
                if (!to) continue;
                for (std::size_t i = 0; i < 12; ++i) to[at + i] = kUnit * static_cast<float>(apart[i]);
            }
        }
        return sum;
    }

 private:
    // Samples in the unit of levels.
    static i16 level(std::uint8_t sample) { return static_cast<i16>(sample << LIC_SAMPLE_BITS); }
    i16 fine(std::size_t row, std::size_t n) const {
        constexpr i32 kUnit = kFinePart >> LIC_SAMPLE_BITS;
        return static_cast<i16>((picture_.at(row, n) + kUnit / 2) / kUnit);
    }

    // Of 12 values, those from n on 0; kAll: n where it is known.
    template <std::size_t kAll>
    static i32 difference(const i16* levels, const i16* pixels, std::size_t n, i16* apart) {
        if constexpr (kAll != 0) n = kAll;
        i32 sum = 0;
        for (std::size_t i = 0; i < n; ++i) {
            const i32 clamped = std::clamp<i16>(levels[i], 0, kWhite);
            apart[i] = static_cast<i16>(clamped - pixels[i]);
        }
        for (std::size_t i = n; i < 12; ++i) apart[i] = 0;
        for (std::size_t i = 0; i < 12; ++i) sum += i32{apart[i]} * apart[i];
        return sum;
    }

    Picture picture_;
    std::size_t columns_;
};

}  // namespace

Gradient::Gradient(const Photo& photo, int q) : parts_(std::make_unique<Parts>(photo.parts(), q)) {}
Gradient::~Gradient() = default;

double Gradient::operator()(const i16* y_hat, const Picture& picture, float* gradient, std::size_t threads) const {
    const Parts& w = *parts_;
    const std::size_t hy = picture.hy(), wy = picture.wy(), M = w.w.latent;
    const Errors errors(picture, wy);
    std::atomic<i64> squares{0};
    in_strips(hy, 2 * kStripRows, threads, [&](std::size_t begin, std::size_t end) {
        const std::size_t reach = gradient ? w.reach() : synthesis_reach(w.bodies.size(), w.details.size());
        const std::size_t from = begin < reach ? 0 : begin - reach;
        const Quarters own{kQuarters * begin, kQuarters * end};
        std::unique_ptr<BackChain> chain;
        Tape tape;
        if (gradient) {
            tape = w.tape(wy, 0);
            chain = std::make_unique<BackChain>(w, wy, from == 0, begin, end, gradient, tape);
        }
        Aligned<float> error(gradient ? 4 * wy * kOut : 0);
        const auto sink = [&](const i16* levels, std::size_t row) {
            const i64 square = errors.row(levels, row, gradient ? error.data() : nullptr);
            if (row >= own.begin && row < own.end) squares += square;
            if (chain && !chain->done()) chain->push(error.data(), row);
        };
        SynthesisStream synthesis(w.at, wy, from == 0, gradient ? Quarters{0, kQuarters * hy} : own, sink,
                                  chain ? &tape : nullptr);
        const auto done = [&] { return chain ? chain->done() : synthesis.done(); };
        for (std::size_t row = from; row < hy && !done(); ++row) synthesis.push(y_hat + row * wy * M, M, row);
        if (done()) return;
        synthesis.finish();
        if (chain && !chain->done()) chain->finish();
    });
    return static_cast<double>(squares) / (static_cast<double>(kWhite) * kWhite);
}

double Gradient::samples(const i16* y_hat, const Picture& picture, i16* levels, float* by_levels, std::size_t threads,
                         Kept& kept) const {
    const Parts& w = *parts_;
    const std::size_t hy = picture.hy(), wy = picture.wy(), M = w.w.latent, row_size = 4 * wy * kOut;
    const Errors errors(picture, wy);
    std::atomic<i64> squares{0};
    if (by_levels && (kept.threads_ != threads || kept.strips_.size() != hy)) {
        kept.strips_.clear(), kept.strips_.resize(hy);
        kept.threads_ = threads;
    }
    in_strips(hy, 2 * kStripRows, threads, [&](std::size_t begin, std::size_t end) {
        const std::size_t reach = by_levels ? w.reach() : synthesis_reach(w.bodies.size(), w.details.size());
        const std::size_t from = begin < reach ? 0 : begin - reach, to = std::min(hy, end + reach);
        Tape* tape = nullptr;
        if (by_levels) {
            std::unique_ptr<Kept::Strip>& strip = kept.strips_[begin];
            if (!strip) strip.reset(new Kept::Strip{from, w.tape(wy, to - from)});
            tape = &strip->tape;
        }
        const auto sink = [&](const i16* row, std::size_t at) {
            std::copy_n(row, row_size, levels + at * row_size);
            squares += errors.row(row, at, by_levels ? by_levels + at * row_size : nullptr);
        };
        SynthesisStream synthesis(w.at, wy, from == 0, Quarters{kQuarters * begin, kQuarters * end}, sink, tape);
        std::size_t row = from;
        for (; row < to && (tape || !synthesis.done()); ++row) synthesis.push(y_hat + row * wy * M, M, row);
        if (row == hy && (tape || !synthesis.done())) synthesis.finish();
    });
    return static_cast<double>(squares) / (static_cast<double>(kWhite) * kWhite);
}

void Gradient::back(const Picture& picture, const float* by_levels, float* gradient, const Kept& kept) const {
    const std::size_t hy = picture.hy(), wy = picture.wy(), row_size = 4 * wy * kOut;
    in_strips(hy, 2 * kStripRows, kept.threads_, [&](std::size_t begin, std::size_t end) {
        const Kept::Strip& strip = *kept.strips_[begin];
        BackChain chain(*parts_, wy, strip.from == 0, begin, end, gradient, strip.tape);
        for (std::size_t row = kQuarters * strip.from; row < kQuarters * hy && !chain.done(); ++row)
            chain.push(by_levels + row * row_size, row);
        if (!chain.done()) chain.finish();
    });
}

}  // namespace lic::nn

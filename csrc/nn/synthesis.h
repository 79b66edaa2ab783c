// FORMAT 8.3: from rows of y_hat to rows of samples. Must not include Python.
#ifndef LIC_NN_SYNTHESIS_H
#define LIC_NN_SYNTHESIS_H

#include <array>
#include <functional>

#include "photo_parts.h"
#include "stream.h"

namespace lic::nn {

// Rows at a quarter of the resolution.
struct Quarters {
    std::size_t begin, end;
};

// Takes 48 samples, in 1/16 of a level, of each position of a row at a quarter of the resolution.
using LevelSink = std::function<void(const i16* levels, std::size_t row)>;

// Signs of what the leaky layers gave, of each block in its order.
struct Tape {
    std::vector<Signs> bodies, details;
    Signs render;
};

class SynthesisStream {
 public:
    // top: whether the first row that comes is the image's first. wanted: what comes to the sink. noise: of a second
    // synthesis, which has a layer for it; its corner that of row 0 and of the first column.
    SynthesisStream(const Photo::Parts::At& at, std::size_t columns, bool top, const Quarters& wanted, LevelSink sink,
                    Tape* tape = nullptr, const Noise* noise = nullptr)
        : at_(at),
          w_(at.w),
          k_(at.w.k),
          columns_(columns),
          wanted_(wanted),
          sink_(std::move(sink)),
          held_(w_.bodies.size() + w_.details.size() / 2 + 4),
          y_(held_, columns * w_.latent, 0),
          x16_(columns * w_.body),
          x8_(2 * columns * w_.detail),
          x4_(4 * columns * w_.render_width),
          noise_(noise ? *noise : Noise{}),
          noise_layer_(noise && at.noise ? &*at.noise : nullptr),
          noise_row_(noise_layer_ ? 2 * columns * LIC_NOISE_CHANNELS : 0),
          render_(k_, at.render, 4 * columns, top, tape ? &tape->render : nullptr) {
        for (std::size_t k = 0; k < at.bodies.size(); ++k)
            bodies_.emplace_back(k_, at.bodies[k], columns, top, tape ? &tape->bodies[k] : nullptr);
        for (std::size_t k = 0; k < at.details.size(); ++k)
            details_.emplace_back(k_, at.details[k], 2 * columns, top, tape ? &tape->details[k] : nullptr);
        for (Aligned<i16>& row : direct_) row = Aligned<i16>(4 * columns * kOut);
    }

    void push(const i16* y_hat, std::size_t stride, std::size_t row) {
        const std::size_t n = columns_, M = w_.latent;
        i16* y = y_.row(row);
        for (std::size_t p = 0; p < n; ++p) std::copy_n(y_hat + p * stride, M, y + p * M);
        run(k_, at_.synthesis_enter, y, n, x16_.data(), Store::plain);
        body(0, x16_.data(), row);
    }

    // After the image's last row.
    void finish() {
        for (std::size_t k = 0; k < bodies_.size(); ++k)
            bodies_[k].finish([&](const i16* x, std::size_t row) { body(k + 1, x, row); });
        for (std::size_t k = 0; k < details_.size(); ++k)
            details_[k].finish([&](const i16* x, std::size_t row) { detail(k + 1, x, row); });
        render_.finish([&](const i16* x, std::size_t row) { samples(x, row); });
    }

    // Whether all rows that are wanted were there.
    bool done() const { return finished_; }

 private:
    void body(std::size_t k, const i16* x, std::size_t row) {
        if (k < bodies_.size())
            return bodies_[k].push(x, row, [&](const i16* y, std::size_t at) { body(k + 1, y, at); });
        for (std::size_t u = 0; u < 2; ++u) {
            spread(at_.up8, x, columns_, u, x8_.data());
            if (noise_layer_) add_noise(2 * row + u);
            detail(0, x8_.data(), 2 * row + u);
        }
    }

    void detail(std::size_t k, const i16* x, std::size_t row) {
        if (k < details_.size())
            return details_[k].push(x, row, [&](const i16* y, std::size_t at) { detail(k + 1, y, at); });
        for (std::size_t u = 0; u < 2; ++u) {
            spread(at_.up4, x, 2 * columns_, u, x4_.data());
            render_.push(x4_.data(), 2 * row + u, [&](const i16* y, std::size_t at) { samples(y, at); });
        }
    }

    // To row `row` at an eighth of the resolution.
    void add_noise(std::size_t row) {
        noise_row(noise_.seed, 2 * noise_.row + row, 2 * noise_.column, 2 * columns_, noise_row_.data());
        run(k_, *noise_layer_, noise_row_.data(), 2 * columns_, x8_.data(), Store::add);
    }

    // Row u of two that a row becomes, twice as wide.
    void spread(const std::vector<LayerAt>& layers, const i16* x, std::size_t positions, std::size_t u,
                i16* out) const {
        const std::size_t channels = layers[0].weight.outputs;
        for (std::size_t v = 0; v < 2; ++v)
            run_spread(k_, layers[2 * u + v], x, positions, out + v * channels, 2 * channels, Store::plain);
    }

    // Row `row` at a quarter of the resolution.
    void samples(const i16* x, std::size_t row) {
        if (row < wanted_.begin || row >= wanted_.end) return;
        const std::size_t latent_row = row / kCell;
        if (!direct_known_ || direct_row_ != latent_row) {
            for (std::size_t a = 0; a < kCell; ++a) {
                run(k_, at_.direct[a], y_.row(latent_row), columns_, direct_[a].data(), Store::plain);
            }
            direct_row_ = latent_row, direct_known_ = true;
        }
        i16* levels = direct_[row % kCell].data();
        run(k_, at_.out, x, 4 * columns_, levels, Store::add);
        finished_ = row + 1 == wanted_.end;
        sink_(levels, row);
    }

    const Photo::Parts::At& at_;
    const Photo::Parts& w_;
    const Kernels& k_;
    std::size_t columns_;
    Quarters wanted_;
    LevelSink sink_;
    std::size_t held_;  // rows of y_hat that the linear path may still ask for
    Ring<i16> y_;
    Aligned<i16> x16_, x8_, x4_;
    Noise noise_;
    const LayerAt* noise_layer_;  // of a second synthesis that has one
    Aligned<i16> noise_row_;
    BlockStream render_;
    std::vector<BlockStream> bodies_, details_;
    std::array<Aligned<i16>, kCell> direct_;
    std::size_t direct_row_ = 0;
    bool direct_known_ = false, finished_ = false;
};

}  // namespace lic::nn

#endif

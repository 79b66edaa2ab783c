#include "latent_stream.h"

#include <cmath>

namespace lic::nn::detail {
namespace {

constexpr std::size_t kRows = 8;                     // rows of the latent grid that refinement holds
constexpr std::size_t kReach = 2;                    // columns beyond the edges that its kernels meet
constexpr i32 kMeanHalf = 1 << (LIC_MEAN_BITS - 1);  // means are in 1/16 of y_hat's unit

struct Group {
    std::size_t row, column;
};
constexpr std::array<Group, kGroups> kGroupAt{{{0, 0}, {1, 1}, {0, 1}, {1, 0}}};
constexpr std::size_t group_of(std::size_t row, std::size_t column) {
    constexpr std::size_t of[2][2] = {{0, 2}, {3, 1}};
    return of[row & 1][column & 1];
}

// A number from -1/2 to 1/2 of each integer: a hash, so that it depends on nothing else.
float noise(std::uint32_t x) {
    x = (x ^ x >> 16) * 0x7FEB352Du;
    x = (x ^ x >> 15) * 0x846CA68Bu;
    return static_cast<float>(static_cast<i32>(x ^ x >> 16)) * (1.0f / 4294967296.0f);
}

i16 clip(i32 x) { return static_cast<i16>(std::clamp(x, -32768, 32767)); }

}  // namespace

Refinement::Refinement(const Photo::Parts::At& at, const Image& image, const Window& window, bool top,
                       std::size_t first, const RowSink& sink, const Choice* choice)
    : at_(at),
      w_(at.w),
      k_(at.w.k),
      image_(image),
      choice_(choice),
      window_(window),
      top_(top),
      first_(first),
      stride_(at.w.body + at.w.latent),
      sink_(sink),
      combined_(kRows, window.columns * stride_, 0),
      step_(kRows, window.columns * w_.latent, 0),
      r_(kRows, window.columns * w_.latent, 0),
      mean_(kRows, window.columns * w_.latent, 0),
      zero_(1, window.columns * w_.body, kReach * w_.body) {
    const std::size_t most = (window.columns + 1) / 2;
    for (std::size_t g = 1; g < kGroups; ++g) entered_.emplace_back(kRows, window.columns * w_.body, kReach * w_.body);
    spatial_ = Aligned<i16>(most * w_.body), x_ = Aligned<i16>(most * w_.body),
    expand_ = Aligned<i16>(most * 2 * w_.body);
    change_ = Aligned<i32>(most * w_.latent), change_step_ = Aligned<i16>(most * w_.latent);
    if (choice) ratio_.resize(most * w_.latent), index_.resize(most * w_.latent), chosen_.resize(most * w_.latent);
}

void Refinement::push(const i16* features, std::size_t row) {
    const std::size_t n = window_.columns, M = w_.latent, F = w_.body;
    i16* to = combined_.row(row);
    for (std::size_t p = 0; p < n; ++p) std::copy_n(features + p * F, F, to + p * stride_);
    run(k_, at_.mean, features, n, mean_.row(row), Store::wide);
    run(k_, at_.step, features, n, step_.row(row), Store::plain);
    if (!choice_) {
        i16* r = r_.row(row);
        for (std::size_t m = 0; m < M; ++m) {
            const i16* from = image_.r.at(m, row, window_.first);
            for (std::size_t p = 0; p < n; ++p) r[p * M + m] = from[p];
        }
    }
    arrive(row);
}

void Refinement::finish() {
    for (std::size_t row = image_.hy; row <= image_.hy + 2; ++row) arrive(row);
}

// Row `row` of the prior is there, or the image has ended above it. Even rows set off all that has become possible.
void Refinement::arrive(std::size_t row) {
    if (row % 2) return enter(1, row);
    if (exists(row)) settle(row, 0, (window_.columns + 1) / 2, nullptr, nullptr);
    enter(1, row);
    if (row >= 1) refine(1, row - 1);
    enter(2, row);
    if (row >= 1) enter(2, row - 1);
    if (row >= 2) refine(2, row - 2);
    if (row >= 1) enter(3, row - 1);
    if (row >= 2) enter(3, row - 2);
    if (row >= 3) refine(3, row - 3);
    for (const std::size_t back : {std::size_t{3}, std::size_t{2}}) {
        // The first two rows of a chain that begins inside the image lack what is above them.
        if (row >= back && exists(row - back) && (top_ || row - back >= first_ + 2)) {
            sink_(combined_.row(row - back) + w_.body, stride_, row - back);
        }
    }
}

// The first layer of a group's network over a row: it knows y_hat at the positions of earlier groups alone.
void Refinement::enter(std::size_t group, std::size_t row) {
    Ring<i16>& ring = entered_[group - 1];
    if (!exists(row)) return ring.clear(row);
    const LayerAt& layer = at_.refine[group - 1].enter;
    const auto two = [](std::size_t n) { return static_cast<std::ptrdiff_t>(2 * n); };
    for (std::size_t column = 0; column < 2 && column < window_.columns; ++column) {
        const std::size_t known = group_of(row, column) < group ? stride_ : w_.body;
        k_.product({combined_.row(row) + column * stride_, two(stride_), (window_.columns - column + 1) / 2, known,
                    layer.weight, layer.final(), ring.row(row) + column * w_.body, two(w_.body), Store::leaky});
    }
}

void Refinement::refine(std::size_t group, std::size_t row) {
    const std::size_t column = kGroupAt[group].column;
    if (!exists(row) || window_.columns <= column) return;
    const std::size_t n = (window_.columns - column + 1) / 2, F = w_.body, reach = group == 1 ? 1 : 2;
    const RefineAt& net = at_.refine[group - 1];
    std::array<const i16*, 5> rows{};
    for (std::size_t u = 0; u < 2 * reach + 1; ++u) {
        // Rows above the image, and those above the chain's first, are zero; rows below it have been cleared.
        const i16* one = row + u < reach + first_ ? zero_.row(0) : entered_[group - 1].row(row + u - reach);
        rows[u] = one + (static_cast<std::ptrdiff_t>(column) - static_cast<std::ptrdiff_t>(reach)) *
                            static_cast<std::ptrdiff_t>(F);
    }
    k_.depthwise({rows.data(), 2 * reach + 1, 2, n, net.spatial.weight, net.spatial.final(), spatial_.data()});
    for (std::size_t p = 0; p < n; ++p)
        std::copy_n(combined_.row(row) + (column + 2 * p) * stride_, F, x_.data() + p * F);
    run(k_, net.join, spatial_.data(), n, x_.data(), Store::add);
    run(k_, net.expand, x_.data(), n, expand_.data(), Store::leaky);
    run(k_, net.contract, expand_.data(), n, x_.data(), Store::add);
    run(k_, net.mean, x_.data(), n, change_.data(), Store::wide);
    run(k_, net.step, x_.data(), n, change_step_.data(), Store::plain);
    settle(row, column, n, change_.data(), change_step_.data());
}

// y_hat at the positions column, column + 2, ... of a row. change and step: of the group's network, null for the first
// group.
void Refinement::settle(std::size_t row, std::size_t column, std::size_t positions, const i32* change,
                        const i16* step) {
    if (choice_) choose(row, column, positions, change, step);
    for (std::size_t p = 0; p < positions; ++p) {
        combine(row, column + 2 * p, change ? change + p * w_.latent : nullptr, step ? step + p * w_.latent : nullptr);
    }
}

// An encoder's r of these positions.
void Refinement::choose(std::size_t row, std::size_t column, std::size_t positions, const i32* change,
                        const i16* step) {
    const std::size_t M = w_.latent, hy = image_.hy, wy = image_.wy;
    const i32 *mean = mean_.row(row), *y = choice_->y + row * wy * M;
    const i16* log = step_.row(row);
    const bool own = row >= choice_->begin && row < choice_->end;
    for (std::size_t p = 0; p < positions; ++p) {
        const std::size_t at = column + 2 * p;
        float* step_out = own && choice_->step ? choice_->step + (row * wy + at) * M : nullptr;
        const i32 shift = image_.shift.log(row, window_.first + at);
        for (std::size_t m = 0; m < M; ++m) {
            const i32 l = log_step(m, log[at * M + m], step ? step + p * M + m : nullptr, shift);
            const i32 middle = mean[at * M + m] + (change ? change[p * M + m] : 0);
            const float inverse = std::exp2(static_cast<float>(-l) / kOctave);
            ratio_[m * positions + p] = static_cast<float>(y[at * M + m] - middle) * inverse;
            index_[m * positions + p] = choice_->index[(m * hy + row) * wy + at];
            if (step_out) step_out[m] = 1.0f / inverse;
            if (choice_->shake > 0.0f) {
                const auto place = static_cast<std::uint32_t>((row * wy + at) * M + m);
                ratio_[m * positions + p] += choice_->shake * noise(place ^ choice_->seed);
            }
        }
    }
    choice_->quantise(row, ratio_.data(), index_.data(), positions, chosen_.data());
    i16* r = r_.row(row);
    for (std::size_t m = 0; m < M; ++m) {
        for (std::size_t p = 0; p < positions; ++p) {
            const i16 value = chosen_[m * positions + p];
            r[(column + 2 * p) * M + m] = value;
            if (own) choice_->r[(m * hy + row) * wy + column + 2 * p] = value;
        }
    }
}

i32 Refinement::log_step(std::size_t m, i16 prior, const i16* step, i32 shift) const {
    i32 l = at_.gain[m] + shift + w_.prior_log[static_cast<std::uint16_t>(prior)];
    if (step) l += w_.refine_log[static_cast<std::uint16_t>(*step)];
    return std::clamp(l, -LIC_OCTAVES_MAX * kOctave, LIC_OCTAVES_MAX * kOctave - 1);
}

// y_hat at a position, from its mean, its r and its step.
void Refinement::combine(std::size_t row, std::size_t column, const i32* change, const i16* step) {
    const std::size_t M = w_.latent;
    const i32* mean = mean_.row(row) + column * M;
    const i16 *r = r_.row(row) + column * M, *log = step_.row(row) + column * M;
    i16* y = combined_.row(row) + column * stride_ + w_.body;
    const i32 shift = image_.shift.log(row, window_.first + column);
    if (change) {
        for (std::size_t m = 0; m < M; ++m) y[m] = clip((mean[m] + change[m] + kMeanHalf) >> LIC_MEAN_BITS);
    } else {
        for (std::size_t m = 0; m < M; ++m) y[m] = clip((mean[m] + kMeanHalf) >> LIC_MEAN_BITS);
    }
    i16* log_out = image_.log ? image_.log + (row * image_.wy + window_.first + column) * M : nullptr;
    if (log_out) {
        for (std::size_t m = 0; m < M; ++m)
            log_out[m] = static_cast<i16>(log_step(m, log[m], step ? step + m : nullptr, shift));
    }
    for (std::size_t m = 0; m < M; ++m) {
        if (r[m] == 0) continue;
        const i32 l = log_out ? log_out[m] : log_step(m, log[m], step ? step + m : nullptr, shift);
        const i64 product = i64{r[m]} * w_.exp2[static_cast<std::size_t>(l & (kOctave - 1))];
        const auto moved = static_cast<i32>(
            std::clamp<i64>(product >> (LIC_MANTISSA_BITS - (l >> LIC_OCTAVE_BITS)), -LIC_MEAN_MAX, LIC_MEAN_MAX));
        y[m] = clip((mean[m] + (change ? change[m] : 0) + moved + kMeanHalf) >> LIC_MEAN_BITS);
    }
}

}  // namespace lic::nn::detail

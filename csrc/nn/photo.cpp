#include "photo.h"

#include <array>
#include <cmath>
#include <deque>
#include <functional>
#include <optional>

#include "../threads.h"
#include "photo_parts.h"
#include "synthesis.h"

namespace lic::nn {
namespace {

constexpr std::size_t kRows = 8;           // rows of the latent grid that refinement holds
constexpr std::size_t kColumnsMost = 512;  // of the latent grid that are rendered at once, without their margin
constexpr std::size_t kReach = 2;          // columns beyond the edges that its kernels meet
constexpr std::size_t kGroups = 4;         // of positions (FORMAT 8.2)
constexpr i32 kOctave = 1 << LIC_OCTAVE_BITS;
constexpr i32 kLogHalf = 1 << (LIC_MANTISSA_BITS - 1);
constexpr i32 kMeanHalf = 1 << (LIC_MEAN_BITS - 1);  // means are in 1/16 of y_hat's unit
constexpr std::size_t kBlocksMax = 64;
constexpr i32 kStrengthMost = 255;  // of a style

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

Photo::Parts::Parts(const Tensors& t, const Kernels& kernels) : k(kernels) {
    const auto width = [&](const std::string& name, std::size_t axis, std::size_t most) {
        const std::size_t n = t.side(name, axis);
        if (n < 1 || n > most)
            throw BadModel("the tensor " + name + " has a side of " + std::to_string(n) + ", want 1 to " +
                           std::to_string(most));
        return n;
    };
    latent = width("prior.gain", 1, 1024);
    points = width("prior.gain", 0, 64);
    hyper = width("prior.up.weight", 1, 256);
    spread = width("prior.enter.weight", 1, 1024);
    body = width("prior.enter.weight", 0, 1024);
    detail = width("synthesis.up4.weight", 1, 1024);
    render_width = width("synthesis.out.weight", 1, 1024);
    if (body % 2)
        throw BadModel("the width " + std::to_string(body) +
                       " at a sixteenth of the resolution is odd");  // `product` takes pairs
    up = read_shuffled(k, t, "prior.up", spread, hyper, kCell);
    enter = read_layer(k, t, "prior.enter", body, spread);
    block = read_block(k, t, "prior.block", body);
    mean = read_layer(k, t, "prior.mean", latent, body);
    step = read_layer(k, t, "prior.step", latent, body);
    const i32* gains = t.get<i32>("prior.gain", {points, latent});
    gain.assign(gains, gains + points * latent);
    for (const i32 g : gain) {
        if (g < -(1 << 20) || g > 1 << 20) throw BadModel("a value of prior.gain is beyond 2^20");
    }
    for (std::size_t g = 1; g < kGroups; ++g) {
        const std::string name = "refine" + std::to_string(g);
        RefineGroup r;
        r.enter = read_layer(k, t, name + ".enter", body, body + latent);
        r.spatial = read_depthwise(k, t, name + ".spatial", body, g == 1 ? 3 : 5);
        r.join = read_layer(k, t, name + ".join", body, body);
        r.expand = read_layer(k, t, name + ".expand", 2 * body, body);
        r.contract = read_layer(k, t, name + ".contract", body, 2 * body);
        r.mean = read_layer(k, t, name + ".mean", latent, body);
        r.step = read_layer(k, t, name + ".step", latent, body);
        refine.push_back(std::move(r));
    }
    const i16* h = t.get<i16>("tanh", {LIC_TANH_STEPS + 1});
    tanh.assign(h, h + LIC_TANH_STEPS + 1);
    for (const i16 value : tanh) {
        if (value < 0) throw BadModel("a value of tanh is below 0");
    }
    const std::uint16_t* e = t.get<std::uint16_t>("exp2", {kOctave});
    exp2.assign(e, e + kOctave);
    synthesis_enter = read_layer(k, t, "synthesis.enter", body, latent, true);
    const auto blocks = [&](const std::string& prefix, std::size_t of) {
        std::vector<Block> list;
        while (list.size() < kBlocksMax && t.has(prefix + std::to_string(list.size()) + ".mix.weight")) {
            list.push_back(read_block(k, t, prefix + std::to_string(list.size()), of, true));
        }
        return list;
    };
    bodies = blocks("synthesis.body", body);
    details = blocks("synthesis.detail", detail);
    up8 = read_shuffled(k, t, "synthesis.up8", detail, body, 2, true);
    up4 = read_shuffled(k, t, "synthesis.up4", render_width, detail, 2, true);
    render = read_block(k, t, "synthesis.render", render_width, true);
    // A position's 48 samples stand as rows of pixels: output u * 12 + v * 3 + c is sample (u, v) of band c.
    std::vector<std::size_t> order(kOut);
    for (std::size_t n = 0; n < kOut; ++n) order[n] = n % 3 * 16 + n / 12 * 4 + n % 12 / 3;
    out = read_layer(k, t, "synthesis.out", kOut, render_width, order, true);
    for (std::size_t a = 0; a < kCell; ++a) {  // the linear path: a row of four such positions for each a
        std::vector<std::size_t> places(kCell * kOut);
        for (std::size_t n = 0; n < places.size(); ++n) places[n] = order[n % kOut] * 16 + a * kCell + n / kOut;
        direct.push_back(read_layer(k, t, "synthesis.direct", kOut * 16, latent, places, true));
    }
}

namespace {

using RowSink = std::function<void(const i16* y_hat, std::size_t stride, std::size_t row)>;

}  // namespace

namespace detail {

// ---------------------------------------------------------------------------------------------------------------------
// FORMAT 8.2: y_hat

// Rows of features in, rows of y_hat out, four later at most. r is the image's or, of an encoder, chosen as it goes.
class Refinement {
 public:
    Refinement(const Photo::Parts::At& at, const Image& image, const Window& window, bool top, std::size_t first,
               const RowSink& sink, const Choice* choice);
    void push(const i16* features, std::size_t row);  // of the prior, (columns, body)
    void finish();                                    // after the image's last row

 private:
    void arrive(std::size_t row);
    void enter(std::size_t group, std::size_t row);
    void refine(std::size_t group, std::size_t row);
    void settle(std::size_t row, std::size_t column, std::size_t positions, const i32* change, const i16* step);
    void choose(std::size_t row, std::size_t column, std::size_t positions, const i32* change, const i16* step);
    void combine(std::size_t row, std::size_t column, const i32* change, const i16* step);
    i32 log_step(std::size_t m, i32 prior, const i16* step, i32 shift) const;
    i32 tanh(i32 x) const;
    bool exists(std::size_t row) const { return row >= first_ && row < image_.hy; }

    const Photo::Parts::At& at_;
    const Photo::Parts& w_;
    const Kernels& k_;
    const Image& image_;
    const Choice* choice_;
    Window window_;
    bool top_;
    std::size_t first_, stride_;  // stride_: of a position of `combined`
    const RowSink& sink_;
    Ring<i16> combined_, step_, r_;  // combined: features and y_hat of each position
    Ring<i32> mean_;
    std::vector<Ring<i16>> entered_;  // of groups 1 to 3
    Ring<i16> zero_;
    Aligned<i16> spatial_, x_, expand_, change_step_;
    Aligned<i32> change_;
    std::vector<float> ratio_;  // of an encoder: (M, positions), and so are
    std::vector<std::uint8_t> index_;
    std::vector<i16> chosen_;
};

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
    choice_->quantise(ratio_.data(), index_.data(), positions, chosen_.data());
    i16* r = r_.row(row);
    for (std::size_t m = 0; m < M; ++m) {
        for (std::size_t p = 0; p < positions; ++p) {
            const i16 value = chosen_[m * positions + p];
            r[(column + 2 * p) * M + m] = value;
            if (own) choice_->r[(m * hy + row) * wy + column + 2 * p] = value;
        }
    }
}

i32 Refinement::tanh(i32 x) const {
    const i32 size = std::min(std::abs(x), 32767), at = size >> LIC_TANH_STEP_BITS,
              part = size & ((1 << LIC_TANH_STEP_BITS) - 1);
    const i16* table = w_.tanh.data() + at;
    const i32 value = table[0] + ((table[1] - table[0]) * part >> LIC_TANH_STEP_BITS);
    return x < 0 ? -value : value;
}

i32 Refinement::log_step(std::size_t m, i32 prior, const i16* step, i32 shift) const {
    i32 l = at_.gain[m] + shift + ((tanh(prior) * LIC_PRIOR_LOG + kLogHalf) >> LIC_MANTISSA_BITS);
    if (step) l += (tanh(*step) * LIC_REFINE_LOG + kLogHalf) >> LIC_MANTISSA_BITS;
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
    for (std::size_t m = 0; m < M; ++m) {
        if (r[m] == 0 && !log_out) continue;
        const i32 l = log_step(m, log[m], step ? step + m : nullptr, shift);
        if (log_out) log_out[m] = static_cast<i16>(l);
        const i64 product = i64{r[m]} * w_.exp2[static_cast<std::size_t>(l & (kOctave - 1))];
        const auto moved = static_cast<i32>(
            std::clamp<i64>(product >> (LIC_MANTISSA_BITS - (l >> LIC_OCTAVE_BITS)), -LIC_MEAN_MAX, LIC_MEAN_MAX));
        y[m] = clip((mean[m] + (change ? change[m] : 0) + moved + kMeanHalf) >> LIC_MEAN_BITS);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// From v to rows of y_hat

class LatentStream {
 public:
    // Rows from `from` on at the latest come to the sink.
    LatentStream(const Photo::Parts::At& at, const Image& image, const Window& window, std::size_t from,
                 const RowSink& sink, const Choice* choice = nullptr)
        : at_(at),
          w_(at.w),
          k_(at.w.k),
          image_(image),
          window_(window),
          hyper_row_(from < 2 * kCell ? 0 : from / kCell - 1),
          columns_(window.hyper_columns() * kCell),
          block_(k_, at.block, columns_, hyper_row_ == 0),
          refinement_(at, image, window, hyper_row_ == 0, hyper_row_ == 0 ? 0 : hyper_row_ * kCell + 2, sink, choice),
          hyper_(window.hyper_columns() * w_.hyper),
          entered_(columns_ * w_.body) {
        for (Aligned<i16>& row : spread_) row = Aligned<i16>(columns_ * w_.spread);
    }

    // Goes on by a row of hyper positions; false when there is none left.
    bool advance() {
        const std::size_t rows = (image_.hy + kCell - 1) / kCell, C = w_.hyper, S = w_.spread;
        if (hyper_row_ >= rows) return false;
        const std::size_t n = window_.hyper_columns(), first = window_.first / kCell;
        for (std::size_t c = 0; c < C; ++c) {
            const i16* from = image_.v.at(c, hyper_row_, first);
            for (std::size_t p = 0; p < n; ++p) hyper_.data()[p * C + c] = from[p];
        }
        for (std::size_t place = 0; place < kCell * kCell; ++place) {
            run_spread(k_, at_.up[place], hyper_.data(), n, spread_[place / kCell].data() + place % kCell * S,
                       kCell * S, Store::plain);
        }
        const auto take = [this](const i16* features, std::size_t row) {
            // The prior sees whole cells; what lies beyond the latent grid ends here. So does the row that a chain
            // inside the image begins with.
            if (row < image_.hy && (hyper_from_top() || row >= refine_from())) refinement_.push(features, row);
        };
        for (std::size_t u = 0; u < kCell; ++u) {
            run(k_, at_.enter, spread_[u].data(), columns_, entered_.data(), Store::plain);
            block_.push(entered_.data(), hyper_row_ * kCell + u, take);
        }
        if (++hyper_row_ == rows) {
            block_.finish(take);
            refinement_.finish();
        }
        return true;
    }

 private:
    bool hyper_from_top() const { return begin_ == 0; }
    std::size_t refine_from() const { return begin_ * kCell + 2; }

    const Photo::Parts::At& at_;
    const Photo::Parts& w_;
    const Kernels& k_;
    const Image& image_;
    Window window_;
    std::size_t hyper_row_, begin_ = hyper_row_, columns_;
    BlockStream block_;
    Refinement refinement_;
    Aligned<i16> hyper_, entered_;
    std::array<Aligned<i16>, kCell> spread_;
};

}  // namespace detail

namespace {

// A row of pixels from levels: 12 of each position's 48.
void pixels(const i16* levels, const Window& window, const Canvas& canvas, std::uint8_t* to) {
    const std::size_t first = window.first * kStride;  // pixel of the window's left edge
    const std::size_t begin = canvas.left - first, end = canvas.right - first;
    constexpr i32 kHalf = 1 << (LIC_SAMPLE_BITS - 1), kMost = 255 << LIC_SAMPLE_BITS;
    if (canvas.bands == 1) {
        for (std::size_t x = begin; x < end; ++x) {
            const i16* p = levels + x / 4 * kOut + x % 4 * 3;
            const i32 sum =
                std::clamp<i32>(p[0], 0, kMost) + std::clamp<i32>(p[1], 0, kMost) + std::clamp<i32>(p[2], 0, kMost);
            *to++ = static_cast<std::uint8_t>((sum + 24) / 48);
        }
        return;
    }
    const auto level = [](i32 p) {
        return static_cast<std::uint8_t>(std::clamp((p + kHalf) >> LIC_SAMPLE_BITS, 0, 255));
    };
    std::size_t x = begin;
    for (; x < end && x % 4; ++x, to += 3) {
        const i16* p = levels + x / 4 * kOut + x % 4 * 3;
        for (std::size_t c = 0; c < 3; ++c) to[c] = level(p[c]);
    }
    for (; x + 4 <= end; x += 4, to += 12) {
        const i16* p = levels + x / 4 * kOut;
        for (std::size_t c = 0; c < 12; ++c) to[c] = level(p[c]);
    }
    for (; x < end; ++x, to += 3) {
        const i16* p = levels + x / 4 * kOut + x % 4 * 3;
        for (std::size_t c = 0; c < 3; ++c) to[c] = level(p[c]);
    }
}

// Row `quarter` at a quarter of the resolution: four rows of pixels.
void rows_of_pixels(const i16* levels, std::size_t quarter, const Window& window, const Canvas& canvas) {
    for (std::size_t u = 0; u < 4; ++u) {
        const std::size_t y = 4 * quarter + u;
        if (y >= canvas.top && y < canvas.bottom)
            pixels(levels + u * 12, window, canvas, canvas.data + (y - canvas.top) * canvas.row_stride);
    }
}

// Latent rows and columns beyond a box: of refinement and prior.
constexpr std::size_t kLatentReach = 6;

}  // namespace

Photo::Photo(const Tensors& tensors, const Kernels& kernels) : parts_(std::make_unique<Parts>(tensors, kernels)) {}
Photo::~Photo() = default;
Photo::Photo(Photo&&) noexcept = default;
std::size_t Photo::latent() const { return parts_->latent; }
std::size_t Photo::hyper() const { return parts_->hyper; }
const Kernels& Photo::kernels() const { return parts_->k; }
bool Photo::fits(const Photo& other) const {
    const Parts &a = *parts_, &b = *other.parts_;
    return a.latent == b.latent && a.body == b.body && a.detail == b.detail && a.render_width == b.render_width &&
           a.bodies.size() == b.bodies.size() && a.details.size() == b.details.size();
}
std::size_t Photo::halo() const {
    return synthesis_reach(parts_->bodies.size(), parts_->details.size()) + kLatentReach;
}

namespace {

// What is rendered at once: whole columns of a canvas, and with the margin that its samples depend on the window of the
// latent grid over them.
struct Part {
    Canvas canvas;
    Window window;
};

// Memory goes with the width of what is rendered at once, so wide images are cut into parts side by side.
std::vector<Part> parts_of(const Image& image, const Canvas& canvas, std::size_t margin) {
    std::vector<Part> parts;
    for (std::size_t at = canvas.left / kStride; at * kStride < canvas.right; at += kColumnsMost) {
        Canvas part = canvas;
        part.left = std::max(canvas.left, at * kStride);
        part.right = std::min(canvas.right, (at + kColumnsMost) * kStride);
        part.data += (part.left - canvas.left) * canvas.bands;
        const std::size_t right = (part.right + kStride - 1) / kStride;
        const std::size_t first = at < margin ? 0 : (at - margin) / kCell * kCell;
        const std::size_t end = std::min(image.wy, (right + margin + kCell - 1) / kCell * kCell);
        parts.push_back({part, {first, end - first}});
    }
    return parts;
}

// FORMAT 8.5: levels of which `strength` / 255 are another synthesis'. Rows come from both in the same order.
class Blend {
 public:
    Blend(int strength, std::size_t samples, const LevelSink& sink)
        : strength_(strength), samples_(samples), sink_(sink) {}

    void own(const i16* levels) { held_.emplace_back(levels, levels + samples_); }

    void other(const i16* levels, std::size_t row) {
        std::vector<i16>& mixed = held_.front();
        constexpr i32 kMost = 255 << LIC_SAMPLE_BITS;
        for (std::size_t n = 0; n < samples_; ++n) {
            const i32 a = std::clamp<i32>(mixed[n], 0, kMost), b = std::clamp<i32>(levels[n], 0, kMost);
            mixed[n] =
                static_cast<i16>((a * (kStrengthMost - strength_) + b * strength_ + kStrengthMost / 2) / kStrengthMost);
        }
        sink_(mixed.data(), row);
        held_.pop_front();
    }

 private:
    i32 strength_;
    std::size_t samples_;
    const LevelSink& sink_;
    std::deque<std::vector<i16>> held_;  // rows that the other synthesis has not come to
};

// The networks of a render at its quality. other: of the style, where there is one.
struct Networks {
    Photo::Parts::At own;
    std::optional<Photo::Parts::At> other;
    int strength = 0;

    Networks(const Photo& photo, int q, const Style& style) : own(photo.parts(), q) {
        if (style.other && style.strength > 0) other.emplace(style.other->parts(), q), strength = style.strength;
    }
    // What is rendered where nothing is blended.
    const Photo::Parts::At& alone() const { return strength == kStrengthMost ? *other : own; }
    bool blends() const { return strength > 0 && strength < kStrengthMost; }
};

// A strip of a part's rows; `reach` of the synthesis.
void render_strip(const Networks& nets, const Image& image, const Part& part, std::size_t reach) {
    const std::size_t row = part.canvas.top / kStride, from = row < reach ? 0 : row - reach;
    const std::size_t columns = part.window.columns;
    const Quarters wanted{part.canvas.top / 4, (part.canvas.bottom + 3) / 4};
    const LevelSink paint = [&](const i16* levels, std::size_t quarter) {
        rows_of_pixels(levels, quarter, part.window, part.canvas);
    };
    Blend blend(nets.strength, 4 * columns * kOut, paint);
    std::optional<SynthesisStream> other;
    if (nets.blends()) {
        other.emplace(*nets.other, columns, from == 0, wanted,
                      [&](const i16* levels, std::size_t quarter) { blend.other(levels, quarter); });
    }
    SynthesisStream synthesis(nets.alone(), columns, from == 0, wanted, [&](const i16* levels, std::size_t quarter) {
        other ? blend.own(levels) : paint(levels, quarter);
    });
    std::size_t pushed = 0;
    const RowSink sink = [&](const i16* y_hat, std::size_t stride, std::size_t at_row) {
        if (at_row >= from && !synthesis.done()) {
            synthesis.push(y_hat, stride, at_row);
            if (other) other->push(y_hat, stride, at_row);
            pushed = at_row + 1;
        }
    };
    detail::LatentStream latents(nets.own, image, part.window, from, sink);
    while (!synthesis.done() && latents.advance()) {
    }
    if (!synthesis.done() && pushed == image.hy) {
        synthesis.finish();
        if (other) other->finish();
    }
}

}  // namespace

void Photo::render(const Image& image, int q, const Canvas& canvas, std::size_t threads, const Style& style) const {
    const Networks nets(*this, q, style);
    const std::size_t reach = synthesis_reach(parts_->bodies.size(), parts_->details.size());
    const std::size_t top = canvas.top / kStride, rows = (canvas.bottom + kStride - 1) / kStride - top;
    const std::vector<Part> parts = parts_of(image, canvas, halo());
    const std::size_t strips = std::max<std::size_t>(1, std::min(threads, rows / kStripRows));
    in_threads(parts.size() * strips, threads, [&](std::size_t n) {
        Part part = parts[n / strips];
        const std::size_t strip = n % strips;
        if (strip > 0) part.canvas.top = (top + rows * strip / strips) * kStride;
        if (strip + 1 < strips) part.canvas.bottom = (top + rows * (strip + 1) / strips) * kStride;
        part.canvas.data += (part.canvas.top - canvas.top) * canvas.row_stride;
        render_strip(nets, image, part, reach);
    });
}

void Photo::quantise(const Image& image, int q, const Choice& choice, std::size_t threads) const {
    const Parts::At at(*parts_, q);
    const Window window{0, image.wy};
    in_strips(image.hy, kStripRows, threads, [&](std::size_t begin, std::size_t end) {
        Choice own = choice;
        own.begin = begin, own.end = end;
        std::size_t known = 0;
        const RowSink sink = [&](const i16* y_hat, std::size_t stride, std::size_t row) {
            known = row + 1;
            if (!choice.y_hat || row < begin || row >= end) return;
            for (std::size_t p = 0; p < image.wy; ++p)
                std::copy_n(y_hat + p * stride, parts_->latent, choice.y_hat + (row * image.wy + p) * parts_->latent);
        };
        detail::LatentStream latents(at, image, window, begin, sink, &own);
        while (known < end && latents.advance()) {
        }
    });
}

void Photo::latents(const Image& image, int q, i16* y_hat) const {
    const Parts::At at(*parts_, q);
    const Window window{0, image.wy};
    const RowSink sink = [&](const i16* row, std::size_t stride, std::size_t index) {
        for (std::size_t m = 0; m < parts_->latent; ++m) {
            for (std::size_t p = 0; p < image.wy; ++p)
                y_hat[(m * image.hy + index) * image.wy + p] = row[p * stride + m];
        }
    };
    detail::LatentStream latents(at, image, window, 0, sink);
    while (latents.advance()) {
    }
}

}  // namespace lic::nn

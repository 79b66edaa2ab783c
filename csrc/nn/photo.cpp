#include "photo.h"

#include <array>
#include <atomic>
#include <exception>
#include <functional>
#include <system_error>
#include <thread>

#include "stream.h"

namespace lic::nn {
namespace {

constexpr std::size_t kCell = 4;                  // latent positions to a hyper position, on a side
constexpr std::size_t kStride = 16;               // pixels to a latent position, on a side
constexpr std::size_t kRows = 8;                  // rows of the latent grid that refinement holds
constexpr std::size_t kReach = 2;                 // columns beyond the edges that its kernels meet
constexpr std::size_t kGroups = 4;                // of positions (FORMAT 8.2)
constexpr int kPriorLog = 554, kRefineLog = 185;  // 256 * 1.5 / ln 2 and 256 * 0.5 / ln 2
constexpr int kOctave = 256, kOctaves = 16;
constexpr int kLevelBits = 4;     // samples are in 1/16 of a level
constexpr std::size_t kOut = 48;  // samples of a position at a quarter of the resolution
constexpr std::size_t kBlocksMax = 64;

struct Group {
    std::size_t row, column;
};
constexpr std::array<Group, kGroups> kGroupAt{{{0, 0}, {1, 1}, {0, 1}, {1, 0}}};
constexpr std::size_t group_of(std::size_t row, std::size_t column) {
    constexpr std::size_t of[2][2] = {{0, 2}, {3, 1}};
    return of[row & 1][column & 1];
}

i16 clip(i32 x) { return static_cast<i16>(std::clamp(x, -32768, 32767)); }

struct RefineGroup {
    Layer enter, spatial, join, expand, contract, mean, step;
};

struct RefineAt {
    Final enter, spatial, join, expand, contract, mean, step;
};

}  // namespace

struct Photo::Weights {
    const Kernels& k;
    std::size_t latent = 0, hyper = 0, body = 0, spread = 0, detail = 0, render_width = 0, points = 0;
    std::vector<Layer> up;
    Layer enter, mean, step;
    Block block;
    std::vector<i32> gain;  // (points, latent)
    std::array<RefineGroup, kGroups> refine;
    std::vector<i16> tanh;
    std::vector<std::uint16_t> exp2;
    Layer synthesis_enter, out;
    std::vector<Block> bodies, details;
    std::vector<Layer> up8, up4, direct;
    Block render;

    Weights(const Tensors& t, const Kernels& kernels);

    struct At;
};

// Everything at a quality.
struct Photo::Weights::At {
    const Weights& w;
    std::vector<Final> up, up8, up4, direct;
    Final enter, mean, step, synthesis_enter, out;
    BlockAt block, render;
    std::vector<BlockAt> bodies, details;
    std::array<RefineAt, kGroups> refine;
    std::vector<i32> gain;

    At(const Weights& weights, int q) : w(weights) {
        const Kernels& k = w.k;
        const auto all = [&](const std::vector<Layer>& layers) {
            std::vector<Final> finals;
            for (const Layer& layer : layers) finals.push_back(layer.at(k, q));
            return finals;
        };
        up = all(w.up), up8 = all(w.up8), up4 = all(w.up4), direct = all(w.direct);
        enter = w.enter.at(k, q), mean = w.mean.at(k, q), step = w.step.at(k, q);
        synthesis_enter = w.synthesis_enter.at(k, q), out = w.out.at(k, q);
        block = nn::at(w.block, k, q), render = nn::at(w.render, k, q);
        for (const Block& b : w.bodies) bodies.push_back(nn::at(b, k, q));
        for (const Block& b : w.details) details.push_back(nn::at(b, k, q));
        for (std::size_t g = 1; g < kGroups; ++g) {
            const RefineGroup& r = w.refine[g];
            refine[g] = {r.enter.at(k, q),    r.spatial.at(k, q), r.join.at(k, q), r.expand.at(k, q),
                         r.contract.at(k, q), r.mean.at(k, q),    r.step.at(k, q)};
        }
        const RatePoint rate = rate_point(q, w.points);
        gain.resize(w.latent);
        for (std::size_t m = 0; m < w.latent; ++m) {
            const i32 low = w.gain[rate.low * w.latent + m], high = w.gain[(rate.low + (w.points > 1)) * w.latent + m];
            gain[m] = static_cast<i32>(lerp(low, high, rate.part));
        }
    }
};

Photo::Weights::Weights(const Tensors& t, const Kernels& kernels) : k(kernels) {
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
        RefineGroup& r = refine[g];
        r.enter = read_layer(k, t, name + ".enter", body, body + latent);
        r.spatial = read_depthwise(k, t, name + ".spatial", body, g == 1 ? 3 : 5);
        r.join = read_layer(k, t, name + ".join", body, body);
        r.expand = read_layer(k, t, name + ".expand", 2 * body, body);
        r.contract = read_layer(k, t, name + ".contract", body, 2 * body);
        r.mean = read_layer(k, t, name + ".mean", latent, body);
        r.step = read_layer(k, t, name + ".step", latent, body);
    }
    const i16* h = t.get<i16>("tanh", {257});
    tanh.assign(h, h + 257);
    for (const i16 value : tanh) {
        if (value < 0) throw BadModel("a value of tanh is below 0");
    }
    const std::uint16_t* e = t.get<std::uint16_t>("exp2", {kOctave});
    exp2.assign(e, e + kOctave);
    synthesis_enter = read_layer(k, t, "synthesis.enter", body, latent);
    const auto blocks = [&](const std::string& prefix, std::size_t of) {
        std::vector<Block> list;
        while (list.size() < kBlocksMax && t.has(prefix + std::to_string(list.size()) + ".mix.weight")) {
            list.push_back(read_block(k, t, prefix + std::to_string(list.size()), of));
        }
        return list;
    };
    bodies = blocks("synthesis.body", body);
    details = blocks("synthesis.detail", detail);
    up8 = read_shuffled(k, t, "synthesis.up8", detail, body, 2);
    up4 = read_shuffled(k, t, "synthesis.up4", render_width, detail, 2);
    render = read_block(k, t, "synthesis.render", render_width);
    // A position's 48 samples stand as rows of pixels: output u * 12 + v * 3 + c is sample (u, v) of band c.
    std::vector<std::size_t> order(kOut);
    for (std::size_t n = 0; n < kOut; ++n) order[n] = n % 3 * 16 + n / 12 * 4 + n % 12 / 3;
    out = read_layer(k, t, "synthesis.out", kOut, render_width, order);
    for (std::size_t a = 0; a < kCell; ++a) {  // the linear path: a row of four such positions for each a
        std::vector<std::size_t> places(kCell * kOut);
        for (std::size_t n = 0; n < places.size(); ++n) places[n] = order[n % kOut] * 16 + a * kCell + n / kOut;
        direct.push_back(read_layer(k, t, "synthesis.direct", kOut * 16, latent, places));
    }
}

namespace {

using RowSink = std::function<void(const i16* y_hat, std::size_t stride, std::size_t row)>;

// ---------------------------------------------------------------------------------------------------------------------
// FORMAT 8.2: y_hat

// What the columns of a decode are: [first, first + columns) of the latent grid, first a multiple of 4.
struct Window {
    std::size_t first, columns;
    std::size_t hyper_columns() const { return (columns + kCell - 1) / kCell; }
};

}  // namespace

namespace detail {

// Rows of features, mean and step in, rows of y_hat out, four later at most.
class Refinement {
 public:
    Refinement(const Photo::Weights::At& at, const Image& image, const Window& window, bool top, std::size_t first,
               const RowSink& sink);
    void push(const i16* features, std::size_t row);  // of the prior, (columns, body)
    void finish();                                    // after the image's last row

 private:
    void arrive(std::size_t row);
    void first_group(std::size_t row);
    void enter(std::size_t group, std::size_t row);
    void refine(std::size_t group, std::size_t row);
    void combine(std::size_t row, std::size_t column, const i32* change, const i16* step);
    bool exists(std::size_t row) const { return row >= first_ && row < image_.hy; }
    i32 tanh(i32 x) const;
    i16* combined(std::size_t row) { return combined_.row(row); }

    const Photo::Weights::At& at_;
    const Photo::Weights& w_;
    const Kernels& k_;
    const Image& image_;
    Window window_;
    bool top_;
    std::size_t first_, stride_;  // stride_: of a position of `combined`
    const RowSink& sink_;
    Ring<i16> combined_, step_, r_;  // combined: features and y_hat of each position
    Ring<i32> mean_;
    std::array<Ring<i16>, kGroups> entered_;
    Ring<i16> zero_;
    Aligned<i16> spatial_, x_, expand_, change_step_;
    Aligned<i32> change_;
};

Refinement::Refinement(const Photo::Weights::At& at, const Image& image, const Window& window, bool top,
                       std::size_t first, const RowSink& sink)
    : at_(at),
      w_(at.w),
      k_(at.w.k),
      image_(image),
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
    for (std::size_t g = 1; g < kGroups; ++g)
        entered_[g] = Ring<i16>(kRows, window.columns * w_.body, kReach * w_.body);
    spatial_ = Aligned<i16>(most * w_.body), x_ = Aligned<i16>(most * w_.body),
    expand_ = Aligned<i16>(most * 2 * w_.body);
    change_ = Aligned<i32>(most * w_.latent), change_step_ = Aligned<i16>(most * w_.latent);
}

void Refinement::push(const i16* features, std::size_t row) {
    const std::size_t n = window_.columns, M = w_.latent, F = w_.body;
    i16* to = combined(row);
    for (std::size_t p = 0; p < n; ++p) std::copy_n(features + p * F, F, to + p * stride_);
    const auto s = static_cast<std::ptrdiff_t>(F), m = static_cast<std::ptrdiff_t>(M);
    k_.product({features, s, n, F, &w_.mean.packed, &at_.mean, mean_.row(row), m, Store::wide});
    k_.product({features, s, n, F, &w_.step.packed, &at_.step, step_.row(row), m, Store::plain});
    i16* r = r_.row(row);
    for (std::size_t c = 0; c < M; ++c) {
        const i16* from = image_.r.at(c, row, window_.first);
        for (std::size_t p = 0; p < n; ++p) r[p * M + c] = from[p];
    }
    arrive(row);
}

void Refinement::finish() {
    for (std::size_t row = image_.hy; row <= image_.hy + 2; ++row) arrive(row);
}

// Row `row` of the prior is there, or the image has ended above it. Even rows set off all that has become possible.
void Refinement::arrive(std::size_t row) {
    if (row % 2) return enter(1, row);
    if (exists(row)) first_group(row);
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
        if (row >= back && exists(row - back) && (top_ || row - back >= first_ + 2))
            sink_(combined(row - back) + w_.body, stride_, row - back);
    }
}

void Refinement::first_group(std::size_t row) {
    for (std::size_t p = 0; p < window_.columns; p += 2) combine(row, p, nullptr, nullptr);
}

// The first layer of a group's network over a row: it knows y_hat at the positions of earlier groups alone.
void Refinement::enter(std::size_t group, std::size_t row) {
    Ring<i16>& ring = entered_[group];
    if (!exists(row)) return ring.clear(row);
    for (std::size_t column = 0; column < 2 && column < window_.columns; ++column) {
        const bool known = group_of(row, column) < group;
        k_.product({combined(row) + column * stride_, static_cast<std::ptrdiff_t>(2 * stride_),
                    (window_.columns - column + 1) / 2, known ? stride_ : w_.body, &w_.refine[group].enter.packed,
                    &at_.refine[group].enter, ring.row(row) + column * w_.body,
                    static_cast<std::ptrdiff_t>(2 * w_.body), Store::leaky});
    }
}

void Refinement::refine(std::size_t group, std::size_t row) {
    const std::size_t column = kGroupAt[group].column;
    if (!exists(row) || window_.columns <= column) return;
    const std::size_t n = (window_.columns - column + 1) / 2, F = w_.body, M = w_.latent, reach = group == 1 ? 1 : 2;
    const auto f = static_cast<std::ptrdiff_t>(F), m = static_cast<std::ptrdiff_t>(M);
    const RefineGroup& net = w_.refine[group];
    const RefineAt& at = at_.refine[group];
    std::array<const i16*, 5> rows{};
    for (std::size_t u = 0; u < 2 * reach + 1; ++u) {
        // Rows above the image, and those above the chain's first, are zero; rows below it have been cleared.
        i16* one = row + u < reach + first_ ? zero_.row(0) : entered_[group].row(row + u - reach);
        rows[u] = one + (static_cast<std::ptrdiff_t>(column) - static_cast<std::ptrdiff_t>(reach)) * f;
    }
    k_.depthwise({rows.data(), 2 * reach + 1, 2, n, F, &net.spatial.packed, &at.spatial, spatial_.data()});
    for (std::size_t p = 0; p < n; ++p) std::copy_n(combined(row) + (column + 2 * p) * stride_, F, x_.data() + p * F);
    k_.product({spatial_.data(), f, n, F, &net.join.packed, &at.join, x_.data(), f, Store::add});
    k_.product({x_.data(), f, n, F, &net.expand.packed, &at.expand, expand_.data(), 2 * f, Store::leaky});
    k_.product({expand_.data(), 2 * f, n, 2 * F, &net.contract.packed, &at.contract, x_.data(), f, Store::add});
    k_.product({x_.data(), f, n, F, &net.mean.packed, &at.mean, change_.data(), m, Store::wide});
    k_.product({x_.data(), f, n, F, &net.step.packed, &at.step, change_step_.data(), m, Store::plain});
    for (std::size_t p = 0; p < n; ++p)
        combine(row, column + 2 * p, change_.data() + p * M, change_step_.data() + p * M);
}

i32 Refinement::tanh(i32 x) const {
    const i32 size = std::min(std::abs(x), 32767), at = size >> 7, part = size & 127;
    const i32 value = w_.tanh[static_cast<std::size_t>(at)] +
                      ((w_.tanh[static_cast<std::size_t>(at) + 1] - w_.tanh[static_cast<std::size_t>(at)]) * part >> 7);
    return x < 0 ? -value : value;
}

// y_hat at a position, from its mean, its r and its step; change and step: of the group's network, null for the first
// group.
void Refinement::combine(std::size_t row, std::size_t column, const i32* change, const i16* step) {
    const std::size_t M = w_.latent;
    const i32* mean = mean_.row(row) + column * M;
    const i16 *r = r_.row(row) + column * M, *log = step_.row(row) + column * M;
    i16* y = combined(row) + column * stride_ + w_.body;
    if (change) {
        for (std::size_t m = 0; m < M; ++m) y[m] = clip((mean[m] + change[m] + 8) >> 4);
    } else {
        for (std::size_t m = 0; m < M; ++m) y[m] = clip((mean[m] + 8) >> 4);
    }
    for (std::size_t m = 0; m < M; ++m) {
        if (r[m] == 0) continue;
        i32 l = at_.gain[m] + ((tanh(log[m]) * kPriorLog + (1 << 14)) >> 15);
        if (step) l += (tanh(step[m]) * kRefineLog + (1 << 14)) >> 15;
        l = std::clamp(l, -kOctaves * kOctave, kOctaves * kOctave - 1);
        const i64 product = i64{r[m]} * w_.exp2[static_cast<std::size_t>(l & (kOctave - 1))];
        const auto moved = static_cast<i32>(std::clamp<i64>(product >> (15 - (l >> 8)), -kMeanMost, kMeanMost));
        y[m] = clip((mean[m] + (change ? change[m] : 0) + moved + 8) >> 4);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// From v to rows of y_hat

class LatentStream {
 public:
    // Rows from `from` on at the latest come to the sink.
    LatentStream(const Photo::Weights::At& at, const Image& image, const Window& window, std::size_t from,
                 const RowSink& sink)
        : at_(at),
          w_(at.w),
          k_(at.w.k),
          image_(image),
          window_(window),
          hyper_row_(from < 2 * kCell ? 0 : from / kCell - 1),
          columns_(window.hyper_columns() * kCell),
          block_(k_, at.block, columns_, hyper_row_ == 0),
          refinement_(at, image, window, hyper_row_ == 0, hyper_row_ == 0 ? 0 : hyper_row_ * kCell + 2, sink),
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
            k_.product({hyper_.data(), static_cast<std::ptrdiff_t>(C), n, C, &w_.up[place].packed, &at_.up[place],
                        spread_[place / kCell].data() + place % kCell * S, static_cast<std::ptrdiff_t>(kCell * S),
                        Store::plain});
        }
        const auto take = [this](const i16* features, std::size_t row) {
            // The prior sees whole cells; what lies beyond the latent grid ends here. So does the row that a chain
            // inside the image begins with.
            if (row < image_.hy && (hyper_from_top() || row >= refine_from())) refinement_.push(features, row);
        };
        for (std::size_t u = 0; u < kCell; ++u) {
            k_.product({spread_[u].data(), static_cast<std::ptrdiff_t>(S), columns_, S, &w_.enter.packed, &at_.enter,
                        entered_.data(), static_cast<std::ptrdiff_t>(w_.body), Store::plain});
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

    const Photo::Weights::At& at_;
    const Photo::Weights& w_;
    const Kernels& k_;
    const Image& image_;
    Window window_;
    std::size_t hyper_row_, begin_ = hyper_row_, columns_;
    BlockStream block_;
    Refinement refinement_;
    Aligned<i16> hyper_, entered_;
    std::array<Aligned<i16>, kCell> spread_;
};

// ---------------------------------------------------------------------------------------------------------------------
// FORMAT 8.3: from rows of y_hat to samples

class SynthesisStream {
 public:
    SynthesisStream(const Photo::Weights::At& at, const Window& window, const Canvas& canvas, bool top)
        : at_(at),
          w_(at.w),
          k_(at.w.k),
          window_(window),
          canvas_(canvas),
          held_(w_.bodies.size() + w_.details.size() / 2 + 4),
          y_(held_, window.columns * w_.latent, 0),
          x16_(window.columns * w_.body),
          x8_(2 * window.columns * w_.detail),
          x4_(4 * window.columns * w_.render_width),
          render_(k_, at.render, 4 * window.columns, top) {
        for (const BlockAt& b : at.bodies) bodies_.emplace_back(k_, b, window.columns, top);
        for (const BlockAt& b : at.details) details_.emplace_back(k_, b, 2 * window.columns, top);
        for (Aligned<i16>& row : direct_) row = Aligned<i16>(4 * window.columns * kOut);
    }

    void push(const i16* y_hat, std::size_t stride, std::size_t row) {
        const std::size_t n = window_.columns, M = w_.latent;
        i16* y = y_.row(row);
        for (std::size_t p = 0; p < n; ++p) std::copy_n(y_hat + p * stride, M, y + p * M);
        k_.product({y, static_cast<std::ptrdiff_t>(M), n, M, &w_.synthesis_enter.packed, &at_.synthesis_enter,
                    x16_.data(), static_cast<std::ptrdiff_t>(w_.body), Store::plain});
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

    // Whether all rows of pixels of the canvas are there.
    bool done() const { return finished_; }

 private:
    void body(std::size_t k, const i16* x, std::size_t row) {
        if (k < bodies_.size())
            return bodies_[k].push(x, row, [&](const i16* y, std::size_t at) { body(k + 1, y, at); });
        for (std::size_t u = 0; u < 2; ++u) {
            spread(w_.up8, at_.up8, x, w_.body, window_.columns, u, x8_.data(), w_.detail);
            detail(0, x8_.data(), 2 * row + u);
        }
    }

    void detail(std::size_t k, const i16* x, std::size_t row) {
        if (k < details_.size())
            return details_[k].push(x, row, [&](const i16* y, std::size_t at) { detail(k + 1, y, at); });
        for (std::size_t u = 0; u < 2; ++u) {
            spread(w_.up4, at_.up4, x, w_.detail, 2 * window_.columns, u, x4_.data(), w_.render_width);
            render_.push(x4_.data(), 2 * row + u, [&](const i16* y, std::size_t at) { samples(y, at); });
        }
    }

    // Row u of two that a row becomes, twice as wide.
    void spread(const std::vector<Layer>& layers, const std::vector<Final>& finals, const i16* x, std::size_t inputs,
                std::size_t positions, std::size_t u, i16* out, std::size_t outputs) const {
        for (std::size_t v = 0; v < 2; ++v) {
            k_.product({x, static_cast<std::ptrdiff_t>(inputs), positions, inputs, &layers[2 * u + v].packed,
                        &finals[2 * u + v], out + v * outputs, static_cast<std::ptrdiff_t>(2 * outputs), Store::plain});
        }
    }

    // Row `row` at a quarter of the resolution: four rows of pixels.
    void samples(const i16* x, std::size_t row) {
        if (4 * row + 4 <= canvas_.top || 4 * row >= canvas_.bottom) return;
        const std::size_t latent_row = row / kCell, n = window_.columns, M = w_.latent;
        if (!direct_known_ || direct_row_ != latent_row) {
            for (std::size_t a = 0; a < kCell; ++a) {
                k_.product({y_.row(latent_row), static_cast<std::ptrdiff_t>(M), n, M, &w_.direct[a].packed,
                            &at_.direct[a], direct_[a].data(), static_cast<std::ptrdiff_t>(kCell * kOut),
                            Store::plain});
            }
            direct_row_ = latent_row, direct_known_ = true;
        }
        i16* levels = direct_[row % kCell].data();
        k_.product({x, static_cast<std::ptrdiff_t>(w_.render_width), 4 * n, w_.render_width, &w_.out.packed, &at_.out,
                    levels, static_cast<std::ptrdiff_t>(kOut), Store::add});
        for (std::size_t u = 0; u < kCell; ++u) {
            const std::size_t y = 4 * row + u;
            if (y >= canvas_.top && y < canvas_.bottom)
                pixels(levels + u * 12, canvas_.data + (y - canvas_.top) * canvas_.row_stride);
        }
        finished_ = 4 * row + 4 >= canvas_.bottom;
    }

    // A row of pixels from levels: 12 of each position's 48.
    void pixels(const i16* levels, std::uint8_t* to) const {
        const std::size_t first = window_.first * kStride;  // pixel of the window's left edge
        const std::size_t begin = canvas_.left - first, end = canvas_.right - first;
        constexpr i32 kHalf = 1 << (kLevelBits - 1), kMost = 255 << kLevelBits;
        if (canvas_.bands == 1) {
            for (std::size_t x = begin; x < end; ++x) {
                const i16* p = levels + x / 4 * kOut + x % 4 * 3;
                const i32 sum =
                    std::clamp<i32>(p[0], 0, kMost) + std::clamp<i32>(p[1], 0, kMost) + std::clamp<i32>(p[2], 0, kMost);
                *to++ = static_cast<std::uint8_t>((sum + 24) / 48);
            }
            return;
        }
        const auto level = [](i32 p) {
            return static_cast<std::uint8_t>(std::clamp((p + kHalf) >> kLevelBits, 0, 255));
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

    const Photo::Weights::At& at_;
    const Photo::Weights& w_;
    const Kernels& k_;
    Window window_;
    Canvas canvas_;
    std::size_t held_;  // rows of y_hat that the linear path may still ask for
    Ring<i16> y_;
    Aligned<i16> x16_, x8_, x4_;
    BlockStream render_;
    std::vector<BlockStream> bodies_, details_;
    std::array<Aligned<i16>, kCell> direct_;
    std::size_t direct_row_ = 0;
    bool direct_known_ = false, finished_ = false;
};

}  // namespace detail

namespace {

// Latent rows and columns beyond a box: of synthesis, and of refinement and prior as well.
std::size_t synthesis_reach(std::size_t bodies, std::size_t details) { return bodies + (details + 1) / 2 + 1; }
constexpr std::size_t kLatentReach = 6;

}  // namespace

Photo::Photo(const Tensors& tensors, const Kernels& kernels) : weights_(std::make_unique<Weights>(tensors, kernels)) {}
Photo::~Photo() = default;
Photo::Photo(Photo&&) noexcept = default;
std::size_t Photo::latent() const { return weights_->latent; }
std::size_t Photo::hyper() const { return weights_->hyper; }
std::size_t Photo::halo() const {
    return synthesis_reach(weights_->bodies.size(), weights_->details.size()) + kLatentReach;
}

void Photo::render(const Image& image, int q, const Canvas& canvas, std::size_t threads) const {
    const Weights::At at(*weights_, q);
    const std::size_t margin = halo(), left = canvas.left / kStride, right = (canvas.right + kStride - 1) / kStride;
    const std::size_t first = left < margin ? 0 : (left - margin) / kCell * kCell;
    const std::size_t end = std::min(image.wy, (right + margin + kCell - 1) / kCell * kCell);
    const Window window{first, end - first};
    const std::size_t top = canvas.top / kStride, bottom = (canvas.bottom + kStride - 1) / kStride, rows = bottom - top;
    const std::size_t strips = std::max<std::size_t>(1, std::min(threads, rows / 4));
    const auto strip = [&](std::size_t number) {
        Canvas part = canvas;
        if (number > 0) part.top = (top + rows * number / strips) * kStride;
        if (number + 1 < strips) part.bottom = (top + rows * (number + 1) / strips) * kStride;
        part.data += (part.top - canvas.top) * canvas.row_stride;
        const std::size_t reach = synthesis_reach(weights_->bodies.size(), weights_->details.size()),
                          row = part.top / kStride;
        const std::size_t from = row < reach ? 0 : row - reach;
        detail::SynthesisStream synthesis(at, window, part, from == 0);
        std::size_t pushed = 0;
        const RowSink sink = [&](const i16* y_hat, std::size_t stride, std::size_t at_row) {
            if (at_row >= from && !synthesis.done()) {
                synthesis.push(y_hat, stride, at_row);
                pushed = at_row + 1;
            }
        };
        detail::LatentStream latents(at, image, window, from, sink);
        while (!synthesis.done() && latents.advance()) {
        }
        if (!synthesis.done() && pushed == image.hy) synthesis.finish();
    };
    std::vector<std::thread> others;
    std::vector<std::exception_ptr> errors(strips);
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
        for (std::size_t number = next++; number < strips; number = next++) {
            try {
                strip(number);
            } catch (...) {
                errors[number] = std::current_exception();
            }
        }
    };
    try {
        for (std::size_t t = 1; t < strips; ++t) others.emplace_back(work);
    } catch (const std::system_error&) {  // no more threads to be had: those that are there do it all
    }
    work();
    for (std::thread& thread : others) thread.join();
    for (const std::exception_ptr& error : errors) {
        if (error) std::rethrow_exception(error);
    }
}

void Photo::latents(const Image& image, int q, i16* y_hat) const {
    const Weights::At at(*weights_, q);
    const Window window{0, image.wy};
    const RowSink sink = [&](const i16* row, std::size_t stride, std::size_t index) {
        for (std::size_t m = 0; m < weights_->latent; ++m) {
            for (std::size_t p = 0; p < image.wy; ++p)
                y_hat[(m * image.hy + index) * image.wy + p] = row[p * stride + m];
        }
    };
    detail::LatentStream latents(at, image, window, 0, sink);
    while (latents.advance()) {
    }
}

}  // namespace lic::nn

#include "photo.h"

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <optional>

#include "../threads.h"
#include "latent_stream.h"
#include "synthesis.h"

namespace lic::nn {
namespace {

constexpr std::size_t kColumnsMost = 512;  // of the latent grid that are rendered at once, without their margin
constexpr std::size_t kBlocksMax = 64;
constexpr i32 kStrengthMost = 255;  // of a style

// For every i16, as an index of 16 bits: `most` times the hyperbolic tangent, which a table of steps gives
// (FORMAT 8.2).
std::vector<i16> logs_of(const i16* tanh, i32 most) {
    std::vector<i16> logs(1 << 16);
    for (i32 x = -32768; x < 32768; ++x) {
        const i32 size = std::min(std::abs(x), 32767), at = size >> LIC_TANH_STEP_BITS,
                  part = size & ((1 << LIC_TANH_STEP_BITS) - 1);
        const i32 value = tanh[at] + ((tanh[at + 1] - tanh[at]) * part >> LIC_TANH_STEP_BITS);
        const i32 all = (x < 0 ? -value : value) * most + (1 << (LIC_MANTISSA_BITS - 1));
        logs[static_cast<std::uint16_t>(x)] = static_cast<i16>(all >> LIC_MANTISSA_BITS);
    }
    return logs;
}

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
    if (std::any_of(h, h + LIC_TANH_STEPS + 1, [](i16 value) { return value < 0; }))
        throw BadModel("a value of tanh is below 0");
    prior_log = logs_of(h, LIC_PRIOR_LOG);
    refine_log = logs_of(h, LIC_REFINE_LOG);
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
    if (t.has("synthesis.noise.weight")) noise = read_layer(k, t, "synthesis.noise", detail, LIC_NOISE_CHANNELS);
    up4 = read_shuffled(k, t, "synthesis.up4", render_width, detail, 2, true);
    render = read_block(k, t, "synthesis.render", render_width, true);
    const std::vector<std::size_t> order = quarter_order();
    out = read_layer(k, t, "synthesis.out", kOut, render_width, order, true);
    for (std::size_t a = 0; a < kCell; ++a) {  // the linear path: a row of four such positions for each a
        std::vector<std::size_t> places(kCell * kOut);
        for (std::size_t n = 0; n < places.size(); ++n) places[n] = order[n % kOut] * 16 + a * kCell + n / kOut;
        direct.push_back(read_layer(k, t, "synthesis.direct", kOut * 16, latent, places, true));
    }
}

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

// The same of samples of more than 8 bits.
void deep_pixels(const i16* levels, const Window& window, const Canvas& canvas, std::uint16_t* to) {
    const std::size_t first = window.first * kStride;
    constexpr i32 kMost = 255 << LIC_SAMPLE_BITS;
    const i32 most = (1 << canvas.depth) - 1;  // times three of kMost: below 2^31
    for (std::size_t x = canvas.left - first; x < canvas.right - first; ++x) {
        const i16* p = levels + x / 4 * kOut + x % 4 * 3;
        const i32 q[3] = {std::clamp<i32>(p[0], 0, kMost), std::clamp<i32>(p[1], 0, kMost),
                          std::clamp<i32>(p[2], 0, kMost)};
        if (canvas.bands == 1) {
            *to++ = static_cast<std::uint16_t>(((q[0] + q[1] + q[2]) * most + 3 * kMost / 2) / (3 * kMost));
        } else {
            for (const i32 one : q) *to++ = static_cast<std::uint16_t>((one * most + kMost / 2) / kMost);
        }
    }
}

// Row `quarter` at a quarter of the resolution: four rows of pixels.
void rows_of_pixels(const i16* levels, std::size_t quarter, const Window& window, const Canvas& canvas) {
    for (std::size_t u = 0; u < 4; ++u) {
        const std::size_t y = 4 * quarter + u;
        if (y < canvas.top || y >= canvas.bottom) continue;
        std::uint8_t* to = canvas.data + (y - canvas.top) * canvas.row_stride;
        if (canvas.depth > LIC_DEPTH_MIN) {
            deep_pixels(levels + u * 12, window, canvas, reinterpret_cast<std::uint16_t*>(to));
        } else {
            pixels(levels + u * 12, window, canvas, to);
        }
    }
}

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
        part.data += (part.left - canvas.left) * canvas.pixel_bytes();
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
    Noise noise;

    Networks(const Photo& photo, int q, const Style& style) : own(photo.parts(), q), noise(style.noise) {
        if (style.other && style.strength > 0) other.emplace(style.other->parts(), q), strength = style.strength;
    }
    // What is rendered where nothing is blended.
    const Photo::Parts::At& alone() const { return other && strength == kStrengthMost ? *other : own; }
    bool blends() const { return strength > 0 && strength < kStrengthMost; }
};

// A strip of a part's rows; `reach` of the synthesis.
void render_strip(const Networks& nets, const Image& image, const Part& part, std::size_t reach) {
    const std::size_t row = part.canvas.top / kStride, from = row < reach ? 0 : row - reach;
    const std::size_t columns = part.window.columns;
    const Quarters wanted{part.canvas.top / 4, (part.canvas.bottom + 3) / 4};
    const Noise noise{nets.noise.seed, nets.noise.row, nets.noise.column + part.window.first};
    const LevelSink paint = [&](const i16* levels, std::size_t quarter) {
        rows_of_pixels(levels, quarter, part.window, part.canvas);
    };
    Blend blend(nets.strength, 4 * columns * kOut, paint);
    std::optional<SynthesisStream> other;
    if (nets.other && nets.blends()) {
        other.emplace(
            *nets.other, columns, from == 0, wanted,
            [&](const i16* levels, std::size_t quarter) { blend.other(levels, quarter); }, nullptr, &noise);
    }
    const LevelSink own = [&](const i16* levels, std::size_t quarter) {
        other ? blend.own(levels) : paint(levels, quarter);
    };
    SynthesisStream synthesis(nets.alone(), columns, from == 0, wanted, own, nullptr,
                              &nets.alone() == &nets.own ? nullptr : &noise);
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

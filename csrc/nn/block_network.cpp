#include "block_network.h"

#include "../threads.h"
#include "stream.h"

namespace lic::nn {
namespace {

constexpr std::size_t kConditions = 2 * kBlock + 2;     // logarithms of both tables; whether chroma is halved, is there
constexpr std::size_t kDepthMax = 64, kHeldMost = 512;  // blocks of the network; channels
constexpr std::size_t kLow = 10;                        // coefficients whose mean step is the unit of rendered samples
constexpr i32 kOne = 1 << 12;                           // 1 among the network's inputs
constexpr i32 kLevelsMost = 3;                          // levels beyond look alike
constexpr int kToneBits = 14;                           // of a tone's factor less 1
constexpr i32 kToneMost = 4 << kToneBits;
constexpr int kShiftBits = LIC_SCALE_BITS - 3;  // a tone's shift counts in eighths of what it is added to
constexpr i64 kBiasMost = i64{1} << 42;         // of layers whose bias is multiplied, by less than 2^20

// 1024 times the logarithm to base 2, rounded down.
i32 log2_of(std::uint32_t n) {
    i32 whole = 31;
    while (!(n >> whole)) --whole;
    std::uint64_t part = std::uint64_t{n} << (31 - whole);  // 1 to below 2, in 1/2^31
    i32 found = whole;
    for (int bit = 0; bit < 10; ++bit) {
        part = part * part >> 31;
        const auto above = static_cast<i32>(part >> 32);
        part >>= above;
        found = 2 * found + above;
    }
    return found;
}

i32 narrowed(i64 value) { return static_cast<i32>(std::clamp<i64>(value, INT32_MIN, INT32_MAX)); }

struct ToneBlock {
    Layer depthwise, tone, out, back;
};

void check_bias(const Layer& layer, const std::string& name) {
    for (const i64 bias : layer.bias) {
        if (bias < -kBiasMost || bias > kBiasMost) throw BadModel("a bias of " + name + " is beyond 2^42");
    }
}

// A layer whose scale and bias are those of the tables, times numerator / denominator for each output.
LayerAt times(const Layer& layer, const Kernels& k, const std::vector<i64>& numerator, i64 denominator) {
    std::vector<i32> scale(layer.outputs);
    std::vector<i64> bias(layer.outputs);
    for (std::size_t n = 0; n < layer.outputs; ++n) {
        const i64 by = numerator[n % numerator.size()];
        scale[n] = narrowed(layer.scale[n] * by / denominator);
        bias[n] = layer.bias[n] * by / denominator;
    }
    return {layer, k, scale, bias};
}

}  // namespace

struct BlockNetwork::Parts {
    const Kernels& k;
    Transform transform;
    std::size_t body, detail, tone, rendered;
    Layer conditions, tones, enter, coefficients, chroma, samples, render;
    std::vector<Layer> up;
    std::vector<ToneBlock> bodies, details;

    Parts(const Tensors& t, const Kernels& kernels, std::size_t samples_of_quarter)
        : k(kernels),
          transform(kernels),
          body(width(t, "enter.weight")),
          detail(width(t, "samples.weight")),
          tone(width(t, "tones.weight")),
          rendered(samples_of_quarter),
          conditions(one(t, "conditions", width(t, "conditions.weight"), kConditions)),
          tones(one(t, "tones", tone, conditions.outputs)),
          enter(one(t, "enter", body, kFolded)),
          coefficients(one(t, "coefficients", kBlock, body)),
          chroma(one(t, "chroma", 2 * kBlock, body)),
          samples(one(t, "samples", detail, kQuarter)),
          render(one(t, "render", rendered, detail)),
          up(read_shuffled(k, t, "up", detail, body, 2)),
          bodies(blocks(t, "body", body)),
          details(blocks(t, "detail", detail)) {
        check_bias(coefficients, "coefficients");
        check_bias(chroma, "chroma");
        check_bias(render, "render");
        for (const Layer& layer : up) check_one(layer, "up");
    }

    static std::size_t width(const Tensors& t, const std::string& name) {
        const std::size_t n = t.side(name, 0);
        if (n < 2 || n > kHeldMost || n % 2)
            throw BadModel("the tensor " + name + " has " + std::to_string(n) + " rows, want 2 to 512, an even number");
        return n;
    }

    static void check_one(const Layer& layer, const std::string& name) {
        if (layer.points != 1) throw BadModel("the table " + name + ".scale has more than one row");
    }

    Layer one(const Tensors& t, const std::string& name, std::size_t outputs, std::size_t inputs) const {
        Layer layer = read_layer(k, t, name, outputs, inputs);
        check_one(layer, name);
        return layer;
    }

    std::vector<ToneBlock> blocks(const Tensors& t, const std::string& part, std::size_t channels) const {
        std::vector<ToneBlock> all;
        for (std::size_t n = 0; n < kDepthMax; ++n) {
            const std::string name = part + "." + std::to_string(n);
            if (!t.has(name + ".out.weight")) break;
            ToneBlock block;
            block.depthwise = read_depthwise(k, t, name + ".depthwise", channels, 3);
            check_one(block.depthwise, name + ".depthwise");
            check_bias(block.depthwise, name + ".depthwise");
            block.tone = one(t, name + ".tone", 2 * channels, tone);
            block.out = one(t, name + ".out", 2 * channels, channels);
            block.back = one(t, name + ".back", channels, 2 * channels);
            all.push_back(std::move(block));
        }
        return all;
    }

    // Rows of blocks beyond a strip that it depends on.
    std::size_t halo() const { return bodies.size() + (details.size() + 1) / 2; }
};

namespace {

using Parts = BlockNetwork::Parts;

// A residual block under a file's tone.
struct ToneBlockAt {
    std::size_t width;
    LayerAt depthwise, out, back;

    ToneBlockAt(const ToneBlock& block, const Kernels& k, const i16* tone)
        : width(block.back.outputs),
          depthwise(toned(block, k, tone)),
          out(block.out, k, LIC_QUALITY_MIN),
          back(block.back, k, LIC_QUALITY_MIN) {}

 private:
    static LayerAt toned(const ToneBlock& block, const Kernels& k, const i16* tone) {
        const std::size_t width = block.back.outputs;
        Aligned<i32> found(2 * width);
        run(k, LayerAt(block.tone, k, LIC_QUALITY_MIN), tone, 1, found.data(), Store::wide);
        std::vector<i32> scale(width);
        std::vector<i64> bias(width);
        for (std::size_t n = 0; n < width; ++n) {
            const i64 factor = std::clamp(found.data()[n] + (1 << kToneBits), -kToneMost, kToneMost);
            scale[n] = narrowed((block.depthwise.scale[n] * factor) >> kToneBits);
            bias[n] =
                ((block.depthwise.bias[n] * factor) >> kToneBits) + found.data()[width + n] * (i64{1} << kShiftBits);
        }
        return {block.depthwise, k, scale, bias};
    }
};

// Everything for a file.
struct At {
    const Parts& w;
    const Jpeg& jpeg;
    LayerAt levels, enter, samples, coefficients, chroma, render;
    std::vector<LayerAt> up;
    std::vector<ToneBlockAt> bodies, details;

    At(const Parts& parts, const Jpeg& picture)
        : w(parts),
          jpeg(picture),
          levels(w.transform.by_steps(jpeg.steps[0])),
          enter(w.enter, w.k, LIC_QUALITY_MIN),
          samples(w.samples, w.k, LIC_QUALITY_MIN),
          coefficients(times(w.coefficients, w.k, {jpeg.steps[0].begin(), jpeg.steps[0].end()}, 1)),
          chroma(times(w.chroma, w.k, {low(jpeg.steps[1])}, kLow)),
          render(times(w.render, w.k, {low(jpeg.steps[0])}, kLow)) {
        for (const Layer& layer : w.up) up.emplace_back(layer, w.k, LIC_QUALITY_MIN);
        const Aligned<i16> tone = tone_of();
        for (const ToneBlock& block : w.bodies) bodies.emplace_back(block, w.k, tone.data());
        for (const ToneBlock& block : w.details) details.emplace_back(block, w.k, tone.data());
    }

 private:
    static i64 low(const Steps& steps) {
        i64 sum = 0;
        for (std::size_t n = 0; n < kLow; ++n) sum += steps[n];
        return sum;
    }

    Aligned<i16> tone_of() const {
        Aligned<i16> conditions(kConditions), hidden(w.conditions.outputs), tone(w.tone);
        for (std::size_t n = 0; n < 2 * kBlock; ++n)
            conditions.data()[n] = static_cast<i16>(log2_of(jpeg.steps[n / kBlock][n % kBlock]) - kOne);
        conditions.data()[2 * kBlock] = jpeg.halved ? kOne : 0;
        conditions.data()[2 * kBlock + 1] = jpeg.bands == 3 ? kOne : 0;
        run(w.k, LayerAt(w.conditions, w.k, LIC_QUALITY_MIN), conditions.data(), 1, hidden.data(), Store::leaky);
        run(w.k, LayerAt(w.tones, w.k, LIC_QUALITY_MIN), hidden.data(), 1, tone.data(), Store::leaky);
        return tone;
    }
};

// A residual block: rows in, the same rows out, one later.
class ToneStream {
 public:
    ToneStream(const Kernels& kernels, const ToneBlockAt& block, std::size_t columns, bool top)
        : k_(kernels),
          b_(block),
          columns_(columns),
          values_(columns * block.width),
          x_(values_, block.width, top),
          out_(values_),
          inner_(kChunk * block.width),
          wide_(kChunk * 2 * block.width) {}

    template <class Next>
    void push(const i16* x, std::size_t index, const Next& next) {
        std::copy_n(x, values_, x_.row(index));
        x_.came(index, [&](std::size_t at, const Three<i16>& rows) { hand_on(at, rows, next); });
    }

    // After the image's last row.
    template <class Next>
    void finish(const Next& next) {
        x_.finish([&](std::size_t at, const Three<i16>& rows) { hand_on(at, rows, next); });
    }

 private:
    template <class Next>
    void hand_on(std::size_t index, const Three<i16>& x, const Next& next) {
        std::copy_n(x.own, values_, out_.data());
        for (std::size_t p = 0; p < columns_; p += kChunk) {
            const std::size_t n = std::min(kChunk, columns_ - p), width = b_.width;
            const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(p * width) - static_cast<std::ptrdiff_t>(width);
            const i16* rows[3] = {x.above + at, x.own + at, x.below + at};
            k_.depthwise({rows, 3, 1, n, b_.depthwise.weight, b_.depthwise.final(), inner_.data()});
            run(k_, b_.out, inner_.data(), n, wide_.data(), Store::leaky);
            run(k_, b_.back, wide_.data(), n, out_.data() + p * width, Store::add);
        }
        next(out_.data(), index);
    }

    const Kernels& k_;
    const ToneBlockAt& b_;
    std::size_t columns_, values_;
    Neighbours<i16> x_;
    Aligned<i16> out_, inner_, wide_;
};

// Rows [top, bottom) of blocks.
class Strip {
 public:
    Strip(const At& at, std::size_t top, std::size_t bottom, BlockNetwork::Done done)
        : at_(at),
          w_(at.w),
          k_(at.w.k),
          jpeg_(at.jpeg),
          columns_(at.jpeg.columns()),
          top_(top),
          bottom_(bottom),
          begin_(top - std::min(top, w_.halo())),
          end_(std::min(bottom + w_.halo(), jpeg_.rows())),
          done_(std::move(done)),
          folded_(w_.halo() + 2, columns_ * kFolded, 0),
          coefficients_(w_.halo() + 2, columns_ * kBlock, 0),
          chroma_(w_.halo() + 2, columns_ * 2 * kBlock, 0),
          enter_(columns_ * w_.body),
          near_(2 * columns_ * w_.detail),
          quarters_(2 * columns_ * kQuarter),
          rendered_(4 * columns_ * w_.rendered) {
        for (const ToneBlockAt& block : at.bodies) bodies_.emplace_back(k_, block, columns_, begin_ == 0);
        for (const ToneBlockAt& block : at.details) details_.emplace_back(k_, block, 2 * columns_, begin_ == 0);
    }

    void run_all() {
        for (std::size_t row = begin_; row < end_; ++row) enter(row);
        if (end_ < jpeg_.rows()) return;
        for (std::size_t n = 0; n < bodies_.size(); ++n)
            bodies_[n].finish([&](const i16* x, std::size_t row) { body(n + 1, x, row); });
        for (std::size_t n = 0; n < details_.size(); ++n)
            details_[n].finish([&](const i16* x, std::size_t row) { detail(n + 1, x, row); });
    }

 private:
    void enter(std::size_t row) {
        i16* folded = folded_.row(row);
        fold(jpeg_, row, folded);
        i16* levels = folded + kPlanes * kBlock;
        w_.transform.in_steps(folded, at_.levels, columns_, levels);
        for (std::size_t column = 0; column < columns_; ++column) {
            i16* level = levels + column * kFolded;
            for (std::size_t n = 0; n < kBlock; ++n) {
                const i32 whole = std::clamp((level[n] + kOne / 2) >> 12, -kLevelsMost, kLevelsMost);
                level[n] = static_cast<i16>(whole * kOne);
            }
        }
        run(k_, at_.enter, folded, columns_, enter_.data(), Store::plain);
        body(0, enter_.data(), row);
    }

    void body(std::size_t n, const i16* x, std::size_t row) {
        if (n < bodies_.size())
            return bodies_[n].push(x, row, [&](const i16* y, std::size_t at) { body(n + 1, y, at); });
        run(k_, at_.coefficients, x, columns_, coefficients_.row(row), Store::plain);
        if (jpeg_.bands == 3) run(k_, at_.chroma, x, columns_, chroma_.row(row), Store::plain);
        for (std::size_t u = 0; u < 2; ++u) {
            for (std::size_t v = 0; v < 2; ++v)
                run_spread(k_, at_.up[2 * u + v], x, columns_, near_.data() + v * w_.detail, 2 * w_.detail,
                           Store::plain);
            fold_quarters(folded_.row(row), u);
            run(k_, at_.samples, quarters_.data(), 2 * columns_, near_.data(), Store::add);
            detail(0, near_.data(), 2 * row + u);
        }
    }

    void detail(std::size_t n, const i16* x, std::size_t row) {
        if (n < details_.size())
            return details_[n].push(x, row, [&](const i16* y, std::size_t at) { detail(n + 1, y, at); });
        if (row / 2 < top_ || row / 2 >= bottom_) return;
        i16* half = rendered_.data() + row % 2 * 2 * columns_ * w_.rendered;
        run(k_, at_.render, x, 2 * columns_, half, Store::plain);
        if (row % 2) finish(row / 2);
    }

    // Half `u` of a row of blocks: 16 samples of luma of each quarter.
    void fold_quarters(const i16* folded, std::size_t u) {
        i16* to = quarters_.data();
        for (std::size_t quarter = 0; quarter < 2 * columns_; ++quarter) {
            const i16* from = folded + quarter / 2 * kFolded + u * (kBlock / 2) + quarter % 2 * 4;
            for (std::size_t line = 0; line < 4; ++line, to += 4) std::copy_n(from + line * kBlockSide, 4, to);
        }
    }

    void finish(std::size_t row) {
        done_({row, folded_.row(row), coefficients_.row(row), chroma_.row(row), rendered_.data()});
    }

    const At& at_;
    const Parts& w_;
    const Kernels& k_;
    const Jpeg& jpeg_;
    std::size_t columns_, top_, bottom_, begin_, end_;
    BlockNetwork::Done done_;
    Ring<i16> folded_, coefficients_, chroma_;
    std::vector<ToneStream> bodies_, details_;
    Aligned<i16> enter_, near_, quarters_, rendered_;
};

}  // namespace

BlockNetwork::BlockNetwork(const Tensors& tensors, const Kernels& kernels, std::size_t rendered)
    : parts_(std::make_unique<Parts>(tensors, kernels, rendered)) {}
BlockNetwork::~BlockNetwork() = default;
BlockNetwork::BlockNetwork(BlockNetwork&&) noexcept = default;

const Kernels& BlockNetwork::kernels() const { return parts_->k; }

void BlockNetwork::run_rows(const Jpeg& jpeg, std::size_t threads, const std::function<Done()>& state) const {
    const At at(*parts_, jpeg);
    in_strips(jpeg.rows(), kStripBlocks, threads,
              [&](std::size_t top, std::size_t bottom) { Strip(at, top, bottom, state()).run_all(); });
}

}  // namespace lic::nn

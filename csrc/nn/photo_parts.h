// The networks of a photo decoder, checked and packed, and the same at a quality: what photo.cpp, synthesis.h and
// gradient.cpp share. Must not include Python.
#ifndef LIC_NN_PHOTO_PARTS_H
#define LIC_NN_PHOTO_PARTS_H

#include <optional>
#include <vector>

#include "photo.h"

namespace lic::nn {

constexpr std::size_t kCell = LIC_HYPER_STRIDE;     // latent positions to a hyper position, on a side
constexpr std::size_t kStride = LIC_LATENT_STRIDE;  // pixels to a latent position, on a side
constexpr std::size_t kOut = 48;                    // samples of a position at a quarter of the resolution
constexpr std::size_t kGroups = 4;                  // of positions (FORMAT 8.2)
constexpr i32 kOctave = 1 << LIC_OCTAVE_BITS;

// A position's 48 samples stand as rows of pixels: output u * 12 + v * 3 + c is sample (u, v) of band c.
inline std::vector<std::size_t> quarter_order() {
    std::vector<std::size_t> order(kOut);
    for (std::size_t n = 0; n < kOut; ++n) order[n] = n % 3 * 16 + n / 12 * 4 + n % 12 / 3;
    return order;
}

// What the columns of a decode are: [first, first + columns) of the latent grid, first a multiple of 4.
struct Window {
    std::size_t first, columns;
    std::size_t hyper_columns() const { return (columns + kCell - 1) / kCell; }
};

struct RefineGroup {
    Layer enter, spatial, join, expand, contract, mean, step;
};

struct RefineAt {
    LayerAt enter, spatial, join, expand, contract, mean, step;
    RefineAt(const RefineGroup& g, const Kernels& k, int q)
        : enter(g.enter, k, q),
          spatial(g.spatial, k, q),
          join(g.join, k, q),
          expand(g.expand, k, q),
          contract(g.contract, k, q),
          mean(g.mean, k, q),
          step(g.step, k, q) {}
};

inline std::vector<LayerAt> all_at(const std::vector<Layer>& layers, const Kernels& k, int q) {
    std::vector<LayerAt> list;
    list.reserve(layers.size());
    for (const Layer& layer : layers) list.emplace_back(layer, k, q);
    return list;
}

inline std::vector<BlockAt> all_at(const std::vector<Block>& blocks, const Kernels& k, int q) {
    std::vector<BlockAt> list;
    list.reserve(blocks.size());
    for (const Block& block : blocks) list.emplace_back(block, k, q);
    return list;
}

struct Photo::Parts {
    const Kernels& k;
    std::size_t latent = 0, hyper = 0, body = 0, spread = 0, detail = 0, render_width = 0, points = 0;
    std::vector<Layer> up;
    Layer enter, mean, step;
    Block block;
    std::vector<i32> gain;                   // (points, latent)
    std::vector<RefineGroup> refine;         // of groups 1 to 3
    std::vector<i16> prior_log, refine_log;  // of an i16 of both networks for the step: what it adds to the logarithm
    std::vector<std::uint16_t> exp2;
    Layer synthesis_enter, out;
    std::vector<Block> bodies, details;
    std::vector<Layer> up8, up4, direct;
    std::optional<Layer> noise;  // of a second synthesis
    Block render;

    Parts(const Tensors& t, const Kernels& kernels);

    struct At;
};

// Everything at a quality.
struct Photo::Parts::At {
    const Parts& w;
    std::vector<LayerAt> up, up8, up4, direct;
    LayerAt enter, mean, step, synthesis_enter, out;
    std::optional<LayerAt> noise;
    BlockAt block, render;
    std::vector<BlockAt> bodies, details;
    std::vector<RefineAt> refine;
    std::vector<i32> gain;

    At(const Parts& parts, int q)
        : w(parts),
          up(all_at(w.up, w.k, q)),
          up8(all_at(w.up8, w.k, q)),
          up4(all_at(w.up4, w.k, q)),
          direct(all_at(w.direct, w.k, q)),
          enter(w.enter, w.k, q),
          mean(w.mean, w.k, q),
          step(w.step, w.k, q),
          synthesis_enter(w.synthesis_enter, w.k, q),
          out(w.out, w.k, q),
          block(w.block, w.k, q),
          render(w.render, w.k, q),
          bodies(all_at(w.bodies, w.k, q)),
          details(all_at(w.details, w.k, q)),
          gain(w.latent) {
        for (const RefineGroup& group : w.refine) refine.emplace_back(group, w.k, q);
        if (w.noise) noise.emplace(*w.noise, w.k, q);
        const RatePoint rate = rate_point(q, w.points);
        for (std::size_t m = 0; m < w.latent; ++m) {
            const i32 low = w.gain[rate.p * w.latent + m], high = w.gain[(rate.p + (w.points > 1)) * w.latent + m];
            gain[m] = static_cast<i32>(lerp(low, high, rate.f));
        }
    }
};

// Latent rows and columns beyond a box that its samples depend on through the synthesis alone.
inline std::size_t synthesis_reach(std::size_t bodies, std::size_t details) { return bodies + (details + 1) / 2 + 1; }

}  // namespace lic::nn

#endif

#include "image.h"

#include <algorithm>
#include <memory>

#include "threads.h"

namespace lic {
namespace {

// A tile's rectangle of the latent grid and of its hyper grid.
struct Rectangle {
    std::size_t top, left, height, width;
};

Rectangle latent_of(const Tiling& t, std::size_t number) {
    const std::size_t side = kSide * t.side, top = number / t.columns() * side, left = number % t.columns() * side;
    return {top, left, std::min(side, t.hy - top), std::min(side, t.wy - left)};
}

Rectangle hyper_of(const Rectangle& latent) {
    return {latent.top / kSide, latent.left / kSide, (latent.height + kSide - 1) / kSide,
            (latent.width + kSide - 1) / kSide};
}

// Between the part (channels, height, width) and the whole (channels, rows, columns).
template <bool kIntoWhole, class Whole, class Part>
void move(Whole* whole, std::size_t rows, std::size_t columns, const Rectangle& at, std::size_t channels, Part* part) {
    for (std::size_t c = 0; c < channels; ++c) {
        for (std::size_t y = 0; y < at.height; ++y, part += at.width) {
            Whole* line = whole + (c * rows + at.top + y) * columns + at.left;
            if constexpr (kIntoWhole) {
                std::copy_n(part, at.width, line);
            } else {
                std::copy_n(line, at.width, part);
            }
        }
    }
}

}  // namespace

std::vector<std::optional<Outcome>> read_tiles(const Model& model, const Setting& q, const Tiling& t,
                                               const std::vector<Bytes>& streams, std::int16_t* z, std::int16_t* r,
                                               std::size_t threads) {
    const Shape whole = model.shape(t.hy, t.wy);
    std::vector<std::optional<Outcome>> outcomes(t.count());
    in_threads(t.count(), threads, [&](std::size_t n) {
        if (!streams[n].data) return;
        if (t.count() == 1) {
            outcomes[n] = model.decode(q, whole, streams[n].data, streams[n].size, z, r);
            return;
        }
        const Rectangle latent = latent_of(t, n);
        const Shape s = model.shape(latent.height, latent.width);
        const std::unique_ptr<std::int16_t[]> own_z(new std::int16_t[s.z_size()]), own_r(new std::int16_t[s.r_size()]);
        outcomes[n] = model.decode(q, s, streams[n].data, streams[n].size, own_z.get(), own_r.get());
        if (outcomes[n]->status != Status::ok) return;
        move<true>(z, whole.a, whole.b, hyper_of(latent), s.C, own_z.get());
        move<true>(r, whole.h, whole.w, latent, s.M, own_r.get());
    });
    return outcomes;
}

Status write_tiles(const Model& model, const Setting& q, const Tiling& t, const std::int16_t* z, const std::int16_t* r,
                   std::vector<Stream>& streams, std::size_t threads) {
    const Shape whole = model.shape(t.hy, t.wy);
    std::vector<Status> found(t.count(), Status::ok);
    streams.resize(t.count());
    in_threads(t.count(), threads, [&](std::size_t n) {
        if (t.count() == 1) {
            found[n] = model.encode(q, whole, z, r, streams[n]);
            return;
        }
        const Rectangle latent = latent_of(t, n);
        const Shape s = model.shape(latent.height, latent.width);
        const std::unique_ptr<std::int16_t[]> own_z(new std::int16_t[s.z_size()]), own_r(new std::int16_t[s.r_size()]);
        move<false>(z, whole.a, whole.b, hyper_of(latent), s.C, own_z.get());
        move<false>(r, whole.h, whole.w, latent, s.M, own_r.get());
        found[n] = model.encode(q, s, own_z.get(), own_r.get(), streams[n]);
    });
    const auto bad = std::find_if(found.begin(), found.end(), [](Status s) { return s != Status::ok; });
    return bad == found.end() ? Status::ok : *bad;
}

}  // namespace lic

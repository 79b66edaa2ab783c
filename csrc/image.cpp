#include "image.h"

#include <algorithm>
#include <memory>
#include <type_traits>
#include <vector>

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

// A tile's setting: the image's, with its part of the quality map.
Setting setting_of(const Setting& q, std::size_t columns, const Rectangle& hyper) {
    Setting own = q;
    if (q.shift.empty()) return own;
    own.shift.resize(hyper.height * hyper.width);
    for (std::size_t y = 0; y < hyper.height; ++y) {
        std::copy_n(q.shift.data() + (hyper.top + y) * columns + hyper.left, hyper.width,
                    own.shift.data() + y * hyper.width);
    }
    return own;
}

}  // namespace

Outcome read_tile(const Model& model, const Setting& q, const Tiling& t, std::size_t number, const Streamed& from,
                  std::int16_t* z, std::int16_t* r) {
    const Shape whole = model.shape(t.hy, t.wy);
    if (t.count() == 1) {
        const Outcome outcome = model.decode(q, whole, from, z, r);
        if (outcome.status != Status::ok) {
            std::fill_n(z, whole.z_size(), std::int16_t{0});
            std::fill_n(r, whole.r_size(), std::int16_t{0});
        }
        return outcome;
    }
    const Rectangle latent = latent_of(t, number);
    const Shape s = model.shape(latent.height, latent.width);
    const std::unique_ptr<std::int16_t[]> own_z(new std::int16_t[s.z_size()]), own_r(new std::int16_t[s.r_size()]);
    const Outcome outcome = model.decode(setting_of(q, whole.b, hyper_of(latent)), s, from, own_z.get(), own_r.get());
    if (outcome.status != Status::ok) return outcome;
    move<true>(z, whole.a, whole.b, hyper_of(latent), s.C, own_z.get());
    move<true>(r, whole.h, whole.w, latent, s.M, own_r.get());
    return outcome;
}

Status write_tile(const Model& model, const Setting& q, const Tiling& t, std::size_t number, const Integers& from,
                  Stream& stream) {
    const Shape whole = model.shape(t.hy, t.wy);
    Given given;
    const Given* const known = from.start ? &given : nullptr;
    if (t.count() == 1) {
        const Status status = known ? given.take(from.start, from.freq, whole.r_size()) : Status::ok;
        return status == Status::ok ? model.encode(q, whole, from.z, from.r, stream, known) : status;
    }
    const Rectangle latent = latent_of(t, number);
    const Shape s = model.shape(latent.height, latent.width);
    const auto part_of_r = [&](const auto* of) {
        std::vector<std::remove_const_t<std::remove_pointer_t<decltype(of)>>> part(s.r_size());
        move<false>(of, whole.h, whole.w, latent, s.M, part.data());
        return part;
    };
    if (known) {
        const Status status = given.take(part_of_r(from.start).data(), part_of_r(from.freq).data(), s.r_size());
        if (status != Status::ok) return status;
    }
    const std::unique_ptr<std::int16_t[]> own_z(new std::int16_t[s.z_size()]);
    move<false>(from.z, whole.a, whole.b, hyper_of(latent), s.C, own_z.get());
    return model.encode(setting_of(q, whole.b, hyper_of(latent)), s, own_z.get(), part_of_r(from.r).data(), stream,
                        known);
}

}  // namespace lic

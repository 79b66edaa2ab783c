#include "thumbnail.h"

#include "../threads.h"
#include "latent_stream.h"

namespace lic::nn {

struct Thumbnail::Parts {
    const Kernels& k;
    Layer direct;

    Parts(const Tensors& t, const Kernels& kernels)
        : k(kernels),
          direct(read_layer(k, t, "thumbnail.direct", kOut, t.side("thumbnail.direct.weight", 1), quarter_order())) {}
};

namespace {

constexpr i32 kMost = 255 << LIC_SAMPLE_BITS;  // of a level

// What is rendered at once: columns [begin, end) of the latent grid, which lie in a window, and of their rows a strip.
struct Piece {
    Window window;
    std::size_t left, right, top, bottom;
};

// The samples of a latent row of a piece: means of side x side levels each, clamped before.
void write_row(const i16* levels, std::size_t row, const Piece& piece, std::size_t side, const Canvas& canvas) {
    const std::size_t places = kCell / side, bands = canvas.bands;
    const i32 one = static_cast<i32>(side * side) << LIC_SAMPLE_BITS, grey = 3 * one;
    const std::size_t right = std::min(piece.right * places, canvas.right);
    for (std::size_t i = 0; i < places && row * places + i < canvas.bottom; ++i) {
        std::uint8_t* to = canvas.data + (row * places + i) * canvas.row_stride + piece.left * places * bands;
        for (std::size_t x = piece.left * places; x < right; ++x) {
            const i16* from = levels + (x / places - piece.window.first) * kOut + (i * kCell + x % places) * side * 3;
            i32 sum[3] = {0, 0, 0};
            for (std::size_t u = 0; u < side; ++u) {
                for (std::size_t v = 0; v < side * 3; ++v)
                    sum[v % 3] += std::clamp<i32>(from[u * kCell * 3 + v], 0, kMost);
            }
            if (bands == 1) {
                *to++ = static_cast<std::uint8_t>((sum[0] + sum[1] + sum[2] + grey / 2) / grey);
            } else {
                for (const i32 s : sum) *to++ = static_cast<std::uint8_t>((s + one / 2) / one);
            }
        }
    }
}

constexpr std::size_t kColumnsMost = 512;  // of the latent grid that are rendered at once, without their margin

// Columns from `left` on, strip `strip` of `strips`.
Piece piece_of(const Image& image, std::size_t left, std::size_t strip, std::size_t strips) {
    const std::size_t right = std::min(image.wy, left + kColumnsMost);
    const std::size_t first = left < kLatentReach ? 0 : (left - kLatentReach) / kCell * kCell;
    const std::size_t end = std::min(image.wy, (right + kLatentReach + kCell - 1) / kCell * kCell);
    return {{first, end - first}, left, right, image.hy * strip / strips, image.hy * (strip + 1) / strips};
}

}  // namespace

Thumbnail::Thumbnail(const Tensors& tensors, const Kernels& kernels)
    : parts_(std::make_unique<Parts>(tensors, kernels)) {}
Thumbnail::~Thumbnail() = default;
Thumbnail::Thumbnail(Thumbnail&&) noexcept = default;
std::size_t Thumbnail::latent() const { return parts_->direct.inputs; }

void Thumbnail::render(const Photo& photo, const Image& image, int q, std::size_t scale, const Canvas& canvas,
                       std::size_t threads) const {
    const Photo::Parts::At latents_at(photo.parts(), q);
    const LayerAt direct(parts_->direct, parts_->k, q);
    const std::size_t strips = std::max<std::size_t>(1, std::min(threads, image.hy / kStripRows));
    const std::size_t columns = (image.wy + kColumnsMost - 1) / kColumnsMost;
    in_threads(columns * strips, threads, [&](std::size_t n) {
        const Piece piece = piece_of(image, n / strips * kColumnsMost, n % strips, strips);
        Aligned<i16> levels(piece.window.columns * kOut);
        std::size_t known = 0;
        const RowSink sink = [&](const i16* y_hat, std::size_t stride, std::size_t row) {
            known = row + 1;
            if (row < piece.top || row >= piece.bottom) return;
            parts_->k.product({y_hat, static_cast<std::ptrdiff_t>(stride), piece.window.columns, latent(),
                               direct.weight, direct.final(), levels.data(), kOut, Store::plain});
            write_row(levels.data(), row, piece, scale / kCell, canvas);
        };
        detail::LatentStream latents(latents_at, image, piece.window, piece.top, sink);
        while (known < piece.bottom && latents.advance()) {
        }
    });
}

}  // namespace lic::nn

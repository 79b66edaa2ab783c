#include "enlarge.h"

#include "../threads.h"

namespace lic::nn {
namespace {

constexpr std::size_t kRendered = kBlock;         // samples for each quarter of a block
constexpr std::size_t kTaps = 4, kPad = 2;        // of the enlargement; samples beyond both edges
constexpr i32 kPhase[kTaps] = {-9, 111, 29, -3};  // a cubic of -1/2, 1/4 of a sample behind the second, in 1/128
constexpr int kPhaseBits = 14;                    // of both directions
constexpr i32 kGreyLevel = 128 * kSampleUnit;
constexpr std::size_t kStripRows = 64;

i16 narrow(i32 value) { return static_cast<i16>(std::clamp(value, -32768, 32767)); }

// What the network makes of the whole picture.
struct Planes {
    std::size_t height, width, columns;         // of the JPEG; of its blocks
    std::array<std::vector<i16>, kPlanes> own;  // (height, width) in 1/64 of a level, less grey
    std::vector<i16> rendered;                  // (16 rows, 16 columns) in 1/32

    explicit Planes(const Jpeg& jpeg)
        : height(jpeg.height),
          width(jpeg.width),
          columns(jpeg.columns()),
          rendered(4 * jpeg.rows() * columns * kBlock) {
        for (std::size_t c = 0; c < jpeg.bands; ++c) own[c].resize(height * width);
    }

    const i16* rendered_row(std::size_t y) const { return rendered.data() + y * stride(); }
    i16* rendered_row(std::size_t y) { return rendered.data() + y * stride(); }

 private:
    std::size_t stride() const { return columns * 2 * kBlockSide; }
};

// A row of blocks, into the planes.
void keep(const Transform& transform, const Jpeg& jpeg, const RowFound& found, i16* change, Planes& to) {
    transform.back(found.coefficients, to.columns, change);
    const std::size_t rows = std::min(kBlockSide, to.height - found.row * kBlockSide);
    for (std::size_t c = 0; c < jpeg.bands; ++c) {
        const i16* of = c ? found.chroma + (c - 1) * kBlock : change;
        const std::size_t apart = c ? 2 * kBlock : kBlock;
        for (std::size_t u = 0; u < rows; ++u) {
            i16* line = to.own[c].data() + (found.row * kBlockSide + u) * to.width;
            for (std::size_t x = 0; x < to.width; ++x) {
                const std::size_t column = x / kBlockSide, n = u * kBlockSide + x % kBlockSide;
                line[x] = narrow(found.folded[column * kFolded + c * kBlock + n] + 2 * of[column * apart + n]);
            }
        }
    }
    for (std::size_t half = 0; half < 2; ++half) {
        for (std::size_t u = 0; u < kBlockSide; ++u) {
            i16* line = to.rendered_row(found.row * 2 * kBlockSide + half * kBlockSide + u);
            for (std::size_t quarter = 0; quarter < 2 * to.columns; ++quarter) {
                const i16* from = found.rendered + (half * 2 * to.columns + quarter) * kRendered + u * kBlockSide;
                std::copy_n(from, kBlockSide, line + quarter * kBlockSide);
            }
        }
    }
}

// Rows of a plane at twice its size, in 1/64 of a level.
class Doubling {
 public:
    Doubling(const std::vector<i16>& plane, std::size_t height, std::size_t width)
        : plane_(plane), height_(height), width_(width), column_(width + 2 * kPad) {}

    // Row y; more: what is added to it (2 width) in 1/32, or none.
    void row(std::size_t y, const i16* more, i32* out) {
        const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(y / 2) - (y % 2 ? 1 : 2);
        const i16* rows[kTaps];
        for (std::size_t tap = 0; tap < kTaps; ++tap) {
            const auto at = std::clamp<std::ptrdiff_t>(first + static_cast<std::ptrdiff_t>(tap), 0,
                                                       static_cast<std::ptrdiff_t>(height_) - 1);
            rows[tap] = plane_.data() + static_cast<std::size_t>(at) * width_;
        }
        i32* column = column_.data() + kPad;
        const bool behind = y % 2;
        for (std::size_t x = 0; x < width_; ++x) {
            i32 sum = 0;
            for (std::size_t tap = 0; tap < kTaps; ++tap) sum += weight(tap, behind) * rows[tap][x];
            column[x] = sum;
        }
        for (std::size_t n = 0; n < kPad; ++n) {
            column_[n] = column[0];
            column[width_ + n] = column[width_ - 1];
        }
        for (std::size_t x = 0; x < 2 * width_; ++x) {
            const i32* from = column_.data() + x / 2 + x % 2;
            i32 sum = 1 << (kPhaseBits - 1);
            for (std::size_t tap = 0; tap < kTaps; ++tap) sum += weight(tap, x % 2) * from[tap];
            out[x] = (sum >> kPhaseBits) + (more ? 2 * more[x] : 0);
        }
    }

 private:
    static i32 weight(std::size_t tap, bool behind) { return kPhase[behind ? tap : kTaps - 1 - tap]; }

    const std::vector<i16>& plane_;
    std::size_t height_, width_;
    std::vector<i32> column_;
};

}  // namespace

Enlarger::Enlarger(const Tensors& tensors, const Kernels& kernels)
    : network_(tensors, kernels, kRendered), transform_(kernels) {}

void Enlarger::enlarge(const Jpeg& jpeg, std::size_t height, std::size_t width, std::uint8_t* out,
                       std::size_t threads) const {
    Planes planes(jpeg);
    network_.run_rows(jpeg, threads, [&]() -> BlockNetwork::Done {
        auto change = std::make_shared<Aligned<i16>>(planes.columns * kBlock);
        return [this, &jpeg, &planes, change](const RowFound& found) {
            keep(transform_, jpeg, found, change->data(), planes);
        };
    });
    in_strips(height, kStripRows, threads, [&](std::size_t top, std::size_t bottom) {
        std::vector<Doubling> doublings;
        std::array<std::vector<i32>, kPlanes> rows;
        for (std::vector<i32>& row : rows) row.resize(2 * planes.width);
        doublings.reserve(jpeg.bands);
        for (std::size_t c = 0; c < jpeg.bands; ++c) doublings.emplace_back(planes.own[c], jpeg.height, jpeg.width);
        for (std::size_t y = top; y < bottom; ++y) {
            for (std::size_t c = 0; c < jpeg.bands; ++c)
                doublings[c].row(y, c ? nullptr : planes.rendered_row(y), rows[c].data());
            std::uint8_t* to = out + y * width * jpeg.bands;
            for (std::size_t x = 0; x < width; ++x, to += jpeg.bands)
                to_pixel(rows[0][x] + kGreyLevel, rows[1][x], rows[2][x], jpeg.bands, to);
        }
    });
}

}  // namespace lic::nn

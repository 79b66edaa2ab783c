// FORMAT 8.2: from v and r to rows of y_hat, what photo.cpp and thumbnail.cpp begin with. Must not include Python.
#ifndef LIC_NN_LATENT_STREAM_H
#define LIC_NN_LATENT_STREAM_H

#include <array>
#include <functional>
#include <vector>

#include "photo_parts.h"
#include "stream.h"

namespace lic::nn {

// Takes a row of y_hat: its positions are `stride` apart.
using RowSink = std::function<void(const i16* y_hat, std::size_t stride, std::size_t row)>;

// Latent rows and columns beyond a box that its y_hat depends on: of refinement and prior.
constexpr std::size_t kLatentReach = 6;

namespace detail {

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
    i32 log_step(std::size_t m, i16 prior, const i16* step, i32 shift) const;
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

// Rows of a window of y_hat, from v and r.
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
}  // namespace lic::nn

#endif

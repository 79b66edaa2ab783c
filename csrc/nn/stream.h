// Rows that stream through a block (FORMAT 8.1). Must not include Python.
#ifndef LIC_NN_STREAM_H
#define LIC_NN_STREAM_H

#include <algorithm>
#include <cstring>

#include "float_kernels.h"
#include "layers.h"

namespace lic::nn {

// The last `rows` rows of i16 that were written, each with `pad` values of zero on both sides.
template <class T>
class Ring {
 public:
    Ring() = default;
    Ring(std::size_t rows, std::size_t values, std::size_t pad)
        : rows_(rows), pad_(pad), stride_((values + 2 * pad + kSlack + 63) / 64 * 64), data_(rows * stride_) {}
    T* row(std::size_t index) { return data_.data() + index % rows_ * stride_ + pad_; }
    const T* row(std::size_t index) const { return data_.data() + index % rows_ * stride_ + pad_; }
    void clear(std::size_t index) { std::fill_n(row(index) - pad_, stride_, T{0}); }

 private:
    std::size_t rows_ = 0, pad_ = 0, stride_ = 0;
    Aligned<T> data_;
};

// A row and its neighbours.
template <class T>
struct Three {
    const T *above, *own, *below;
};

// Rows that wait for the one below each of them: done(index, three) is called for a row when that has come, or after
// the image's last. A row that lacks the one above, as the first of a chain that begins inside the image does, is not
// handed on.
template <class T>
class Neighbours {
 public:
    // top: whether the first row that comes is the image's first.
    Neighbours(std::size_t values, std::size_t pad, bool top)
        : top_(top), rows_(3, values, pad), zero_(1, values, pad) {}

    // Where row `index` is written before it has come.
    T* row(std::size_t index) { return rows_.row(index); }

    template <class Done>
    void came(std::size_t index, const Done& done) {
        if (!begun_) first_ = index, begun_ = true;
        last_ = index;
        if (index > first_) hand_on(index - 1, rows_.row(index), done);
    }

    template <class Done>
    void finish(const Done& done) {
        if (begun_) hand_on(last_, zero_.row(0), done);
    }

 private:
    template <class Done>
    void hand_on(std::size_t index, const T* below, const Done& done) {
        if (index == first_ && !top_) return;
        done(index, Three<T>{index == first_ ? zero_.row(0) : rows_.row(index - 1), rows_.row(index), below});
    }

    bool top_, begun_ = false;
    std::size_t first_ = 0, last_ = 0;
    Ring<T> rows_, zero_;
};

// Of each output of a block's leaky layers over the last rows, a bit: whether it is above 0.
struct Signs {
    const FloatKernels* kernels = nullptr;
    std::size_t columns = 0, mix_stride = 0, expand_stride = 0;  // bytes from one position to the next
    Ring<std::uint8_t> mix, expand;
    Signs() = default;
    Signs(const FloatKernels& k, std::size_t rows, std::size_t positions, std::size_t width)
        : kernels(&k),
          columns(positions),
          mix_stride((width + 63) / 64 * 8),
          expand_stride((2 * width + 63) / 64 * 8),
          mix(rows, positions * mix_stride, 0),
          expand(rows, positions * expand_stride, 0) {}
};

constexpr std::size_t kStripRows = 4;  // of the latent grid that a thread is worth
constexpr std::size_t kChunk =
    64;  // positions that pass a block's layers together, so that they stay in the first cache

// A residual block: rows in, the same rows out, one later.
class BlockStream {
 public:
    // top: whether the first row that comes is the image's first. signs: where to leave them, if anywhere.
    BlockStream(const Kernels& kernels, const BlockAt& block, std::size_t columns, bool top, Signs* signs = nullptr)
        : k_(kernels),
          b_(block),
          columns_(columns),
          width_(block.width),
          signs_(signs),
          mix_(columns * width_, width_, top),
          x_(2, columns * width_, 0),
          spatial_(kChunk * width_),
          expand_(kChunk * 2 * width_) {}

    // The image's row `index`; next(row, index) is called for what is finished, and may write to the row.
    template <class Next>
    void push(const i16* x, std::size_t index, const Next& next) {
        std::copy_n(x, columns_ * width_, x_.row(index));
        run(k_, b_.mix, x_.row(index), columns_, mix_.row(index), Store::leaky);
        if (signs_)
            signs_->kernels->signs({mix_.row(index), columns_, width_, signs_->mix.row(index), signs_->mix_stride});
        mix_.came(index, [&](std::size_t at, const Three<i16>& rows) { hand_on(at, rows, next); });
    }

    // After the image's last row.
    template <class Next>
    void finish(const Next& next) {
        mix_.finish([&](std::size_t at, const Three<i16>& rows) { hand_on(at, rows, next); });
    }

 private:
    template <class Next>
    void hand_on(std::size_t index, const Three<i16>& mixed, const Next& next) {
        i16* x = x_.row(index);
        for (std::size_t p = 0; p < columns_; p += kChunk) {
            const std::size_t n = std::min(kChunk, columns_ - p);
            const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(p * width_) - static_cast<std::ptrdiff_t>(width_);
            const i16* rows[3] = {mixed.above + at, mixed.own + at, mixed.below + at};
            k_.depthwise({rows, 3, 1, n, b_.spatial.weight, b_.spatial.final(), spatial_.data()});
            i16* part = x + p * width_;
            run(k_, b_.join, spatial_.data(), n, part, Store::add);
            run(k_, b_.expand, part, n, expand_.data(), Store::leaky);
            if (signs_)
                signs_->kernels->signs({expand_.data(), n, 2 * width_,
                                        signs_->expand.row(index) + p * signs_->expand_stride, signs_->expand_stride});
            run(k_, b_.contract, expand_.data(), n, part, Store::add);
        }
        next(x, index);
    }

    const Kernels& k_;
    const BlockAt& b_;
    std::size_t columns_, width_;
    Signs* signs_;
    Neighbours<i16> mix_;
    Ring<i16> x_;
    Aligned<i16> spatial_, expand_;
};

}  // namespace lic::nn

#endif

#include "enhance.h"

namespace lic::nn {
namespace {

// What a strip's rows become.
class Rows {
 public:
    Rows(const Transform& transform, const Jpeg& jpeg, std::uint8_t* out)
        : transform_(transform), jpeg_(jpeg), out_(out), found_(jpeg.columns() * kBlock) {
        for (Aligned<i16>& plane : planes_) plane = Aligned<i16>(jpeg.columns() * kBlock);
        for (Aligned<i16>& change : change_) change = Aligned<i16>(jpeg.columns() * kBlock);
    }

    void finish(const RowFound& found) {
        gather(found);
        const std::size_t columns = jpeg_.columns();
        const i16* change[kPlanes] = {change_[0].data(), planes_[1].data(), planes_[2].data()};
        for (std::size_t plane = 0; plane < known(); ++plane) {
            i16* moved = plane ? found.chroma : found.coefficients;  // chroma's is in its plane by now
            transform_.forward(planes_[plane].data(), columns, moved, plane ? Store::plain : Store::add);
            transform_.coefficients(found.folded, plane, columns, found_.data());
            project(found.folded, plane, found_.data(), jpeg_.steps[plane ? 1 : 0], columns, moved);
            transform_.back(moved, columns, change_[plane].data());
            change[plane] = change_[plane].data();
        }
        unfold(jpeg_, found.row, found.folded, change, out_);
    }

 private:
    // Planes whose coefficients the file states.
    std::size_t known() const { return jpeg_.bands == 1 || jpeg_.halved ? 1 : kPlanes; }

    // What was rendered of a row of blocks, and of chroma, as planes of blocks.
    void gather(const RowFound& found) {
        for (std::size_t column = 0; column < jpeg_.columns(); ++column) {
            i16* to = planes_[0].data() + column * kBlock;
            for (std::size_t part = 0; part < kQuarter; ++part) {  // a line of a quarter
                const std::size_t line = part / 2;
                const std::size_t quarter = line / 4 * 2 * jpeg_.columns() + 2 * column + part % 2;
                std::copy_n(found.rendered + quarter * kQuarter + line % 4 * 4, 4, to + 4 * part);
            }
            if (jpeg_.bands == 1) continue;
            const i16* chroma = found.chroma + column * 2 * kBlock;
            std::copy_n(chroma, kBlock, planes_[1].data() + column * kBlock);
            std::copy_n(chroma + kBlock, kBlock, planes_[2].data() + column * kBlock);
        }
    }

    const Transform& transform_;
    const Jpeg& jpeg_;
    std::uint8_t* out_;
    Aligned<i16> found_;
    std::array<Aligned<i16>, kPlanes> planes_, change_;
};

}  // namespace

Enhancer::Enhancer(const Tensors& tensors, const Kernels& kernels)
    : network_(tensors, kernels, kQuarter), transform_(kernels) {}

void Enhancer::enhance(const Jpeg& jpeg, std::uint8_t* out, std::size_t threads) const {
    network_.run_rows(jpeg, threads, [&]() -> BlockNetwork::Done {
        auto rows = std::make_shared<Rows>(transform_, jpeg, out);
        return [rows](const RowFound& found) { rows->finish(found); };
    });
}

}  // namespace lic::nn

// The network over a decoded JPEG's blocks (train/enhance.py), in integers, row by row. Must not include Python.
//
// READ ME FIRST
// - At an eighth of the resolution its positions are JPEG's blocks (`body`), at a quarter their quarters (`detail`). It
//   knows the quantisation tables: they scale and shift the channels of every block, and its output counts in steps.
// - The tensors are layers of FORMAT 8.1 with tables of one row, in the units that train/enhance_export.py states.
// - What becomes of its output is another's matter: enhance.cpp, enlarge.cpp.
#ifndef LIC_NN_BLOCK_NETWORK_H
#define LIC_NN_BLOCK_NETWORK_H

#include <functional>
#include <memory>

#include "jpeg_cells.h"

namespace lic::nn {

constexpr std::size_t kQuarter = kBlock / 4;  // samples of a quarter of a block
constexpr std::size_t kStripBlocks = 16;      // rows of blocks that a thread is worth

// What the network says of a row of blocks, in 1/32 of a level. It may be written to.
struct RowFound {
    std::size_t row;
    const i16* folded;    // kFolded a block
    i16* coefficients;    // of luma's change, 64 a block
    i16* chroma;          // samples of both, 128 a block; of grey pictures nothing
    const i16* rendered;  // of the upper quarters, then the lower: each row 2 a block, with `rendered` samples of luma
};

class BlockNetwork {
 public:
    // Checks and packs. rendered: samples for each quarter. Throws BadModel.
    BlockNetwork(const Tensors& tensors, const Kernels& kernels, std::size_t rendered);
    ~BlockNetwork();
    BlockNetwork(BlockNetwork&&) noexcept;

    // done(found) for each row of blocks, from several threads where there are; strips of rows are one thread's.
    // state() is called once for each strip, by its thread, and makes that strip's `done`.
    using Done = std::function<void(const RowFound&)>;
    void run_rows(const Jpeg& jpeg, std::size_t threads, const std::function<Done()>& state) const;

    const Kernels& kernels() const;
    struct Parts;

 private:
    std::unique_ptr<Parts> parts_;
};

}  // namespace lic::nn

#endif

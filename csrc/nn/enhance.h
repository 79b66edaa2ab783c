// The network that says what a decoded JPEG lacks (train/enhance.py), in integers: the same on every machine. Must not
// include Python.
//
// READ ME FIRST
// - At an eighth of the resolution its positions are JPEG's blocks (`body`), at a quarter their quarters (`detail`). It
//   knows the quantisation tables: they scale and shift the channels of every block, and its output counts in steps.
// - The tensors are layers of FORMAT 8.1 with tables of one row, in the units that train/enhance_export.py states.
#ifndef LIC_NN_ENHANCE_H
#define LIC_NN_ENHANCE_H

#include <memory>

#include "jpeg_cells.h"

namespace lic::nn {

class Enhancer {
 public:
    // Checks and packs. Throws BadModel.
    Enhancer(const Tensors& tensors, const Kernels& kernels);
    ~Enhancer();
    Enhancer(Enhancer&&) noexcept;

    // The picture made better: (height, width, bands), grey or R, G, B.
    void enhance(const Jpeg& jpeg, std::uint8_t* out, std::size_t threads) const;

    struct Parts;

 private:
    std::unique_ptr<Parts> parts_;
};

}  // namespace lic::nn

#endif

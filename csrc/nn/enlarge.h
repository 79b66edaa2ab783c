// Decoded JPEGs at twice their size: a cubic enlargement of what the network over their blocks makes of them, and what
// it renders at that size. In integers: the same on every machine. Must not include Python.
#ifndef LIC_NN_ENLARGE_H
#define LIC_NN_ENLARGE_H

#include "block_network.h"

namespace lic::nn {

class Enlarger {
 public:
    // Checks and packs. Throws BadModel.
    Enlarger(const Tensors& tensors, const Kernels& kernels);

    // The picture at twice its size, without the last row or column where height or width is odd: to out (height,
    // width, bands), grey or R, G, B.
    void enlarge(const Jpeg& jpeg, std::size_t height, std::size_t width, std::uint8_t* out, std::size_t threads) const;

 private:
    BlockNetwork network_;
    Transform transform_;
};

}  // namespace lic::nn

#endif

// Decoded JPEGs made better: what the network over their blocks says, moved into the cells of the file. In integers:
// the same on every machine. Must not include Python.
#ifndef LIC_NN_ENHANCE_H
#define LIC_NN_ENHANCE_H

#include "block_network.h"

namespace lic::nn {

class Enhancer {
 public:
    // Checks and packs. Throws BadModel.
    Enhancer(const Tensors& tensors, const Kernels& kernels);

    // The picture made better: (height, width, bands), grey or R, G, B.
    void enhance(const Jpeg& jpeg, std::uint8_t* out, std::size_t threads) const;

 private:
    BlockNetwork network_;
    Transform transform_;
};

}  // namespace lic::nn

#endif

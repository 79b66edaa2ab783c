// A small picture from y_hat alone (FORMAT 8.6): a model's thumbnail network, in integers. Must not include Python.
#ifndef LIC_NN_THUMBNAIL_H
#define LIC_NN_THUMBNAIL_H

#include <memory>

#include "photo.h"

namespace lic::nn {

class Thumbnail {
 public:
    // Checks and packs. Throws BadModel.
    Thumbnail(const Tensors& tensors, const Kernels& kernels);
    ~Thumbnail();
    Thumbnail(Thumbnail&&) noexcept;

    std::size_t latent() const;  // M

    // The whole of an image at quality Q at 1/scale of its sides, scale being 4, 8 or 16: `canvas` is in samples of the
    // small picture, from (0, 0) on. `photo` has the same latents.
    void render(const Photo& photo, const Image& image, int q, std::size_t scale, const Canvas& canvas,
                std::size_t threads) const;

    struct Parts;

 private:
    std::unique_ptr<Parts> parts_;
};

}  // namespace lic::nn

#endif

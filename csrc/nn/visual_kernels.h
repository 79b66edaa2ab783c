// The kernels of the visual distance: rows and planes of float, chosen once for the CPU at hand. Nothing here decides
// what a file means. Includes the standard library; must not include Python.
//
// READ ME FIRST
// - A plane is (height, width) float, row behind row. Planes that may be null are named so.
// - Sums are taken in an order that does not depend on the set, in groups of kSumLanes.
#ifndef LIC_NN_VISUAL_KERNELS_H
#define LIC_NN_VISUAL_KERNELS_H

#include <cstddef>

#include "kernels.h"

namespace lic::nn {

constexpr std::size_t kBlurRadius = 5;

struct Plane {
    std::size_t height, width;
};

// Three planes, of colours in linear light or of the opsin space; those that nobody wants are null.
struct Planes {
    float *a, *b, *c;
};
struct ConstPlanes {
    const float *a, *b, *c;
};

// What a channel of two pictures looks like under the blur: of the original its values, its mean and its mean square,
// then of the other one, then the mean of their product.
struct Blurred {
    const float *a, *mean_a, *square_a, *b, *mean_b, *square_b, *product;
};

// Sums over a plane of the structure, ringing and blur maps, and of their fourth powers.
struct MapSums {
    double mean[3], fourth[3];
};

// How the distance follows each map v: mean + fourth v^3.
struct MapSlopes {
    float mean[3], fourth[3];
};

// Gradients by the other picture's values, and by its blurred mean, its blurred square and the blurred product.
struct MapGradients {
    float *value, *mean, *square, *product;
};

struct VisualKernels {
    const char* name;
    // Linear light to the opsin space, `n` pixels.
    void (*to_opsin)(const ConstPlanes& linear, std::size_t n, const Planes& opsin);
    // From gradients by the opsin space to those by linear light, which are written.
    void (*opsin_back)(const ConstPlanes& linear, const ConstPlanes& by_opsin, std::size_t n, const Planes& by_linear);
    // The product of two planes.
    void (*multiply)(const float* a, const float* b, std::size_t n, float* out);
    // The Gaussian blur, its ends mirrored. scratch: width + 2 kBlurRadius.
    void (*blur)(const float* in, const Plane& plane, float* out, float* scratch);
    MapSums (*maps)(const Blurred& from, std::size_t n);
    void (*maps_back)(const Blurred& from, const MapSlopes& slopes, std::size_t n, const MapGradients& to);
    // value + 2 b square + a product, the gradient by b, to `value`.
    void (*gather)(const float* a, const float* b, const float* mean, const float* square, const float* product,
                   std::size_t n, float* value);
};

const VisualKernels& plain_visual_kernels();
#if LIC_X86
const VisualKernels& fma_visual_kernels();
const VisualKernels& avx512_visual_kernels();
#endif

}  // namespace lic::nn

#endif

// 256 bits.
#include "visual_kernels.h"

#include <cstdint>
#include <cstring>

namespace lic::nn {
namespace visual_fma {
namespace {

#include "visual_kernels.inl"

}  // namespace
}  // namespace visual_fma

const VisualKernels& fma_visual_kernels() {
    static const VisualKernels set = visual_fma::set_named("fma");
    return set;
}

}  // namespace lic::nn

// 512 bits.
#include "visual_kernels.h"

#include <cstdint>
#include <cstring>

namespace lic::nn {
namespace visual_avx512 {
namespace {

#include "visual_kernels.inl"

}  // namespace
}  // namespace visual_avx512

const VisualKernels& avx512_visual_kernels() {
    static const VisualKernels set = visual_avx512::set_named("avx512");
    return set;
}

}  // namespace lic::nn

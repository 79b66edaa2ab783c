// What any machine of a kind can do.
#include "visual_kernels.h"

#include <cstdint>
#include <cstring>

namespace lic::nn {
namespace {

#include "visual_kernels.inl"

}  // namespace

const VisualKernels& plain_visual_kernels() {
    static const VisualKernels set = set_named("plain");
    return set;
}

}  // namespace lic::nn

// Which kernel sets this CPU can run, and the one in use. Must not include Python.
#ifndef LIC_NN_KERNEL_SETS_H
#define LIC_NN_KERNEL_SETS_H

#include <string>
#include <vector>

#include "float_kernels.h"
#include "visual_kernels.h"

namespace lic::nn {

// Slowest first.
std::vector<const Kernels*> available_kernels();

// The fastest, or the one of that name; null where there is none.
const Kernels* find_kernels(const std::string& name);

// The float kernels for the CPUs that a set is for.
const FloatKernels& float_kernels_beside(const Kernels& set);

// Those of the visual distance.
const VisualKernels& visual_kernels_beside(const Kernels& set);

}  // namespace lic::nn

#endif

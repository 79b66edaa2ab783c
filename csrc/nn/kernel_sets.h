// Which kernel sets this CPU can run, and the one in use. Must not include Python.
#ifndef LIC_NN_KERNEL_SETS_H
#define LIC_NN_KERNEL_SETS_H

#include <string>
#include <vector>

#include "kernels.h"

namespace lic::nn {

// Slowest first.
std::vector<const Kernels*> available_kernels();

// The fastest, or the one of that name; null where there is none.
const Kernels* find_kernels(const std::string& name);

}  // namespace lic::nn

#endif

#include "kernel_sets.h"

#include "../cpu.h"

namespace lic::nn {

std::vector<const Kernels*> available_kernels() {
    std::vector<const Kernels*> sets{&plain_kernels()};
#if LIC_X86
    if (simd_supported(Simd::sse41)) sets.push_back(&sse41_kernels());
    if (simd_supported(Simd::avx2)) sets.push_back(&avx2_kernels());
    if (simd_supported(Simd::avx512)) sets.push_back(&avx512_kernels());
    if (cpu_has_vnni()) sets.push_back(&vnni_kernels());
#elif LIC_NEON
    sets.push_back(&neon_kernels());
#elif LIC_WASM
    sets.push_back(&wasm_kernels());
#endif
    return sets;
}

const Kernels* find_kernels(const std::string& name) {
    const Kernels* found = nullptr;
    for (const Kernels* set : available_kernels()) {
        if (name == "auto" || name == set->name) found = set;
    }
    return found;
}

const FloatKernels& float_kernels_beside(const Kernels& set) {
#if LIC_X86
    if (&set == &avx512_kernels() || &set == &vnni_kernels()) return avx512_float_kernels();
    if (&set == &avx2_kernels()) return cpu_has_fma() ? fma_float_kernels() : sse41_float_kernels();
    if (&set == &sse41_kernels()) return sse41_float_kernels();
#elif LIC_NEON
    if (&set == &neon_kernels()) return neon_float_kernels();
#endif
    static_cast<void>(set);
    return plain_float_kernels();
}

const VisualKernels& visual_kernels_beside(const Kernels& set) {
#if LIC_X86
    if (&set == &avx512_kernels() || &set == &vnni_kernels()) return avx512_visual_kernels();
    if (&set == &avx2_kernels() && cpu_has_fma()) return fma_visual_kernels();
#endif
    static_cast<void>(set);
    return plain_visual_kernels();
}

}  // namespace lic::nn

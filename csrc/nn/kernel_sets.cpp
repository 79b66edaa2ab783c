// Which kernel sets there are, and the one in use.
#include "kernel_sets.h"

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#endif

namespace lic::nn {
namespace {

#if LIC_X86 && (defined(__GNUC__) || defined(__clang__))
bool has_sse41() { return __builtin_cpu_supports("sse4.1"); }
bool has_avx2() { return __builtin_cpu_supports("avx2"); }
bool has_avx512() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
}
bool has_vnni() { return has_avx512() && __builtin_cpu_supports("avx512vnni"); }
#elif LIC_X86
bool has_sse41() { return true; }
bool os_saves(unsigned mask) {
    int info[4];
    __cpuid(info, 1);
    return (info[2] >> 27 & 1) && (_xgetbv(0) & mask) == mask;
}
int leaf7(int k) {
    int info[4];
    __cpuidex(info, 7, 0);
    return info[k];
}
bool has_avx2() { return os_saves(0x6) && (leaf7(1) >> 5 & 1); }
bool has_avx512() { return os_saves(0xE6) && (leaf7(1) >> 16 & 1) && (leaf7(1) >> 30 & 1) && (leaf7(1) >> 31 & 1); }
bool has_vnni() { return has_avx512() && (leaf7(2) >> 11 & 1); }
#endif

}  // namespace

std::vector<const Kernels*> available_kernels() {
    std::vector<const Kernels*> sets{&plain_kernels()};
#if LIC_X86
    if (has_sse41()) sets.push_back(&sse41_kernels());
    if (has_avx2()) sets.push_back(&avx2_kernels());
    if (has_avx512()) sets.push_back(&avx512_kernels());
    if (has_vnni()) sets.push_back(&vnni_kernels());
#elif LIC_NEON
    sets.push_back(&neon_kernels());
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

}  // namespace lic::nn

// 512 bits with VNNI, which multiplies pairs and adds in one instruction.
#define LIC_NN_SET vnni
#define LIC_NN_DOT(acc, a, b) _mm512_dpwssd_epi32(acc, a, b)
#include "kernels_avx512.inl"

namespace lic::nn {

const Kernels& vnni_kernels() {
    static const Kernels set = vnni::set_named("avx512-vnni");
    return set;
}

}  // namespace lic::nn

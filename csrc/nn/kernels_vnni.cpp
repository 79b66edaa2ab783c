// 512 bits with VNNI, which multiplies pairs and adds in one instruction.
#define LIC_NN_SET vnni
#define LIC_NN_DOT(acc, a, b) _mm512_dpwssd_epi32(acc, a, b)
#include "kernels_avx512.inl"

namespace lic::nn {

const Kernels& vnni_kernels() {
    static const Kernels set{"avx512-vnni", vnni::pack,    vnni::pack_depthwise,
                             vnni::finish,  vnni::product, vnni::depthwise};
    return set;
}

}  // namespace lic::nn

// 512 bits without VNNI.
#define LIC_NN_SET avx512
#define LIC_NN_DOT(acc, a, b) _mm512_add_epi32(acc, _mm512_madd_epi16(a, b))
#include "kernels_avx512.inl"

namespace lic::nn {

const Kernels& avx512_kernels() {
    static const Kernels set = avx512::set_named("avx512");
    return set;
}

}  // namespace lic::nn

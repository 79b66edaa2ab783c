// 512 bits without VNNI.
#define LIC_NN_SET avx512
#define LIC_NN_DOT(acc, a, b) _mm512_add_epi32(acc, _mm512_madd_epi16(a, b))
#include "kernels_avx512.inl"

namespace lic::nn {

const Kernels& avx512_kernels() {
    static const Kernels set{"avx512",       avx512::pack,    avx512::pack_depthwise,
                             avx512::finish, avx512::product, avx512::depthwise};
    return set;
}

}  // namespace lic::nn

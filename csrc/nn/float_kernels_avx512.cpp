// 512 bits.
#include "float_kernels.h"
#include "vec_x86_common.h"

namespace lic::nn {
namespace avx512 {
namespace {

using VF = __m512;
constexpr std::size_t kLanes = 16, kWide = 4, kSignLanes = 32;
constexpr int kPositionsWide = 6, kPositionsThree = 8, kPositionsTwo = 12;

LIC_NN_INLINE VF zero() { return _mm512_setzero_ps(); }
LIC_NN_INLINE VF load(const float* from) { return _mm512_loadu_ps(from); }
LIC_NN_INLINE VF all(const float* from) { return _mm512_set1_ps(*from); }
LIC_NN_INLINE void store(float* to, VF v) { _mm512_storeu_ps(to, v); }
LIC_NN_INLINE VF add(VF a, VF b) { return _mm512_add_ps(a, b); }
LIC_NN_INLINE VF multiply_add(VF a, VF b, VF c) { return _mm512_fmadd_ps(a, b, c); }
LIC_NN_INLINE VF leaky(VF v, const std::uint8_t* signs, std::size_t n) {
    std::uint16_t bits;
    std::memcpy(&bits, signs + n / 8, sizeof bits);
    return _mm512_mask_mul_ps(v, static_cast<__mmask16>(~bits), v, _mm512_set1_ps(kSlope));
}
LIC_NN_INLINE void above_zero(const i16* from, std::uint8_t* to) {
    const __mmask32 bits = _mm512_cmpgt_epi16_mask(_mm512_loadu_si512(from), _mm512_setzero_si512());
    std::memcpy(to, &bits, sizeof bits);
}

#include "float_kernels.inl"

}  // namespace
}  // namespace avx512

const FloatKernels& avx512_float_kernels() {
    static const FloatKernels set = avx512::set_named("avx512");
    return set;
}

}  // namespace lic::nn

// 128 bits, without a fused multiply-add.
#include "float_kernels.h"
#include "vec_x86_common.h"

namespace lic::nn {
namespace sse41 {
namespace {

using VF = __m128;
constexpr std::size_t kLanes = 4, kWide = 2, kSignLanes = 16;
constexpr int kPositionsWide = 6, kPositionsThree = 1, kPositionsTwo = 1;

LIC_NN_INLINE VF zero() { return _mm_setzero_ps(); }
LIC_NN_INLINE VF load(const float* from) { return _mm_loadu_ps(from); }
LIC_NN_INLINE VF all(const float* from) { return _mm_set1_ps(*from); }
LIC_NN_INLINE void store(float* to, VF v) { _mm_storeu_ps(to, v); }
LIC_NN_INLINE VF add(VF a, VF b) { return _mm_add_ps(a, b); }
LIC_NN_INLINE VF multiply_add(VF a, VF b, VF c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }
LIC_NN_INLINE VF leaky(VF v, const std::uint8_t* signs, std::size_t n) {
    const __m128i bit = _mm_setr_epi32(1, 2, 4, 8), bits = _mm_set1_epi32(signs[n / 8] >> n % 8);
    const __m128i set = _mm_cmpeq_epi32(_mm_and_si128(bits, bit), bit);
    return _mm_blendv_ps(_mm_mul_ps(v, _mm_set1_ps(kSlope)), v, _mm_castsi128_ps(set));
}
LIC_NN_INLINE void above_zero(const i16* from, std::uint8_t* to) {
    const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)),
                  b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 8));
    const __m128i both =
        _mm_packs_epi16(_mm_cmpgt_epi16(a, _mm_setzero_si128()), _mm_cmpgt_epi16(b, _mm_setzero_si128()));
    const auto bits = static_cast<std::uint16_t>(_mm_movemask_epi8(both));
    std::memcpy(to, &bits, sizeof bits);
}

#include "float_kernels.inl"

}  // namespace
}  // namespace sse41

const FloatKernels& sse41_float_kernels() {
    static const FloatKernels set = sse41::set_named("sse4.1");
    return set;
}

}  // namespace lic::nn

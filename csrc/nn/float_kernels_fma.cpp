// 256 bits with a fused multiply-add.
#include "float_kernels.h"
#include "vec_x86_common.h"

namespace lic::nn {
namespace fma {
namespace {

using VF = __m256;
constexpr std::size_t kLanes = 8, kWide = 2, kSignLanes = 32;
constexpr int kPositionsWide = 6, kPositionsThree = 1, kPositionsTwo = 1;

LIC_NN_INLINE VF zero() { return _mm256_setzero_ps(); }
LIC_NN_INLINE VF load(const float* from) { return _mm256_loadu_ps(from); }
LIC_NN_INLINE VF all(const float* from) { return _mm256_broadcast_ss(from); }
LIC_NN_INLINE void store(float* to, VF v) { _mm256_storeu_ps(to, v); }
LIC_NN_INLINE VF add(VF a, VF b) { return _mm256_add_ps(a, b); }
LIC_NN_INLINE VF multiply_add(VF a, VF b, VF c) { return _mm256_fmadd_ps(a, b, c); }
LIC_NN_INLINE VF leaky(VF v, const std::uint8_t* signs, std::size_t n) {
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128), bits = _mm256_set1_epi32(signs[n / 8]);
    const __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(bits, bit), bit);
    return _mm256_blendv_ps(_mm256_mul_ps(v, _mm256_set1_ps(kSlope)), v, _mm256_castsi256_ps(set));
}
LIC_NN_INLINE void above_zero(const i16* from, std::uint8_t* to) {
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)),
                  b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 16));
    const __m256i both = _mm256_packs_epi16(_mm256_cmpgt_epi16(a, _mm256_setzero_si256()),
                                            _mm256_cmpgt_epi16(b, _mm256_setzero_si256()));
    const i32 bits = _mm256_movemask_epi8(_mm256_permute4x64_epi64(both, 0xD8));
    std::memcpy(to, &bits, sizeof bits);
}

#include "float_kernels.inl"

}  // namespace
}  // namespace fma

const FloatKernels& fma_float_kernels() {
    static const FloatKernels set = fma::set_named("fma");
    return set;
}

}  // namespace lic::nn

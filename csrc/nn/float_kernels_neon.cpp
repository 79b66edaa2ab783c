// 128 bits of 64-bit ARM.
#include "float_kernels.h"

#if LIC_NEON
#include <arm_neon.h>

#include <cstring>

#define LIC_NN_INLINE static inline __attribute__((always_inline))
#define LIC_NN_UNROLL _Pragma("GCC unroll 32")

namespace lic::nn {
namespace neon {
namespace {

using VF = float32x4_t;
constexpr std::size_t kLanes = 4, kWide = 4, kSignLanes = 8;
constexpr int kPositionsWide = 6, kPositionsThree = 1, kPositionsTwo = 1;

LIC_NN_INLINE VF zero() { return vdupq_n_f32(0.0f); }
LIC_NN_INLINE VF load(const float* from) { return vld1q_f32(from); }
LIC_NN_INLINE VF all(const float* from) { return vld1q_dup_f32(from); }
LIC_NN_INLINE void store(float* to, VF v) { vst1q_f32(to, v); }
LIC_NN_INLINE VF add(VF a, VF b) { return vaddq_f32(a, b); }
LIC_NN_INLINE VF multiply_add(VF a, VF b, VF c) { return vfmaq_f32(c, a, b); }
LIC_NN_INLINE VF leaky(VF v, const std::uint8_t* signs, std::size_t n) {
    const std::uint32_t one[4] = {1, 2, 4, 8};
    const uint32x4_t bits = vdupq_n_u32(static_cast<std::uint32_t>(signs[n / 8] >> n % 8));
    return vbslq_f32(vtstq_u32(bits, vld1q_u32(one)), v, vmulq_n_f32(v, kSlope));
}
LIC_NN_INLINE void above_zero(const i16* from, std::uint8_t* to) {
    const std::uint16_t one[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    *to = static_cast<std::uint8_t>(vaddvq_u16(vandq_u16(vcgtzq_s16(vld1q_s16(from)), vld1q_u16(one))));
}

#include "float_kernels.inl"

}  // namespace
}  // namespace neon

const FloatKernels& neon_float_kernels() {
    static const FloatKernels set = neon::set_named("neon");
    return set;
}

}  // namespace lic::nn

#endif

// 128 bits of 64-bit ARM.
#include "kernels.h"

#if LIC_NEON
#include <arm_neon.h>

#include <cstring>

#define LIC_NN_INLINE static inline __attribute__((always_inline))
#define LIC_NN_UNROLL _Pragma("GCC unroll 32")

namespace lic::nn {
namespace neon {
namespace {

using V32 = int32x4_t;
using V16 = int16x8_t;
constexpr std::size_t kLanes = 4, kWide = 2;
constexpr int kPositionsWide = 6, kPositionsOne = 8;
constexpr bool kPairsApart = true;  // the widening products take halves of vectors

inline std::size_t wide_lane(std::size_t i) { return i; }
LIC_NN_INLINE V32 zero() { return vdupq_n_s32(0); }
LIC_NN_INLINE V16 load(const i16* from) { return vld1q_s16(from); }
LIC_NN_INLINE void store(i16* to, V16 v) { vst1q_s16(to, v); }
LIC_NN_INLINE V16 pair(const i16* from) { return vcombine_s16(vld1_dup_s16(from), vld1_dup_s16(from + 1)); }
LIC_NN_INLINE V32 dot(V32 acc, V16 a, V16 b) {
    return vmlal_high_s16(vmlal_s16(acc, vget_low_s16(a), vget_low_s16(b)), a, b);
}
LIC_NN_INLINE V16 interleave_low(V16 a, V16 b) { return vcombine_s16(vget_low_s16(a), vget_low_s16(b)); }
LIC_NN_INLINE V16 interleave_high(V16 a, V16 b) { return vcombine_s16(vget_high_s16(a), vget_high_s16(b)); }
LIC_NN_INLINE V32 requantised(V32 acc, const i32* scale, const i64* bias) {
    const int32x4_t m = vld1q_s32(scale);
    const int64x2_t low = vmlal_s32(vld1q_s64(bias), vget_low_s32(acc), vget_low_s32(m));
    const int64x2_t high = vmlal_high_s32(vld1q_s64(bias + 2), acc, m);
    return vcombine_s32(vshrn_n_s64(low, 32), vshrn_n_s64(high, 32));
}
LIC_NN_INLINE V16 narrow(V32 low, V32 high) { return vcombine_s16(vqmovn_s32(low), vqmovn_s32(high)); }
LIC_NN_INLINE V16 leaky(V16 v) { return vmaxq_s16(v, vqrdmulhq_n_s16(v, LIC_LEAKY_SLOPE)); }
LIC_NN_INLINE V16 add(V16 a, V16 b) { return vqaddq_s16(a, b); }
LIC_NN_INLINE V32 clipped(V32 v) {
    return vminq_s32(vmaxq_s32(v, vdupq_n_s32(-LIC_MEAN_MAX)), vdupq_n_s32(LIC_MEAN_MAX));
}
LIC_NN_INLINE void store_wide(i32* to, V32 low, V32 high) {
    vst1q_s32(to, low);
    vst1q_s32(to + 4, high);
}

#include "kernels.inl"

}  // namespace
}  // namespace neon

const Kernels& neon_kernels() {
    static const Kernels set = neon::set_named("neon");
    return set;
}

}  // namespace lic::nn

#endif

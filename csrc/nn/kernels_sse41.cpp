// 128 bits, for every x86-64 since 2008.
#include "kernels.h"
#include "vec_x86_common.h"

namespace lic::nn {
namespace sse41 {
namespace {

using V32 = __m128i;
using V16 = __m128i;
constexpr std::size_t kLanes = 4, kWide = 1;
constexpr int kPositionsWide = 4, kPositionsOne = 4;
constexpr bool kPairsApart = false;

inline std::size_t wide_lane(std::size_t i) { return i < kLanes / 2 ? 2 * i : 2 * i - kLanes + 1; }
LIC_NN_INLINE V32 zero() { return _mm_setzero_si128(); }
LIC_NN_INLINE V16 load(const i16* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }
LIC_NN_INLINE void store(i16* to, V16 v) { _mm_storeu_si128(reinterpret_cast<__m128i*>(to), v); }
LIC_NN_INLINE V16 pair(const i16* from) {
    i32 both;
    std::memcpy(&both, from, sizeof both);
    return _mm_set1_epi32(both);
}
LIC_NN_INLINE V32 dot(V32 acc, V16 a, V16 b) { return _mm_add_epi32(acc, _mm_madd_epi16(a, b)); }
LIC_NN_INLINE V16 interleave_low(V16 a, V16 b) { return _mm_unpacklo_epi16(a, b); }
LIC_NN_INLINE V16 interleave_high(V16 a, V16 b) { return _mm_unpackhi_epi16(a, b); }
LIC_NN_INLINE V32 requantised(V32 acc, const i32* scale, const i64* bias) {
    const __m128i m = _mm_loadu_si128(reinterpret_cast<const __m128i*>(scale));
    const __m128i even = _mm_add_epi64(_mm_mul_epi32(acc, m), _mm_loadu_si128(reinterpret_cast<const __m128i*>(bias)));
    const __m128i odd = _mm_add_epi64(_mm_mul_epi32(_mm_srli_epi64(acc, 32), _mm_srli_epi64(m, 32)),
                                      _mm_loadu_si128(reinterpret_cast<const __m128i*>(bias + kLanes / 2)));
    return _mm_blend_epi16(_mm_srli_epi64(even, 32), odd, 0xCC);
}
LIC_NN_INLINE V16 narrow(V32 low, V32 high) { return _mm_packs_epi32(low, high); }
LIC_NN_INLINE V16 leaky(V16 v) { return _mm_max_epi16(v, _mm_mulhrs_epi16(v, _mm_set1_epi16(LIC_LEAKY_SLOPE))); }
LIC_NN_INLINE V16 add(V16 a, V16 b) { return _mm_adds_epi16(a, b); }
LIC_NN_INLINE V32 clipped(V32 v) {
    return _mm_min_epi32(_mm_max_epi32(v, _mm_set1_epi32(-LIC_MEAN_MAX)), _mm_set1_epi32(LIC_MEAN_MAX));
}
LIC_NN_INLINE void store_wide(i32* to, V32 low, V32 high) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), low);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 4), high);
}

#include "kernels.inl"

}  // namespace
}  // namespace sse41

const Kernels& sse41_kernels() {
    static const Kernels set = sse41::set_named("sse4.1");
    return set;
}

}  // namespace lic::nn

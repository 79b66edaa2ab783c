// 512 bits; the file that includes this says what `dot` is, LIC_NN_DOT(acc, a, b), and names the namespace, LIC_NN_SET.
#include "kernels.h"
#include "vec_x86_common.h"

namespace lic::nn {
namespace LIC_NN_SET {
namespace {

using V32 = __m512i;
using V16 = __m512i;
constexpr std::size_t kLanes = 16, kWide = 2;
constexpr int kPositionsWide = 6, kPositionsOne = 12;
constexpr bool kPairsApart = false;

inline std::size_t wide_lane(std::size_t i) { return i < kLanes / 2 ? 2 * i : 2 * i - kLanes + 1; }
LIC_NN_INLINE V32 zero() { return _mm512_setzero_si512(); }
LIC_NN_INLINE V16 load(const i16* from) { return _mm512_loadu_si512(from); }
LIC_NN_INLINE void store(i16* to, V16 v) { _mm512_storeu_si512(to, v); }
LIC_NN_INLINE V16 pair(const i16* from) {
    i32 both;
    std::memcpy(&both, from, sizeof both);
    return _mm512_set1_epi32(both);
}
LIC_NN_INLINE V32 dot(V32 acc, V16 a, V16 b) { return LIC_NN_DOT(acc, a, b); }
LIC_NN_INLINE V16 interleave_low(V16 a, V16 b) { return _mm512_unpacklo_epi16(a, b); }
LIC_NN_INLINE V16 interleave_high(V16 a, V16 b) { return _mm512_unpackhi_epi16(a, b); }
LIC_NN_INLINE V32 requantised(V32 acc, const i32* scale, const i64* bias) {
    const __m512i m = _mm512_loadu_si512(scale);
    const __m512i even = _mm512_add_epi64(_mm512_mul_epi32(acc, m), _mm512_loadu_si512(bias));
    const __m512i odd = _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(acc, 32), _mm512_srli_epi64(m, 32)),
                                         _mm512_loadu_si512(bias + kLanes / 2));
    return _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 32), odd);
}
LIC_NN_INLINE V16 narrow(V32 low, V32 high) { return _mm512_packs_epi32(low, high); }
LIC_NN_INLINE V16 leaky(V16 v) {
    return _mm512_max_epi16(v, _mm512_mulhrs_epi16(v, _mm512_set1_epi16(LIC_LEAKY_SLOPE)));
}
LIC_NN_INLINE V16 add(V16 a, V16 b) { return _mm512_adds_epi16(a, b); }
LIC_NN_INLINE V32 clipped(V32 v) {
    return _mm512_min_epi32(_mm512_max_epi32(v, _mm512_set1_epi32(-LIC_MEAN_MAX)), _mm512_set1_epi32(LIC_MEAN_MAX));
}
LIC_NN_INLINE void store_wide(i32* to, V32 low, V32 high) {
    const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    const __m512i second = _mm512_setr_epi32(8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
    _mm512_storeu_si512(to, _mm512_permutex2var_epi32(low, first, high));
    _mm512_storeu_si512(to + 16, _mm512_permutex2var_epi32(low, second, high));
}

#include "kernels.inl"

}  // namespace
}  // namespace LIC_NN_SET
}  // namespace lic::nn

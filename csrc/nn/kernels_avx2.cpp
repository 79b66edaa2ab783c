// 256 bits.
#include "kernels.h"
#include "vec_x86_common.h"

namespace lic::nn {
namespace avx2 {
namespace {

using V32 = __m256i;
using V16 = __m256i;
constexpr std::size_t kLanes = 8, kWide = 1;
constexpr int kPositionsWide = 6, kPositionsOne = 6;
constexpr bool kPairsApart = false;

inline std::size_t wide_lane(std::size_t i) { return i < kLanes / 2 ? 2 * i : 2 * i - kLanes + 1; }
LIC_NN_INLINE V32 zero() { return _mm256_setzero_si256(); }
LIC_NN_INLINE V16 load(const i16* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
LIC_NN_INLINE void store(i16* to, V16 v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), v); }
LIC_NN_INLINE V16 pair(const i16* from) {
    i32 both;
    std::memcpy(&both, from, sizeof both);
    return _mm256_set1_epi32(both);
}
LIC_NN_INLINE V32 dot(V32 acc, V16 a, V16 b) { return _mm256_add_epi32(acc, _mm256_madd_epi16(a, b)); }
LIC_NN_INLINE V16 interleave_low(V16 a, V16 b) { return _mm256_unpacklo_epi16(a, b); }
LIC_NN_INLINE V16 interleave_high(V16 a, V16 b) { return _mm256_unpackhi_epi16(a, b); }
LIC_NN_INLINE V32 requantised(V32 acc, const i32* scale, const i64* bias) {
    const __m256i m = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(scale));
    const __m256i even =
        _mm256_add_epi64(_mm256_mul_epi32(acc, m), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bias)));
    const __m256i odd = _mm256_add_epi64(_mm256_mul_epi32(_mm256_srli_epi64(acc, 32), _mm256_srli_epi64(m, 32)),
                                         _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bias + kLanes / 2)));
    return _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
}
LIC_NN_INLINE V16 narrow(V32 low, V32 high) { return _mm256_packs_epi32(low, high); }
LIC_NN_INLINE V16 leaky(V16 v) {
    return _mm256_max_epi16(v, _mm256_mulhrs_epi16(v, _mm256_set1_epi16(LIC_LEAKY_SLOPE)));
}
LIC_NN_INLINE V16 add(V16 a, V16 b) { return _mm256_adds_epi16(a, b); }
LIC_NN_INLINE V32 clipped(V32 v) {
    return _mm256_min_epi32(_mm256_max_epi32(v, _mm256_set1_epi32(-LIC_MEAN_MAX)), _mm256_set1_epi32(LIC_MEAN_MAX));
}
LIC_NN_INLINE void store_wide(i32* to, V32 low, V32 high) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_permute2x128_si256(low, high, 0x20));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 8), _mm256_permute2x128_si256(low, high, 0x31));
}

#include "kernels.inl"

}  // namespace
}  // namespace avx2

const Kernels& avx2_kernels() {
    static const Kernels set = avx2::set_named("avx2");
    return set;
}

}  // namespace lic::nn

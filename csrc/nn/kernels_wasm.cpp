// 128 bits of WebAssembly (SIMD128).
#include "kernels.h"

#if LIC_WASM
#include <wasm_simd128.h>

#include <cstring>

#define LIC_NN_INLINE static inline __attribute__((always_inline))
#define LIC_NN_UNROLL _Pragma("GCC unroll 32")

namespace lic::nn {
namespace wasm {
namespace {

using V32 = v128_t;
using V16 = v128_t;
constexpr std::size_t kLanes = 4, kWide = 1;
constexpr int kPositionsWide = 4, kPositionsOne = 4;  // more would not fit an x86's registers, on which V8 maps them
constexpr bool kPairsApart = false;

inline std::size_t wide_lane(std::size_t i) { return i; }
LIC_NN_INLINE V32 zero() { return wasm_i32x4_const_splat(0); }
LIC_NN_INLINE V16 load(const i16* from) { return wasm_v128_load(from); }
LIC_NN_INLINE void store(i16* to, V16 v) { wasm_v128_store(to, v); }
LIC_NN_INLINE V16 pair(const i16* from) { return wasm_v128_load32_splat(from); }
LIC_NN_INLINE V32 dot(V32 acc, V16 a, V16 b) { return wasm_i32x4_add(acc, wasm_i32x4_dot_i16x8(a, b)); }
LIC_NN_INLINE V16 interleave_low(V16 a, V16 b) { return wasm_i16x8_shuffle(a, b, 0, 8, 1, 9, 2, 10, 3, 11); }
LIC_NN_INLINE V16 interleave_high(V16 a, V16 b) { return wasm_i16x8_shuffle(a, b, 4, 12, 5, 13, 6, 14, 7, 15); }
LIC_NN_INLINE V32 requantised(V32 acc, const i32* scale, const i64* bias) {
    const v128_t m = wasm_v128_load(scale);
    const v128_t low = wasm_i64x2_add(wasm_i64x2_extmul_low_i32x4(acc, m), wasm_v128_load(bias));
    const v128_t high = wasm_i64x2_add(wasm_i64x2_extmul_high_i32x4(acc, m), wasm_v128_load(bias + 2));
    return wasm_i32x4_shuffle(low, high, 1, 3, 5, 7);
}
LIC_NN_INLINE V16 narrow(V32 low, V32 high) { return wasm_i16x8_narrow_i32x4(low, high); }
LIC_NN_INLINE V16 leaky(V16 v) {
    return wasm_i16x8_max(v, wasm_i16x8_q15mulr_sat(v, wasm_i16x8_const_splat(LIC_LEAKY_SLOPE)));
}
LIC_NN_INLINE V16 add(V16 a, V16 b) { return wasm_i16x8_add_sat(a, b); }
LIC_NN_INLINE V32 clipped(V32 v) {
    return wasm_i32x4_min(wasm_i32x4_max(v, wasm_i32x4_const_splat(-LIC_MEAN_MAX)),
                          wasm_i32x4_const_splat(LIC_MEAN_MAX));
}
LIC_NN_INLINE void store_wide(i32* to, V32 low, V32 high) {
    wasm_v128_store(to, low);
    wasm_v128_store(to + 4, high);
}

#include "kernels.inl"

}  // namespace
}  // namespace wasm

const Kernels& wasm_kernels() {
    static const Kernels set = wasm::set_named("wasm");
    return set;
}

}  // namespace lic::nn

#endif

// What kernels ask of the machine beyond plain C++: matrix units, asynchronous copies, sixteen-bit floats, fast roots.
// All PTX is here, and no header is included, so that NVRTC needs no path. tests/warp_on_cpu.h has the same names for a
// CPU.
#ifndef LIC_WARP_CUH
#define LIC_WARP_CUH

using u16 = unsigned short;
using u32 = unsigned int;
using i64 = long long;

// --- sixteen-bit floats, two in a word: `low` is the one at the lower address
// ------------------------------------------

__device__ __forceinline__ float low_bf16(u32 pair) { return __uint_as_float(pair << 16); }
__device__ __forceinline__ float high_bf16(u32 pair) { return __uint_as_float(pair & 0xffff0000u); }

__device__ __forceinline__ float low_f16(u32 pair) {
    float value;
    asm("{ .reg .b16 l, h; mov.b32 {l, h}, %1; cvt.f32.f16 %0, l; }" : "=f"(value) : "r"(pair));
    return value;
}

__device__ __forceinline__ float high_f16(u32 pair) {
    float value;
    asm("{ .reg .b16 l, h; mov.b32 {l, h}, %1; cvt.f32.f16 %0, h; }" : "=f"(value) : "r"(pair));
    return value;
}

// Rounds to nearest, ties to even; PTX names the high half first.
__device__ __forceinline__ u32 pack_f16(float low, float high) {
    u32 pair;
#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
#else
    asm("{ .reg .b16 l, h; cvt.rn.f16.f32 l, %1; cvt.rn.f16.f32 h, %2; mov.b32 %0, {l, h}; }"
        : "=r"(pair)
        : "f"(low), "f"(high));
#endif
    return pair;
}

__device__ __forceinline__ u32 pack_bf16(float low, float high) {
    u32 pair;
#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
#else
    // Adding half a unit of the last place, less one if that place is even, carries exactly where rounding goes up.
    const u32 l = __float_as_uint(low), h = __float_as_uint(high);
    const u32 l_up = low == low ? l + 0x7fffu + (l >> 16 & 1) : l | 0x400000u;  // a NaN stays one
    const u32 h_up = high == high ? h + 0x7fffu + (h >> 16 & 1) : h | 0x400000u;
    pair = l_up >> 16 | (h_up & 0xffff0000u);
#endif
    return pair;
}

// (low of a, low of b) and (high of a, high of b): two channels of two pixels become two pixels of two channels.
__device__ __forceinline__ u32 lows(u32 a, u32 b) { return __byte_perm(a, b, 0x5410); }
__device__ __forceinline__ u32 highs(u32 a, u32 b) { return __byte_perm(a, b, 0x7632); }

// --- roots: maximum relative errors 2^-22.9 and 2^-23 (PTX ISA)
// -------------------------------------------------------

__device__ __forceinline__ float rsqrt_fast(float v) {
    float root;
    asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(root) : "f"(v));
    return root;
}

__device__ __forceinline__ float sqrt_fast(float v) {
    float root;
    asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(root) : "f"(v));
    return root;
}

#if __CUDA_ARCH__ >= 800

// Each half times itself, rounded once. `minus_zero` is 0x80008000, which adds nothing.
__device__ __forceinline__ u32 square_bf16(u32 pair, u32 minus_zero) {
    u32 square;
    asm("fma.rn.bf16x2 %0, %1, %1, %2;" : "=r"(square) : "r"(pair), "r"(minus_zero));
    return square;
}

// Nearest value with 10 bits after the point, which is all that the matrix units see of a float32.
__device__ __forceinline__ float round_tf32(float value) {
    u32 rounded;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(value));
    return __uint_as_float(rounded);
}

// d += a b, for a whole warp. Lane 4 g + t holds, of a (16 rows): a0 row g, a1 row g + 8, both at columns t of the
// first half of the columns, a2 and a3 the same rows at columns t of the second half; of b (8 columns): column g, rows
// as a's columns; of d: columns 2 t and 2 t + 1 of row g, then of row g + 8. "Column t" is one float32 or two
// neighbouring bfloat16.
__device__ __forceinline__ void mma_bf16(float (&d)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

__device__ __forceinline__ void mma_tf32(float (&d)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

#endif

// --- vectors of 1, 2 or 4 words between global memory and registers, in one access each, without a branch
// ---------------- Written in PTX because the compiler takes a store of four words apart.

template <int WORDS>
__device__ __forceinline__ void read_global(u32 (&v)[WORDS], const void* from,
                                            bool inside) {  // zeros where it is outside
    if constexpr (WORDS == 4) {
        asm volatile(
            "{ .reg .pred p; setp.ne.u32 p, %5, 0; mov.b32 %0, 0; mov.b32 %1, 0; mov.b32 %2, 0; mov.b32 %3, 0;"
            " @p ld.global.v4.b32 {%0, %1, %2, %3}, [%4]; }"
            : "=&r"(v[0]), "=&r"(v[1]), "=&r"(v[2]), "=&r"(v[3])
            : "l"(from), "r"(u32(inside))
            : "memory");
    } else if constexpr (WORDS == 2) {
        asm volatile(
            "{ .reg .pred p; setp.ne.u32 p, %3, 0; mov.b32 %0, 0; mov.b32 %1, 0; @p ld.global.v2.b32 {%0, %1}, [%2]; }"
            : "=&r"(v[0]), "=&r"(v[1])
            : "l"(from), "r"(u32(inside))
            : "memory");
    } else {
        asm volatile("{ .reg .pred p; setp.ne.u32 p, %2, 0; mov.b32 %0, 0; @p ld.global.b32 %0, [%1]; }"
                     : "=&r"(v[0])
                     : "l"(from), "r"(u32(inside))
                     : "memory");
    }
}

template <int WORDS>
__device__ __forceinline__ void write_global(const u32 (&v)[WORDS], void* to, bool inside) {
    if constexpr (WORDS == 4) {
        asm volatile("{ .reg .pred p; setp.ne.u32 p, %5, 0; @p st.global.v4.b32 [%4], {%0, %1, %2, %3}; }" ::"r"(v[0]),
                     "r"(v[1]), "r"(v[2]), "r"(v[3]), "l"(to), "r"(u32(inside))
                     : "memory");
    } else if constexpr (WORDS == 2) {
        asm volatile("{ .reg .pred p; setp.ne.u32 p, %3, 0; @p st.global.v2.b32 [%2], {%0, %1}; }" ::"r"(v[0]),
                     "r"(v[1]), "l"(to), "r"(u32(inside))
                     : "memory");
    } else {
        asm volatile("{ .reg .pred p; setp.ne.u32 p, %2, 0; @p st.global.b32 [%1], %0; }" ::"r"(v[0]), "l"(to),
                     "r"(u32(inside))
                     : "memory");
    }
}

// Shared memory by addresses of 32 bits: from pointers, NVRTC computes each one anew in 64, which costs registers.
__device__ __forceinline__ u32 shared_address(const void* pointer) {
    return static_cast<u32>(__cvta_generic_to_shared(pointer));
}

template <int WORDS>
__device__ __forceinline__ void read_shared(u32 (&v)[WORDS], u32 from) {
    if constexpr (WORDS == 4) {
        asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3])
                     : "r"(from)
                     : "memory");
    } else if constexpr (WORDS == 2) {
        asm volatile("ld.shared.v2.b32 {%0, %1}, [%2];" : "=r"(v[0]), "=r"(v[1]) : "r"(from) : "memory");
    } else {
        asm volatile("ld.shared.b32 %0, [%1];" : "=r"(v[0]) : "r"(from) : "memory");
    }
}

#if __CUDA_ARCH__ >= 800

// --- asynchronous copies of 1, 2 or 4 words from global to shared memory; zeros where it is outside, and nothing is
// read -----

template <int WORDS>
__device__ __forceinline__ void copy_async(u32 to, const void* from, bool inside) {
    const u32 bytes = inside ? 4 * WORDS : 0;
    if constexpr (WORDS == 4) {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
    } else {
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from), "n"(4 * WORDS), "r"(bytes)
                     : "memory");
    }
}

// The calling thread's own copies are in shared memory, for the calling thread.
__device__ __forceinline__ void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

#endif
#endif

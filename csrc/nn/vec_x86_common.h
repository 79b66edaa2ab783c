// What the x86 kernel sets share: macros alone, since functions shared between differently compiled files are a trap.
#ifndef LIC_NN_VEC_X86_COMMON_H
#define LIC_NN_VEC_X86_COMMON_H

#include <cstring>

#include "../intrinsics.h"

#if defined(_MSC_VER) && !defined(__clang__)
#define LIC_NN_INLINE static __forceinline
#define LIC_NN_UNROLL
#else
#define LIC_NN_INLINE static inline __attribute__((always_inline))
#define LIC_NN_UNROLL _Pragma("GCC unroll 32")
#endif

#endif

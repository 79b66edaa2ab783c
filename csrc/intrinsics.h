// The compiler's own intrinsics, without the warnings that GCC 12 has of them. For files of an instruction set (cpu.h).
#ifndef LIC_INTRINSICS_H
#define LIC_INTRINSICS_H

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#endif

// Which instruction sets' files belong to this build. CMake says so, which may build for several machines at once and
// then leaves them out; else the compiler does. Includes nothing.
#ifndef LIC_MACHINE_H
#define LIC_MACHINE_H

#if !defined(LIC_X86)
#if defined(__x86_64__) || defined(_M_X64)
#define LIC_X86 1
#else
#define LIC_X86 0
#endif
#endif

#if defined(__aarch64__) || defined(_M_ARM64)  // which has NEON without a flag
#define LIC_NEON 1
#else
#define LIC_NEON 0
#endif

#if defined(__wasm_simd128__)  // WebAssembly's vectors, where the compiler is told of them (-msimd128)
#define LIC_WASM 1
#else
#define LIC_WASM 0
#endif

#endif

// Which instruction sets this CPU and this build have, and which of them is in use.
// Includes the standard library; must not include intrinsics or Python.
//
// READ ME FIRST
// - Code for an instruction set lies in a file of its own, named after it: scale_map_avx2.cpp. The build gives such a
// file
//   its flags (csrc/instruction_sets.txt); no other file has any, so that it runs everywhere.
// - A linker keeps one copy of an inline function or template that several files emit, and it may keep the one with the
//   flags. So these files include nothing that could emit one (no <vector>, no <algorithm>): what they share with
//   others is static, and they take and give plain pointers. A test looks at their symbols.
#ifndef LIC_CPU_H
#define LIC_CPU_H

#include <atomic>

#include "machine.h"

namespace lic {

// In ascending order: a CPU that has one has those before it. avx512 is F, BW, VL and DQ, as every server core since
// 2017 has them.
enum class Simd : int { scalar, sse41, avx2, avx512 };

constexpr Simd kAllSimd[] = {Simd::scalar, Simd::sse41, Simd::avx2, Simd::avx512};

const char* simd_name(Simd level);
bool simd_supported(Simd level);
Simd simd_best();

// Extensions of AVX2 and AVX-512, by the CPU alone.
bool cpu_has_fma();    // fused multiply-add of floats
bool cpu_has_vbmi2();  // packs and spreads bytes and words
bool cpu_has_vnni();   // sums of products of bytes or words

// The level in use, of the whole process; tests set it, everyone else leaves it at the best one.
std::atomic<Simd>& simd_in_use();

inline Simd simd_level() { return simd_in_use().load(std::memory_order_relaxed); }

// The same of the extensions, which belong to the level avx512: false when tests chose a lower one.
bool use_vbmi2();
bool use_vnni();

}  // namespace lic

#endif

// See cpu.h. What a CPU has is asked once and kept.
#include "cpu.h"

#include <initializer_list>

#if LIC_X86 && defined(_MSC_VER) && !defined(__clang__)
#include <immintrin.h>
#include <intrin.h>
#elif LIC_X86
#include <cpuid.h>
#endif

namespace lic {
namespace {

struct Features {
    bool sse41 = false, avx2 = false, fma = false, avx512 = false, vbmi2 = false, vnni = false;
};

#if LIC_X86
// The CPU is asked itself, not by __builtin_cpu_supports, which says no to everything in programs that zig links.
using Leaf = int[4];  // eax, ebx, ecx, edx

#if defined(_MSC_VER) && !defined(__clang__)
void ask(int number, Leaf& leaf) { __cpuidex(leaf, number, 0); }
unsigned long long registers_kept() { return _xgetbv(0); }
#else
void ask(int number, Leaf& leaf) { __cpuid_count(number, 0, leaf[0], leaf[1], leaf[2], leaf[3]); }
unsigned long long registers_kept() {
    unsigned low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (static_cast<unsigned long long>(high) << 32) | low;
}
#endif

Features asked() {
    Features f;
    Leaf leaf;
    const auto bit = [&leaf](int word, int at) { return (leaf[word] >> at & 1) != 0; };
    ask(0, leaf);
    const int most = leaf[0];
    ask(1, leaf);
    f.sse41 = bit(2, 19);
    if (!bit(2, 27) || most < 7) return f;  // OSXSAVE
    const bool fused = bit(2, 12);
    const unsigned long long kept = registers_kept();  // that the system saves
    ask(7, leaf);
    f.avx2 = bit(1, 5) && (kept & 0x6) == 0x6;
    f.fma = f.avx2 && fused;
    f.avx512 = bit(1, 16) && bit(1, 17) && bit(1, 30) && bit(1, 31) && (kept & 0xE6) == 0xE6;
    f.vbmi2 = f.avx512 && bit(2, 6);
    f.vnni = f.avx512 && bit(2, 11);
    return f;
}
#else
Features asked() { return {}; }
#endif

const Features& features() {
    static const Features found = asked();
    return found;
}

}  // namespace

const char* simd_name(Simd level) {
    switch (level) {
        case Simd::sse41:
            return "sse4.1";
        case Simd::avx2:
            return "avx2";
        case Simd::avx512:
            return "avx512";
        case Simd::scalar:
            break;
    }
    return "scalar";
}

bool simd_supported(Simd level) {
    switch (level) {
        case Simd::sse41:
            return features().sse41;
        case Simd::avx2:
            return features().avx2;
        case Simd::avx512:
            return features().avx512;
        case Simd::scalar:
            break;
    }
    return true;
}

Simd simd_best() {
    for (const Simd level : {Simd::avx512, Simd::avx2, Simd::sse41}) {
        if (simd_supported(level)) return level;
    }
    return Simd::scalar;
}

bool cpu_has_fma() { return features().fma; }
bool cpu_has_vbmi2() { return features().vbmi2; }
bool cpu_has_vnni() { return features().vnni; }

std::atomic<Simd>& simd_in_use() {
    static std::atomic<Simd> level{simd_best()};
    return level;
}

bool use_vbmi2() { return simd_level() == Simd::avx512 && cpu_has_vbmi2(); }
bool use_vnni() { return simd_level() == Simd::avx512 && cpu_has_vnni(); }

}  // namespace lic

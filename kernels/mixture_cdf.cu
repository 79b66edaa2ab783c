// Intervals of symbols under mixtures (FORMAT 7.8), one thread for one symbol: thin wrappers over csrc/lic_cdf.h, which
// the C++ core compiles too. Integers alone, so the results are those of the core, bit for bit. Grid-stride loops: any
// launch covers everything, a single thread as well, which is how the tests run this file on a CPU.
#include "lic_cdf.h"

#define LIC_EACH(i, n)                                                   \
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x, \
                   step_of_##i = (long long)gridDim.x * blockDim.x;      \
         i < (n); i += step_of_##i)

// planes: (3 components, n) bytes, symbols: (n,), inverse: (scales,), normal: (LIC_NORMAL_STEPS + 1,).
// start, freq: (n,) the interval of each symbol, or that of the escape where its mixture does not hold it.
extern "C" __global__ void mixture_intervals(const lic_u8* planes, long long n, const short* symbols, int components,
                                             const lic_u32* inverse, int scales, const lic_u16* normal, lic_u32* start,
                                             lic_u32* freq) {
    LIC_EACH(i, n) {
        struct LicMixture m;
        lic_mixture(planes + i, (unsigned long long)n, components, inverse, scales, &m);
        const lic_i32 x = symbols[i];
        const bool held = x >= -m.radius && x <= m.radius;
        const lic_u32 low = lic_below(normal, &m, held ? x : m.radius + 1);
        start[i] = low;
        freq[i] = (held ? lic_below(normal, &m, x + 1) : 1u << LIC_PROB_BITS) - low;
    }
}

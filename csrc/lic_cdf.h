// Integer cumulative frequencies of a discretised mixture of normals (FORMAT 7.8), one symbol at a time.
// Includes lic_constants.h and nothing else: C++, NVRTC and nvcc compile this same file. No float, no libm.
//
// READ ME FIRST
// - The slow and only definition. csrc/mixture.h tabulates lic_normal and evaluates many points at once; tests compare
// the two.
// - Nothing overflows 32 bits: |d| * inverse is formed only where it is below 2^24 (see lic_normal), a product of two
//   16-bit numbers is below 2^32.
// - lic_below grows by at least 1 from x to x + 1, as `x + radius` does and its other term never falls: so every symbol
// of
//   the support has a frequency of at least 1.
#ifndef LIC_CDF_H
#define LIC_CDF_H

#include "lic_constants.h"

#if defined(__CUDACC__)
#define LIC_HD __host__ __device__ __forceinline__
#else
#define LIC_HD inline
#endif

typedef unsigned char lic_u8;
typedef unsigned short lic_u16;
typedef int lic_i32;
typedef unsigned int lic_u32;

// A mixture as the bytes of the parameter planes shape it. d = 16 x - 8 - offset is the distance of the edge below x
// from a component's centre, in 1/16.
struct LicMixture {
    lic_u32 inverse[LIC_COMPONENTS_MAX];  // of the component's scale
    lic_i32 offset[LIC_COMPONENTS_MAX];   // -128 to 127, in 1/16
    lic_u32 weight[LIC_COMPONENTS_MAX];   // sum 65535
    lic_i32 components;                   // K
    lic_i32 radius;                       // rho: the support is -rho to rho
};

// D: from this |d| on the normal is 0 or 65535. 2^24 / inverse, rounded up.
LIC_HD lic_i32 lic_saturation(lic_u32 inverse) {
    return (lic_i32)(((1u << LIC_NORMAL_ARGUMENT_BITS) + inverse - 1) / inverse);
}

// Half the support that a centred component of this scale asks for.
LIC_HD lic_i32 lic_reach(lic_u32 inverse) {
    return (lic_saturation(inverse) + LIC_OFFSET_ONE / 2 + LIC_OFFSET_ONE - 1) / LIC_OFFSET_ONE;
}

// Phi: the normal distribution at d, 0 to 65535, by linear interpolation in `normal` (LIC_NORMAL_STEPS + 1,), its upper
// half.
LIC_HD lic_u32 lic_normal(const lic_u16* normal, lic_u32 inverse, lic_i32 d) {
    const lic_i32 far = d < 0 ? -d : d;
    lic_u32 v = 32768;
    if (far < lic_saturation(inverse)) {
        const lic_u32 t = (lic_u32)far * inverse;  // below 2^24, as far <= D - 1 < 2^24 / inverse
        const lic_u32 i = t >> 16, f = t >> 8 & 255;
        v = normal[i] + (((lic_u32)normal[i + 1] - normal[i]) * f >> 8);
    }
    const lic_u32 sum = 32768 + v;
    return d < 0 ? 32768 - v : sum > 65535 ? 65535 : sum;
}

// From the 3 K bytes of a position, `stride` bytes apart: K scales, K offsets, K weights. inverses: (scales,).
LIC_HD void lic_mixture(const lic_u8* planes, unsigned long long stride, lic_i32 components, const lic_u32* inverses,
                        lic_i32 scales, struct LicMixture* m) {
    lic_u32 sum = 0, others = 0;
    lic_i32 k;
    m->components = components;
    m->radius = LIC_RADIUS_MIN;
    for (k = 0; k < components; ++k) {
        const lic_i32 scale = planes[stride * k] < scales ? planes[stride * k] : scales - 1;
        const lic_i32 offset = (lic_i32)planes[stride * (components + k)] - LIC_OFFSET_ZERO;
        const lic_i32 shift = ((offset < 0 ? -offset : offset) + LIC_OFFSET_ONE - 1) / LIC_OFFSET_ONE;
        const lic_i32 radius = lic_reach(inverses[scale]) + shift;
        const lic_u32 weight = planes[stride * (2 * components + k)];
        m->inverse[k] = inverses[scale];
        m->offset[k] = offset;
        m->weight[k] = weight ? weight : 1;
        sum += m->weight[k];
        m->radius = radius > m->radius ? radius : m->radius;
    }
    for (k = 1; k < components; ++k) {
        m->weight[k] = m->weight[k] * 65535 / sum;
        others += m->weight[k];
    }
    m->weight[0] = 65535 - others;
}

// G: the cumulative frequency below symbol x, -rho <= x <= rho + 1. At x = -rho it is 0; from rho + 1 on lies the
// escape.
LIC_HD lic_u32 lic_below(const lic_u16* normal, const struct LicMixture* m, lic_i32 x) {
    const lic_u32 symbols = 2 * (lic_u32)m->radius + 1;
    lic_u32 sum = 0;  // F: at most 65534
    lic_i32 k;
    for (k = 0; k < m->components; ++k) {
        const lic_i32 d = LIC_OFFSET_ONE * x - LIC_OFFSET_ONE / 2 - m->offset[k];
        sum += lic_normal(normal, m->inverse[k], d) * m->weight[k] >> 16;
    }
    return (sum * (65535 - symbols) >> 16) + (lic_u32)(x + m->radius);
}

#endif

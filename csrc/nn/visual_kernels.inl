// The kernels of the visual distance as loops that compilers make vectors of. Included once by each
// visual_kernels_<set>.cpp, inside a namespace of its own: nothing here may be shared between translation units that
// are compiled for different sets.

#if defined(_MSC_VER) && !defined(__clang__)
#define LIC_NN_INLINE static __forceinline
#define LIC_NN_UNROLL
#else
#define LIC_NN_INLINE static inline __attribute__((always_inline))
#define LIC_NN_UNROLL _Pragma("GCC unroll 32")
#endif

constexpr std::size_t kSumLanes = 16;
constexpr float kC2 = 0.0009f;  // of SSIM
// Linear light to the responses of three kinds of cones, and what is added before the cube root (libjxl,
// opsin_params.h).
constexpr float kOpsin[3][3] = {{0.30f, 0.622f, 0.078f},
                                {0.23f, 0.692f, 0.078f},
                                {0.24342268924547819f, 0.20476744424496821f, 0.5518098665095536f}};
constexpr float kBias = 0.0037930732552754493f;
constexpr float kBiasRoot = 0.15595420054924863f;  // its cube root

// Of x above 0: a third of the exponent, then Halley's iteration twice.
LIC_NN_INLINE float cube_root(float x) {
    std::uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    bits = bits / 3 + 0x2A514067u;
    float y;
    std::memcpy(&y, &bits, sizeof y);
    for (int k = 0; k < 2; ++k) {
        const float cube = y * y * y;
        y = y * (cube + x + x) / (cube + cube + x);
    }
    return y;
}

LIC_NN_INLINE float larger(float a, float b) { return a > b ? a : b; }
LIC_NN_INLINE float size_of(float a) { return a < 0.0f ? -a : a; }

LIC_NN_INLINE float cone(const float (&row)[3], float r, float g, float b) {
    return cube_root(larger(row[0] * r + row[1] * g + row[2] * b + kBias, 1e-6f));
}

void to_opsin(const ConstPlanes& in, std::size_t n, const Planes& out) {
    for (std::size_t i = 0; i < n; ++i) {
        const float l = cone(kOpsin[0], in.a[i], in.b[i], in.c[i]), m = cone(kOpsin[1], in.a[i], in.b[i], in.c[i]);
        out.b[i] = 0.5f * (l + m) - kBiasRoot + 0.01f;
        if (out.a) out.a[i] = 7.0f * (l - m) + 0.42f;
    }
    if (!out.c) return;
    for (std::size_t i = 0; i < n; ++i)
        out.c[i] = cone(kOpsin[2], in.a[i], in.b[i], in.c[i]) - kBiasRoot - (out.b[i] - 0.01f) + 0.55f;
}

void opsin_back(const ConstPlanes& in, const ConstPlanes& g, std::size_t n, const Planes& out) {
    for (std::size_t i = 0; i < n; ++i) {
        const float l = cone(kOpsin[0], in.a[i], in.b[i], in.c[i]), m = cone(kOpsin[1], in.a[i], in.b[i], in.c[i]);
        const float x = g.a ? 7.0f * g.a[i] : 0.0f, s = g.c ? g.c[i] : 0.0f, y = 0.5f * (g.b[i] - s);
        const float by_l = (y + x) / (3.0f * l * l), by_m = (y - x) / (3.0f * m * m);
        out.a[i] = kOpsin[0][0] * by_l + kOpsin[1][0] * by_m;
        out.b[i] = kOpsin[0][1] * by_l + kOpsin[1][1] * by_m;
        out.c[i] = kOpsin[0][2] * by_l + kOpsin[1][2] * by_m;
    }
    if (!g.c) return;
    for (std::size_t i = 0; i < n; ++i) {
        const float s = cone(kOpsin[2], in.a[i], in.b[i], in.c[i]), by_s = g.c[i] / (3.0f * s * s);
        out.a[i] += kOpsin[2][0] * by_s;
        out.b[i] += kOpsin[2][1] * by_s;
        out.c[i] += kOpsin[2][2] * by_s;
    }
}

void multiply(const float* a, const float* b, std::size_t n, float* out) {
    for (std::size_t i = 0; i < n; ++i) out[i] = a[i] * b[i];
}

// Gaussian of sigma 1.5, from its middle on.
constexpr float kBlur[kBlurRadius + 1] = {0.266011745f, 0.213005543f, 0.109360687f,
                                          0.036000773f, 0.007598758f, 0.001028380f};

// Row or column `at` of `size`, mirrored at both ends; a size below the radius has no more to mirror.
LIC_NN_INLINE std::size_t mirrored(std::ptrdiff_t at, std::ptrdiff_t size) {
    if (at < 0) at = -1 - at;
    if (at >= size) at = 2 * size - 1 - at;
    return static_cast<std::size_t>(at < 0 ? 0 : at);
}

void blur(const float* in, const Plane& plane, float* out, float* scratch) {
    const auto height = static_cast<std::ptrdiff_t>(plane.height), width = static_cast<std::ptrdiff_t>(plane.width);
    constexpr auto kReach = static_cast<std::ptrdiff_t>(kBlurRadius);
    float* row = scratch + kReach;
    for (std::ptrdiff_t y = 0; y < height; ++y) {
        const float* rows[2 * kBlurRadius + 1];
        for (std::ptrdiff_t k = -kReach; k <= kReach; ++k)
            rows[k + kReach] = in + mirrored(y + k, height) * plane.width;
        for (std::ptrdiff_t x = 0; x < width; ++x) {
            float sum = kBlur[0] * rows[kReach][x];
            LIC_NN_UNROLL
            for (std::size_t k = 1; k <= kBlurRadius; ++k)
                sum += kBlur[k] * (rows[kBlurRadius - k][x] + rows[kBlurRadius + k][x]);
            row[x] = sum;
        }
        for (std::ptrdiff_t k = 1; k <= kReach; ++k) {
            row[-k] = row[mirrored(-k, width)];
            row[width - 1 + k] = row[mirrored(width - 1 + k, width)];
        }
        float* to = out + static_cast<std::size_t>(y) * plane.width;
        for (std::ptrdiff_t x = 0; x < width; ++x) {
            float sum = kBlur[0] * row[x];
            LIC_NN_UNROLL
            for (std::ptrdiff_t k = 1; k <= kReach; ++k)
                sum += kBlur[static_cast<std::size_t>(k)] * (row[x - k] + row[x + k]);
            to[x] = sum;
        }
    }
}

// One pixel of the maps: how structures differ, 1 - lightness times shared / spread, and how much stronger the other
// picture's edge is.
struct Pixel {
    float shared, spread, lightness, structure, edge;
};

LIC_NN_INLINE Pixel pixel(const Blurred& f, std::size_t i) {
    const float ma = f.mean_a[i], mb = f.mean_b[i];
    Pixel p{};
    p.shared = 2.0f * (f.product[i] - ma * mb) + kC2;
    p.spread = (f.square_a[i] - ma * ma) + (f.square_b[i] - mb * mb) + kC2;
    p.lightness = 1.0f - (ma - mb) * (ma - mb);
    p.structure = 1.0f - p.lightness * p.shared / p.spread;
    p.edge = (1.0f + size_of(f.b[i] - mb)) / (1.0f + size_of(f.a[i] - ma)) - 1.0f;
    return p;
}

MapSums maps(const Blurred& f, std::size_t n) {
    constexpr std::size_t kPart = 4096;  // pixels that are summed in float
    MapSums all{};
    for (std::size_t begin = 0; begin < n; begin += kPart) {
        const std::size_t end = begin + kPart < n ? begin + kPart : n;
        float mean[3][kSumLanes] = {}, fourth[3][kSumLanes] = {};
        for (std::size_t first = begin; first < end; first += kSumLanes) {
            const std::size_t lanes = first + kSumLanes < end ? kSumLanes : end - first;
            for (std::size_t j = 0; j < lanes; ++j) {
                const Pixel p = pixel(f, first + j);
                const float v[3] = {larger(p.structure, 0.0f), larger(p.edge, 0.0f), larger(-p.edge, 0.0f)};
                LIC_NN_UNROLL
                for (int k = 0; k < 3; ++k) {
                    mean[k][j] += v[k];
                    fourth[k][j] += v[k] * v[k] * v[k] * v[k];
                }
            }
        }
        for (int k = 0; k < 3; ++k) {
            for (std::size_t j = 0; j < kSumLanes; ++j) {
                all.mean[k] += static_cast<double>(mean[k][j]);
                all.fourth[k] += static_cast<double>(fourth[k][j]);
            }
        }
    }
    return all;
}

void maps_back(const Blurred& f, const MapSlopes& s, std::size_t n, const MapGradients& to) {
    for (std::size_t i = 0; i < n; ++i) {
        const Pixel p = pixel(f, i);
        const float v = larger(p.structure, 0.0f);
        const float by_structure = p.structure > 0.0f ? s.mean[0] + s.fourth[0] * v * v * v : 0.0f;
        const float ratio = p.shared / p.spread, ma = f.mean_a[i], mb = f.mean_b[i];
        const float product = by_structure * -2.0f * p.lightness / p.spread;
        const float square = by_structure * p.lightness * ratio / p.spread;
        const float ringing = s.mean[1] + s.fourth[1] * p.edge * p.edge * p.edge;
        const float blurring = -s.mean[2] + s.fourth[2] * p.edge * p.edge * p.edge;
        const float by_edge = p.edge > 0.0f ? ringing : p.edge < 0.0f ? blurring : 0.0f;
        const float apart = f.b[i] - mb, edge = by_edge / (1.0f + size_of(f.a[i] - ma));
        const float value = apart > 0.0f ? edge : apart < 0.0f ? -edge : 0.0f;
        to.value[i] = value;
        to.mean[i] = by_structure * -2.0f * (ma - mb) * ratio - product * ma - 2.0f * square * mb - value;
        to.square[i] = square;
        to.product[i] = product;
    }
}

void gather(const float* a, const float* b, const float* mean, const float* square, const float* product, std::size_t n,
            float* value) {
    for (std::size_t i = 0; i < n; ++i) value[i] += mean[i] + 2.0f * b[i] * square[i] + a[i] * product[i];
}

constexpr VisualKernels set_named(const char* name) {
    return {name, to_opsin, opsin_back, multiply, blur, maps, maps_back, gather};
}

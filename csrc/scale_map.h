// The map: dequantised z -> a byte per latent position and channel (FORMAT 7.5), in integers alone: a row of the bank,
// or a parameter of a mixture. Includes lic_constants.h, the standard library and CPU intrinsics; must not include
// Python or range_coder.h.
//
// READ ME FIRST
// - The map is one integer matrix product, (16 M, C) x (C, positions), then a shift and a clamp. Integer sums do not
// depend
//   on their order, so the four code paths below give the same bytes by construction; a test checks it at the worst
//   magnitudes.
// - Why no sum overflows: |weight| <= 1023, |v| <= 4096, C <= 256, |offset|, |bias| < 2^22, hence
//   |acc| <= 1023 * 4096 * 256 + 2 * 2^22 = 1,081,081,856 < 2^31. Partial sums are bounded by the same figure.
// - Weights are streamed once for each block of `kBlock` positions, not once for each position; a block's v stays in
// L1.
#ifndef LIC_SCALE_MAP_H
#define LIC_SCALE_MAP_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "lic_constants.h"

#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
#define LIC_X86 1
#if !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // inside GCC 12's own avx512fintrin.h
#endif
#include <immintrin.h>
#if !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#else
#define LIC_X86 0
#endif

namespace lic {

// Sub-positions of one hyper position: 4 x 4 latent positions lie above it (FORMAT 6.1).
constexpr std::size_t kSide = LIC_HYPER_STRIDE;
constexpr std::size_t kCell = kSide * kSide;

// A tile's shape: C hyper channels of a x b positions, M latent channels of h x w.
struct Shape {
    std::size_t C, M, a, b, h, w;
    std::size_t z_size() const { return C * a * b; }
    std::size_t r_size() const { return M * h * w; }
};

constexpr std::int32_t kNoTrellis = -1;  // of a model whose r are symbols as they are

// What a tile needs besides its symbols, interpolated for its quality (FORMAT 7.1, 7.5).
struct Setting {
    const std::int32_t* d;                   // (C,) step of z, 1 to 255
    const std::int32_t* bias;                // (M,)
    std::size_t z_row;                       // bank row of z channel 0 at its first level
    std::int32_t rows;                       // number of scale rows, at most 256
    std::int32_t skip;                       // indices below it are not coded
    std::size_t levels = 1;                  // rows of each channel of z, FORMAT 7.4
    const std::uint16_t* z_level = nullptr;  // (C, levels - 1)
    std::int32_t trellis = kNoTrellis;       // else the first scale index of dependent quantisation, FORMAT 7.9
};

// v of FORMAT 7.5: z in units of 1/32, clamped. |z * d| <= 32768 * 255 fits an i32.
inline std::int32_t dequantise(std::int16_t z, std::int32_t d) {
    const std::int32_t v = z * d;
    return v < LIC_Z_MIN ? LIC_Z_MIN : v > LIC_Z_MAX ? LIC_Z_MAX : v;
}

// The last line of FORMAT 7.5. `>>` of a negative int is arithmetic on every compiler that we build with (and in
// C++20).
inline std::uint8_t index_of(std::int32_t acc, std::int32_t rows) {
    const std::int32_t k = acc >> LIC_MAP_SHIFT;
    return static_cast<std::uint8_t>(k < 0 ? 0 : k > rows - 1 ? rows - 1 : k);
}

// ---------------------------------------------------------------------------------------------------------------------
// Choice of a code path

enum class Simd : int { scalar, sse41, avx2, avx512 };

inline bool simd_supported(Simd level) {
#if LIC_X86
    switch (level) {
        case Simd::scalar:
            return true;
        case Simd::sse41:
            return __builtin_cpu_supports("sse4.1");
        case Simd::avx2:
            return __builtin_cpu_supports("avx2");
        case Simd::avx512:
            return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
    }
    return false;
#else
    return level == Simd::scalar;
#endif
}

// An extension of AVX-512 that packs and spreads bytes and words (`compact` and `expand` in tile.h).
inline bool vbmi2_supported() {
#if LIC_X86
    return __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512vl");
#else
    return false;
#endif
}

inline Simd simd_best() {
    for (Simd level : {Simd::avx512, Simd::avx2, Simd::sse41}) {
        if (simd_supported(level)) return level;
    }
    return Simd::scalar;
}

// The path in use, of the whole process; tests set it, everyone else leaves it at the best one.
inline std::atomic<Simd>& simd_in_use() {
    static std::atomic<Simd> level{simd_best()};
    return level;
}

// ---------------------------------------------------------------------------------------------------------------------
// Kernels. Each computes four weight rows k ... k + 3 (k a multiple of 4: the four columns w of one channel and one
// sub-row u) for `positions` positions, a multiple of kLanes:
//
//   out[4 p + j] = index_of(base[j] + sum over c of weight[j][c] * v[c][p])
//
// so that the four bytes of a position are four neighbours in the output row. Channels come in pairs: the 32 bits at
// weight[j][2 i] hold the weights of channels 2i and 2i + 1, those at v[i][p] the values of the same two, and one
// multiply-add instruction (pmaddwd) yields w_2i * v_2i + w_2i+1 * v_2i+1 in 32 bits. An odd C is padded with a zero
// weight.

constexpr std::size_t kBlock = 64;  // positions in a block: C/2 * 64 * 4 bytes of v, 16 KiB at C = 128
constexpr std::size_t kLanes = 32;  // positions that the widest kernel takes at once
static_assert(kBlock % kLanes == 0, "a block is a whole number of kernel steps");

struct FourRows {
    const std::int16_t* weight;  // (4, 2 * pairs)
    const std::int16_t* v;       // (pairs, kBlock, 2)
    std::size_t pairs, positions;
    std::int32_t base[4];  // offset + bias
    std::int32_t rows;
    std::uint8_t* out;  // (positions, 4)
};

inline void four_rows_scalar(const FourRows& t) {
    for (std::size_t j = 0; j < kSide; ++j) {
        const std::int16_t* weight = t.weight + j * 2 * t.pairs;
        std::int32_t acc[kBlock];
        for (std::size_t p = 0; p < t.positions; ++p) acc[p] = t.base[j];
        for (std::size_t i = 0; i < t.pairs; ++i) {
            const std::int32_t w0 = weight[2 * i], w1 = weight[2 * i + 1];
            const std::int16_t* v = t.v + i * 2 * kBlock;
            for (std::size_t p = 0; p < t.positions; ++p) acc[p] += w0 * v[2 * p] + w1 * v[2 * p + 1];
        }
        for (std::size_t p = 0; p < t.positions; ++p) t.out[kSide * p + j] = index_of(acc[p], t.rows);
    }
}

#if LIC_X86
// The three vector kernels are one algorithm at three widths: 4 rows x 2 vectors of accumulators; then the clamped
// indices, each in 0 ... 255, are shifted into the four bytes of one 32-bit lane (x86 is little-endian: row 0 is the
// first byte).

inline std::int32_t weight_pair(const std::int16_t* at) {
    std::int32_t pair;
    std::memcpy(&pair, at, sizeof pair);
    return pair;
}

__attribute__((target("sse4.1"))) inline void four_rows_sse41(const FourRows& t) {
    const __m128i zero = _mm_setzero_si128(), top = _mm_set1_epi32(t.rows - 1);
    for (std::size_t p = 0; p < t.positions; p += 8) {
        __m128i acc[4][2];
        for (int j = 0; j < 4; ++j) acc[j][0] = acc[j][1] = _mm_set1_epi32(t.base[j]);
        for (std::size_t i = 0; i < t.pairs; ++i) {
            const __m128i* v = reinterpret_cast<const __m128i*>(t.v + 2 * (i * kBlock + p));
            const __m128i v0 = _mm_loadu_si128(v), v1 = _mm_loadu_si128(v + 1);
            for (int j = 0; j < 4; ++j) {
                const __m128i w = _mm_set1_epi32(weight_pair(t.weight + 2 * (j * t.pairs + i)));
                acc[j][0] = _mm_add_epi32(acc[j][0], _mm_madd_epi16(w, v0));
                acc[j][1] = _mm_add_epi32(acc[j][1], _mm_madd_epi16(w, v1));
            }
        }
        for (int half = 0; half < 2; ++half) {
            __m128i bytes = zero;
            for (int j = 0; j < 4; ++j) {
                const __m128i k = _mm_srai_epi32(acc[j][half], LIC_MAP_SHIFT);
                bytes = _mm_or_si128(bytes, _mm_slli_epi32(_mm_min_epi32(_mm_max_epi32(k, zero), top), 8 * j));
            }
            _mm_storeu_si128(reinterpret_cast<__m128i*>(t.out + 4 * p) + half, bytes);
        }
    }
}

__attribute__((target("avx2"))) inline void four_rows_avx2(const FourRows& t) {
    const __m256i zero = _mm256_setzero_si256(), top = _mm256_set1_epi32(t.rows - 1);
    for (std::size_t p = 0; p < t.positions; p += 16) {
        __m256i acc[4][2];
        for (int j = 0; j < 4; ++j) acc[j][0] = acc[j][1] = _mm256_set1_epi32(t.base[j]);
        for (std::size_t i = 0; i < t.pairs; ++i) {
            const __m256i* v = reinterpret_cast<const __m256i*>(t.v + 2 * (i * kBlock + p));
            const __m256i v0 = _mm256_loadu_si256(v), v1 = _mm256_loadu_si256(v + 1);
            for (int j = 0; j < 4; ++j) {
                const __m256i w = _mm256_set1_epi32(weight_pair(t.weight + 2 * (j * t.pairs + i)));
                acc[j][0] = _mm256_add_epi32(acc[j][0], _mm256_madd_epi16(w, v0));
                acc[j][1] = _mm256_add_epi32(acc[j][1], _mm256_madd_epi16(w, v1));
            }
        }
        for (int half = 0; half < 2; ++half) {
            __m256i bytes = zero;
            for (int j = 0; j < 4; ++j) {
                const __m256i k = _mm256_srai_epi32(acc[j][half], LIC_MAP_SHIFT);
                bytes =
                    _mm256_or_si256(bytes, _mm256_slli_epi32(_mm256_min_epi32(_mm256_max_epi32(k, zero), top), 8 * j));
            }
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(t.out + 4 * p) + half, bytes);
        }
    }
}

__attribute__((target("avx512f,avx512bw"))) inline void four_rows_avx512(const FourRows& t) {
    const __m512i zero = _mm512_setzero_si512(), top = _mm512_set1_epi32(t.rows - 1);
    for (std::size_t p = 0; p < t.positions; p += 32) {
        __m512i acc[4][2];
        for (int j = 0; j < 4; ++j) acc[j][0] = acc[j][1] = _mm512_set1_epi32(t.base[j]);
        for (std::size_t i = 0; i < t.pairs; ++i) {
            const std::int16_t* v = t.v + 2 * (i * kBlock + p);
            const __m512i v0 = _mm512_loadu_si512(v), v1 = _mm512_loadu_si512(v + 32);
            for (int j = 0; j < 4; ++j) {
                const __m512i w = _mm512_set1_epi32(weight_pair(t.weight + 2 * (j * t.pairs + i)));
                acc[j][0] = _mm512_add_epi32(acc[j][0], _mm512_madd_epi16(w, v0));
                acc[j][1] = _mm512_add_epi32(acc[j][1], _mm512_madd_epi16(w, v1));
            }
        }
        for (int half = 0; half < 2; ++half) {
            __m512i bytes = zero;
            for (int j = 0; j < 4; ++j) {
                const __m512i k = _mm512_srai_epi32(acc[j][half], LIC_MAP_SHIFT);
                bytes = _mm512_or_si512(bytes, _mm512_slli_epi32(_mm512_min_epi32(_mm512_max_epi32(k, zero), top),
                                                                 static_cast<unsigned>(8 * j)));
            }
            _mm512_storeu_si512(t.out + 4 * (p + 16 * static_cast<std::size_t>(half)), bytes);
        }
    }
}
#endif

inline void four_rows(Simd level, const FourRows& t) {
#if LIC_X86
    switch (level) {
        case Simd::avx512:
            return four_rows_avx512(t);
        case Simd::avx2:
            return four_rows_avx2(t);
        case Simd::sse41:
            return four_rows_sse41(t);
        case Simd::scalar:
            break;
    }
#else
    (void)level;
#endif
    four_rows_scalar(t);
}

// ---------------------------------------------------------------------------------------------------------------------

// A hidden layer (FORMAT 7.5): at every hyper position alone, a matrix product, a leaky shift and a clamp.
struct Layer {
    std::size_t in, out;
    std::vector<std::int16_t> weight;  // (out, in)
    std::vector<std::int32_t> offset;  // (out,)

    static std::int16_t activate(std::int32_t acc) {
        const std::int32_t k = acc >> LIC_MAP_SHIFT, leaky = k < 0 ? k >> LIC_LEAK_SHIFT : k;
        return static_cast<std::int16_t>(leaky < LIC_Z_MIN ? LIC_Z_MIN : leaky > LIC_Z_MAX ? LIC_Z_MAX : leaky);
    }

    // from: (in, kBlock), to: (out, kBlock).
    void apply(const std::int16_t* from, std::int16_t* to) const {
        for (std::size_t k = 0; k < out; ++k) {
            std::int32_t acc[kBlock];
            for (std::size_t p = 0; p < kBlock; ++p) acc[p] = offset[k];
            for (std::size_t c = 0; c < in; ++c) {
                const std::int32_t w = weight[k * in + c];
                for (std::size_t p = 0; p < kBlock; ++p) acc[p] += w * from[c * kBlock + p];
            }
            for (std::size_t p = 0; p < kBlock; ++p) to[k * kBlock + p] = activate(acc[p]);
        }
    }
};

class ScaleMap {
 public:
    // A hidden layer behind those that are there; all of them before `build`. weight: (out, in), offset: (out,). False
    // when a size or a value is outside FORMAT 7.5.
    bool add_layer(const std::int16_t* weight, const std::int32_t* offset, std::size_t out, std::size_t in) {
        if (in < 1 || in > LIC_CHANNELS_MAX || out < 1 || out > LIC_CHANNELS_MAX) return false;
        if (!layers_.empty() && layers_.back().out != in) return false;
        layers_.push_back({in, out, {weight, weight + out * in}, {offset, offset + out}});
        return in_bounds(layers_.back().weight, layers_.back().offset);
    }

    // The map itself. weight: (16 M, C), offset: (16 M,). False, and no usable map, when a size or a value is outside
    // FORMAT 7.5. Allocates (and may throw std::bad_alloc) here and in add_layer; `index` does not.
    bool build(const std::int16_t* weight, const std::int32_t* offset, std::size_t M, std::size_t C) {
        if (M < 1 || C < 1 || C > LIC_CHANNELS_MAX || (!layers_.empty() && layers_.back().out != C)) return false;
        M_ = M, inputs_ = C, C_ = layers_.empty() ? C : layers_.front().in, pairs_ = (C + 1) / 2;
        offset_.assign(offset, offset + kCell * M);
        weight_.assign(kCell * M * 2 * pairs_, 0);
        for (std::size_t k = 0; k < kCell * M; ++k) {
            std::memcpy(&weight_[k * 2 * pairs_], weight + k * C, C * sizeof *weight);
        }
        return in_bounds(weight_, offset_);
    }

    std::size_t M() const { return M_; }
    std::size_t C() const { return C_; }  // channels of z

    // FORMAT 7.5 for a tile. z: (C, a, b), out: (M, h, w). The caller has checked that a = ceil(h / 4), b = ceil(w /
    // 4), |d| <= 255, |bias| < 2^22 and 1 <= rows <= 256.
    void index(const std::int16_t* z, const Shape& s, const Setting& q, std::uint8_t* out) const {
        const Simd level = simd_in_use().load(std::memory_order_relaxed);
        std::int16_t v[kBlock * (LIC_CHANNELS_MAX + 1)];  // (pairs, kBlock, 2), 33 KiB of stack
        for (std::size_t start = 0; start < s.a * s.b; start += kBlock) {
            const std::size_t n = s.a * s.b - start < kBlock ? s.a * s.b - start : kBlock;
            pack(z, s, q, start, n, v);
            block(level, v, s, q, start, n, out);
        }
    }

    // The same by the words of the document, one hyper position at a time. Tests compare it with `index`.
    void index_slow(const std::int16_t* z, const Shape& s, const Setting& q, std::uint8_t* out) const {
        for (std::size_t hyper = 0; hyper < s.a * s.b; ++hyper) {
            std::vector<std::int32_t> v(C_);
            for (std::size_t c = 0; c < C_; ++c) v[c] = dequantise(z[c * s.a * s.b + hyper], q.d[c]);
            for (const Layer& layer : layers_) {
                std::vector<std::int32_t> next(layer.out);
                for (std::size_t k = 0; k < layer.out; ++k) {
                    std::int32_t acc = layer.offset[k];
                    for (std::size_t c = 0; c < layer.in; ++c) acc += layer.weight[k * layer.in + c] * v[c];
                    next[k] = Layer::activate(acc);
                }
                v.swap(next);
            }
            for (std::size_t k = 0; k < kCell * M_; ++k) {
                const std::size_t m = k / kCell, y = hyper / s.b * kSide + k % kCell / kSide,
                                  x = hyper % s.b * kSide + k % kSide;
                if (y >= s.h || x >= s.w) continue;
                std::int32_t acc = offset_[k] + q.bias[m];
                for (std::size_t c = 0; c < inputs_; ++c) acc += weight_[k * 2 * pairs_ + c] * v[c];
                out[(m * s.h + y) * s.w + x] = index_of(acc, q.rows);
            }
        }
    }

 private:
    // The copies are checked, not the originals: nobody else can change those any more.
    static bool in_bounds(const std::vector<std::int16_t>& weight, const std::vector<std::int32_t>& offset) {
        bool good = true;
        for (const std::int16_t w : weight) good &= w >= -LIC_WEIGHT_MAX && w <= LIC_WEIGHT_MAX;
        for (const std::int32_t o : offset) good &= o >= -LIC_BIAS_MAX && o <= LIC_BIAS_MAX;
        return good;
    }

    // What the map takes, at `n` positions from `start`, channel pairs interleaved, zeros behind the last odd channel.
    // Behind the last position is 0, or what the layers make of it; nobody looks.
    void pack(const std::int16_t* z, const Shape& s, const Setting& q, std::size_t start, std::size_t n,
              std::int16_t* v) const {
        std::int16_t one[kBlock * LIC_CHANNELS_MAX], two[kBlock * LIC_CHANNELS_MAX];  // (channels, kBlock), 32 KiB each
        std::int16_t *now = one, *next = two;
        std::memset(now, 0, C_ * kBlock * sizeof *now);
        for (std::size_t c = 0; c < C_; ++c) {
            const std::int16_t* from = z + c * s.a * s.b + start;
            for (std::size_t p = 0; p < n; ++p)
                now[c * kBlock + p] = static_cast<std::int16_t>(dequantise(from[p], q.d[c]));
        }
        for (const Layer& layer : layers_) {
            layer.apply(now, next);
            std::swap(now, next);
        }
        if (inputs_ % 2) std::memset(v + (pairs_ - 1) * kBlock * 2, 0, kBlock * 2 * sizeof *v);
        for (std::size_t c = 0; c < inputs_; ++c) {
            std::int16_t* to = v + c / 2 * kBlock * 2 + c % 2;
            for (std::size_t p = 0; p < kBlock; ++p) to[2 * p] = now[c * kBlock + p];
        }
    }

    // All rows of the map for one block of positions.
    void block(Simd level, const std::int16_t* v, const Shape& s, const Setting& q, std::size_t start, std::size_t n,
               std::uint8_t* out) const {
        std::uint8_t bytes[kSide * kBlock];
        FourRows t{nullptr, v, pairs_, (n + kLanes - 1) / kLanes * kLanes, {0, 0, 0, 0}, q.rows, bytes};
        for (std::size_t m = 0; m < M_; ++m) {
            for (std::size_t u = 0; u < kSide; ++u) {
                const std::size_t k = kCell * m + kSide * u;
                t.weight = &weight_[k * 2 * pairs_];
                for (std::size_t j = 0; j < kSide; ++j) t.base[j] = offset_[k + j] + q.bias[m];
                four_rows(level, t);
                place(bytes, s, start, n, u, out + m * s.h * s.w);
            }
        }
    }

    // Copies the bytes of sub-row u to the plane of one channel, hyper row by hyper row, cropped to h x w.
    static void place(const std::uint8_t* bytes, const Shape& s, std::size_t start, std::size_t n, std::size_t u,
                      std::uint8_t* plane) {
        for (std::size_t p = start; p < start + n;) {
            const std::size_t row = p / s.b, column = p % s.b;
            const std::size_t left = start + n - p, run = s.b - column < left ? s.b - column : left;
            const std::size_t y = kSide * row + u, x = kSide * column;
            if (y < s.h) {
                const std::size_t width = kSide * run < s.w - x ? kSide * run : s.w - x;
                std::memcpy(plane + y * s.w + x, bytes + kSide * (p - start), width);
            }
            p += run;
        }
    }

    std::size_t M_ = 0, C_ = 0, inputs_ = 0, pairs_ = 0;  // inputs: C, or the channels of the last hidden layer
    std::vector<Layer> layers_;
    std::vector<std::int16_t> weight_;  // (16 M, 2 * pairs)
    std::vector<std::int32_t> offset_;  // (16 M,)
};

}  // namespace lic

#endif

// Generalised divisive normalisation and its inverse, forward and backward (kernels/README.md has the equations and the
// figures). Includes warp.cuh alone. One instance is one set of macros; pillow_lic/engines/torch/cuda/gdn.py chooses
// them, says why, and launches.
//
// READ ME FIRST
// - One product carries all three steps. For each pixel, sums_i = (bias_i) + sum_j matrix_ij operand_j over channels,
// then
//   something cheap with sums_i and values of the same pixel and channel i:
//     LIC_STEP 0, forward         operand x^2  matrix gamma    y = x / sqrt(sums)                           (1),
//     inverse (2) LIC_STEP 1, backward, first operand x^2  matrix gamma    t = dL/dsums and d = the direct part of
//     dL/dx   (3) to (5) LIC_STEP 2, backward, last  operand t    matrix gamma^T  dL/dx = d + 2 x sums (6)
//   and a fourth kernel sums t_i x_j^2 over pixels for dL/dgamma, t_i for dL/dbeta                          (7)
// - No value of an activation ever changes threads. A thread loads 16 bytes of a pixel (a packet: 8 or 4 channels),
// squares them
//   where they are, and they are its share of operand A of the matrix units: which channel stands in which column of A
//   is ours to choose, as long as the rows of B, the matrix, are permuted alike. The columns of B are permuted so that
//   the sums come out where x is. So x is read once, stays in registers, and y leaves from them.
// - Only the matrix is shared, laid out once by each block. From then on warps never wait for each other: each strides
// over tiles of
//   16 or 32 pixels, and while it computes one, its next is copied ahead, each thread's packets to a place of its own.
#include "warp.cuh"

// LIC_CHANNELS   C, 1 to 512
// LIC_TYPE       0 float32, 1 float16, 2 bfloat16; t of the backward pass is float32 or bfloat16
// LIC_FIRST      1: channels first, element (n, c, p) at (n C + c) pixels + p; 0: channels last, at p C + c
// LIC_STEP       above; 3: the sums over pixels
// LIC_INVERSE    1: IGDN
// LIC_MATRIX     1: on the matrix units (compute capability 8.0); 0: the twin, one thread for one result
// and of instances on the matrix units alone:
// LIC_TILES      tiles of 16 pixels that a warp computes at once
// LIC_WARPS      warps of a block
// LIC_BLOCKS     blocks of a multiprocessor that registers must suffice for
// LIC_WIDE       groups of output channels that are summed at once
// LIC_SLICES     parts of the output channels, one for each blockIdx.y, if the whole matrix does not fit into shared
// memory LIC_KEEP       1: outputs are computed from the registers that hold x, in code unrolled over all channels; 0:
// x is loaded again LIC_STAGED     1: the next tile is copied ahead; 0: a tile is loaded when its turn comes
// LIC_ALIGNED    1: channels first, and pixels are a multiple of 2 LIC_TILES; always 1 for channels last

constexpr int kC = LIC_CHANNELS;
constexpr bool kHalf = LIC_TYPE != 0;
constexpr bool kFirst = LIC_FIRST != 0;
constexpr bool kInverse = LIC_INVERSE != 0;
[[maybe_unused]] constexpr int kStep = LIC_STEP;

template <bool HALF>
struct Word {
    using type = u32;
};
template <>
struct Word<true> {
    using type = u16;
};
using Raw = Word<kHalf>::type;  // the bits of one element

// Values of one word of a packet: two channels of a sixteen-bit type, one float32.
constexpr int kPair = kHalf ? 2 : 1;

enum Kind { kFloat32 = 0, kFloat16 = 1, kBfloat16 = 2 };
constexpr int kType = LIC_TYPE;                         // of x, y and gradients
constexpr int kTypeOfT = kHalf ? kBfloat16 : kFloat32;  // t needs the range of float32, not its precision

template <int TYPE>
__device__ __forceinline__ void unpack(u32 word, float (&value)[kPair]) {
    if constexpr (TYPE == kFloat32) {
        value[0] = __uint_as_float(word);
    } else if constexpr (TYPE == kFloat16) {
        value[0] = low_f16(word);
        value[kPair - 1] = high_f16(word);
    } else {
        value[0] = low_bf16(word);
        value[kPair - 1] = high_bf16(word);
    }
}

template <int TYPE>
__device__ __forceinline__ u32 pack(const float* value) {
    if constexpr (TYPE == kFloat32) return __float_as_uint(value[0]);
    if constexpr (TYPE == kFloat16) return pack_f16(value[0], value[kPair - 1]);
    return pack_bf16(value[0], value[kPair - 1]);
}

// (1), (2): what x is multiplied by, from v = beta + sum gamma x^2.
__device__ __forceinline__ float factor(float v) { return kInverse ? sqrt_fast(v) : rsqrt_fast(v); }

// (3) to (5): t = dL/dv and d = dL/dx with v held, from v, x and g = dL/dy.
__device__ __forceinline__ void differentiate(float v, float x, float g, float& t, float& d) {
    const float r = rsqrt_fast(v);
    d = g * factor(v);
    t = kInverse ? 0.5f * g * x * r : -0.5f * g * x * r * r * r;
}

__device__ __forceinline__ float fetch(const Raw* from, int type, i64 at) {
    if constexpr (!kHalf) return __uint_as_float(from[at]);
    const u32 pair = from[at];
    return type == kFloat16 ? low_f16(pair) : low_bf16(pair);
}

#if LIC_MATRIX
extern __shared__ uint4 lic_shared[];

// A float32 as two TF32, of 11 bits each. The matrix units cut off what `low` has beyond that, at most 2^-21 of the
// value. Products leave low * low out, 2^-22: a sum of positive terms is right to 2^-20 before its own additions round,
// its root to 2^-21.
__device__ __forceinline__ void split(u32 word, u32& high, u32& low) {
    const float value = __uint_as_float(word), top = round_tf32(value);
    high = __float_as_uint(top);
    low = __float_as_uint(value - top);
}
#endif

#if LIC_STEP == 3
// ---------------------------------------------------------------------------------------------------------------------
// dL/dgamma_ij = sum of t_i x_j^2 over pixels, dL/dbeta_i = sum of t_i (7), as `gridDim.z` partial sums over stretches
// of pixels: partial (gridDim.z, C, C + 1) float32, the last column for beta. The caller adds them in a fixed order, so
// that two runs give the same gradients, which atomic additions would not.

__device__ __forceinline__ i64 place(i64 image, i64 pixels, i64 p, int c) {
    return kFirst ? (image * kC + c) * pixels + p : p * kC + c;  // channels last: one image
}

#if LIC_MATRIX == 0

// Thread (i, j), j = C for beta; blockDim.x threads along j.
extern "C" __global__ void gdn(const Raw* t, const Raw* x, float* partial, i64 images, i64 pixels) {
    const int j = blockIdx.x * blockDim.x + threadIdx.x, i = blockIdx.y;
    if (j > kC) return;
    const i64 all = images * pixels, stretch = (all + gridDim.z - 1) / gridDim.z;
    const i64 begin = blockIdx.z * stretch, end = begin + stretch < all ? begin + stretch : all;
    float sum = 0.f;
    for (i64 k = begin; k < end; ++k) {
        const i64 image = kFirst ? k / pixels : 0, p = kFirst ? k % pixels : k;
        const float square = j < kC ? fetch(x, kType, place(image, pixels, p, j)) : 1.f;
        sum += fetch(t, kTypeOfT, place(image, pixels, p, i)) * (j < kC ? square * square : 1.f);
    }
    partial[(static_cast<i64>(blockIdx.z) * kC + i) * (kC + 1) + j] = sum;
}

#else

// A block of 4 warps sums a square of 64 i by 64 j, warp w its quarter (32 (w / 2), 32 (w % 2)). Each round takes 16
// words of pixels (32 or 16 pixels), which are the columns of A = t and the rows of B = x^2; both lie in shared memory
// as [channel][word].
constexpr int kSide = 64, kWords = 16, kRound = kWords * kPair;
constexpr int kStride =
    kWords + 4;  // words of a row: rows 0 to 7 start in banks 0, 20, 8, 28, 16, 4, 24, 12, four words apart

// Lays `kSide` channels from `first` on of a round of pixels out, squared if asked.
template <int TYPE, bool SQUARE>
__device__ __forceinline__ void lay_out(u32* rows, const Raw* from, i64 image, i64 pixels, i64 p0, int first) {
    for (int k = threadIdx.x; k < kSide * kWords; k += 128) {
        // neighbouring threads take neighbouring addresses: pixels if channels come first, else channels
        const int row = kFirst ? k / kWords : k % kSide, word = kFirst ? k % kWords : k / kSide;
        float value[kPair];
        for (int e = 0; e < kPair; ++e) {
            const i64 p = p0 + kPair * word + e;
            const bool inside = p < pixels && first + row < kC;
            value[e] = inside ? fetch(from, TYPE, place(image, pixels, p, first + row)) : 0.f;
            if (SQUARE) value[e] *= value[e];
        }
        rows[row * kStride + word] = pack<kTypeOfT>(value);
    }
}

extern "C" __global__ void __launch_bounds__(128, 4)
    gdn(const Raw* t, const Raw* x, float* partial, i64 images, i64 pixels) {
    u32* const t_rows = reinterpret_cast<u32*>(lic_shared);
    u32* const s_rows = t_rows + kSide * kStride;
    const int lane = threadIdx.x % 32, g = lane / 4, q = lane % 4, warp = threadIdx.x / 32;
    const int i0 = blockIdx.x * kSide, j0 = blockIdx.y * kSide, wi = warp / 2 * 32, wj = warp % 2 * 32;
    const i64 per_image = (pixels + kRound - 1) / kRound, all = images * per_image;
    const i64 stretch = (all + gridDim.z - 1) / gridDim.z;
    const i64 begin = blockIdx.z * stretch, end = begin + stretch < all ? begin + stretch : all;
    float sums[2][4][4] = {};  // 16 i, 8 j, a lane's four
    float beta = 0.f;          // of channel i0 + threadIdx.x, in the first 64 threads of blocks with j0 = 0
    for (i64 round = begin; round < end; ++round) {
        const i64 image = round / per_image, p0 = round % per_image * kRound;
        lay_out<kTypeOfT, false>(t_rows, t, image, pixels, p0, i0);
        lay_out<kType, true>(s_rows, x, image, pixels, p0, j0);
        __syncthreads();
#pragma unroll
        for (int k = 0; k < kWords; k += 8) {  // 8 words are the 16 or 8 columns of a step
            u32 a[2][4], b[4][2];
#pragma unroll
            for (int m = 0; m < 2; ++m)
#pragma unroll
                for (int r = 0; r < 4; ++r)
                    a[m][r] = t_rows[(wi + 16 * m + 8 * (r % 2) + g) * kStride + k + 4 * (r / 2) + q];
#pragma unroll
            for (int n = 0; n < 4; ++n)
#pragma unroll
                for (int r = 0; r < 2; ++r) b[n][r] = s_rows[(wj + 8 * n + g) * kStride + k + 4 * r + q];
#pragma unroll
            for (int m = 0; m < 2; ++m)
#pragma unroll
                for (int n = 0; n < 4; ++n) {
                    if constexpr (kHalf) {
                        mma_bf16(sums[m][n], a[m][0], a[m][1], a[m][2], a[m][3], b[n][0], b[n][1]);
                    } else {
                        u32 ah[4], al[4], bh[2], bl[2];
#pragma unroll
                        for (int r = 0; r < 4; ++r) split(a[m][r], ah[r], al[r]);
#pragma unroll
                        for (int r = 0; r < 2; ++r) split(b[n][r], bh[r], bl[r]);
                        mma_tf32(sums[m][n], al[0], al[1], al[2], al[3], bh[0], bh[1]);
                        mma_tf32(sums[m][n], ah[0], ah[1], ah[2], ah[3], bl[0], bl[1]);
                        mma_tf32(sums[m][n], ah[0], ah[1], ah[2], ah[3], bh[0], bh[1]);
                    }
                }
        }
        if (j0 == 0 && threadIdx.x < kSide) {
            for (int k = 0; k < kWords; ++k) {
                float value[kPair];
                unpack<kTypeOfT>(t_rows[threadIdx.x * kStride + k], value);
                for (int e = 0; e < kPair; ++e) beta += value[e];
            }
        }
        __syncthreads();  // before the rows are laid out anew
    }
    float* const out = partial + static_cast<i64>(blockIdx.z) * kC * (kC + 1);
#pragma unroll
    for (int m = 0; m < 2; ++m)
#pragma unroll
        for (int n = 0; n < 4; ++n)
#pragma unroll
            for (int r = 0; r < 4; ++r) {
                const int i = i0 + wi + 16 * m + 8 * (r / 2) + g, j = j0 + wj + 8 * n + 2 * q + r % 2;
                if (i < kC && j < kC) out[i * (kC + 1) + j] = sums[m][n][r];
            }
    if (j0 == 0 && threadIdx.x < kSide && i0 + threadIdx.x < kC) out[(i0 + threadIdx.x) * (kC + 1) + kC] = beta;
}

#endif
#elif LIC_MATRIX == 0
// ---------------------------------------------------------------------------------------------------------------------
// The twin: one thread for one result at a time. source is x, or t in step 2; other is dL/dy in step 1, x in step 2;
// first is y or t; second is d, in step 2 read and then overwritten by dL/dx. matrix is gamma (C, C) and bias beta
// (C,), float32.

template <int TYPE>
__device__ __forceinline__ void put(Raw* to, i64 at, float value) {
    const float both[2] = {value, 0.f};
    if constexpr (kHalf) to[at] = static_cast<u16>(pack<TYPE>(both));
    if constexpr (!kHalf) to[at] = __float_as_uint(value);
}

extern "C" __global__ void gdn(const Raw* source, const Raw* other, Raw* first, Raw* second, const float* bias,
                               const float* matrix, i64 images, i64 pixels) {
    const i64 all = images * pixels * kC, step = static_cast<i64>(gridDim.x) * blockDim.x;
    for (i64 at = static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x; at < all; at += step) {
        const int i = static_cast<int>(kFirst ? at / pixels % kC : at % kC);
        const i64 stride = kFirst ? pixels : 1, start = at - i * stride;  // of channel 0 of this pixel
        float v = kStep == 2 ? 0.f : bias[i];
        for (int j = 0; j < kC; ++j) {
            const float value = fetch(source, kStep == 2 ? kTypeOfT : kType, start + j * stride);
            v += kStep == 2 ? matrix[j * kC + i] * value : matrix[i * kC + j] * (value * value);
        }
        if constexpr (kStep == 0) {
            put<kType>(first, at, fetch(source, kType, at) * factor(v));
        } else if constexpr (kStep == 1) {
            float t, d;
            differentiate(v, fetch(source, kType, at), fetch(other, kType, at), t, d);
            put<kTypeOfT>(first, at, t);
            put<kType>(second, at, d);
        } else {
            put<kType>(second, at, fetch(second, kType, at) + 2.f * fetch(other, kType, at) * v);
        }
    }
}

#else
// ---------------------------------------------------------------------------------------------------------------------
// On the matrix units.

constexpr int kTiles = LIC_TILES, kWarps = LIC_WARPS, kWide = LIC_WIDE, kSlices = LIC_SLICES;
constexpr bool kKeep = LIC_KEEP != 0 && kSlices == 1, kStaged = LIC_STAGED != 0, kAligned = LIC_ALIGNED != 0;

constexpr int kPack = 4 * kPair;   // channels of a packet, 16 bytes
constexpr int kGroup = 4 * kPack;  // channels of the packets of four neighbouring lanes: two steps of k
constexpr int kGroups = (kC + kGroup - 1) / kGroup;  // channels are filled up with zeros to whole groups
constexpr int kSliceGroups = (kGroups + kSlices - 1) / kSlices;
constexpr int kSubs = kPack / 2;    // tiles of 8 output channels that make a group
constexpr int kRows = 16 * kTiles;  // pixels of a warp's tile
static_assert(kSliceGroups % kWide == 0, "LIC_WIDE must divide the groups of a slice");
static_assert(kFirst || kC % kPack == 0, "channels last: a packet must not cross into the next pixel");
static_assert(kAligned || (kFirst && !kStaged), "only channels first are ever unaligned, and then not staged");

// A thread moves its share of a group as vectors: channels last, packets, one for each of its 2 kTiles pixels; channels
// first, 2 kTiles neighbouring pixels of each of its kPack channels.
constexpr int kVectors = kFirst ? kPack : 2 * kTiles;
constexpr int kVectorWords = kFirst ? 2 * kTiles / kPair : 4;
using Vectors = u32[kVectors][kVectorWords];
// The same as the matrix units take it: word w of the packet of pixel row g or g + 8 (second index) of each tile.
using Packets = u32[kTiles][2][4];

// What a lane moves of one tile of its warp. Lane 4 g + q holds channels kPack q onwards of each group, of 2 kTiles
// pixels: rows g + 8 b of tile m, which are pixels 16 m + 8 b + g of the warp's tile if channels come last, and 2
// kTiles g + 2 m + b if they come first. Either way lanes and vectors together cover each pixel and channel once.
struct Share {
    i64 start;    // first element of vector 0 of group 0
    int left;     // pixels from the first one of vector 0 to the end of the image
    int channel;  // its first channel

    __device__ __forceinline__ Share(i64 number, i64 pixels, int lane) : channel(lane % 4 * kPack) {
        const i64 per_image = (pixels + kRows - 1) / kRows, image = kFirst ? number / per_image : 0;
        const i64 p = (number - image * per_image) * kRows + lane / 4 * (kFirst ? 2 * kTiles : 1);
        start = kFirst ? (image * kC + channel) * pixels + p : p * kC + channel;
        left = static_cast<int>(pixels - p < kRows ? pixels - p : kRows);  // may be negative
    }
    __device__ __forceinline__ i64 offset(int group, int vector, i64 pixels) const {
        if constexpr (kFirst) return start + (group * kGroup + vector) * pixels;
        return start + group * kGroup + 8 * vector * kC;
    }
    // Of a vector, or of its element e.
    __device__ __forceinline__ bool inside(int group, int vector, int e = 0) const {
        const bool is_channel =
            kSlices * kSliceGroups * kGroup == kC || channel + group * kGroup + (kFirst ? vector : 0) < kC;
        return is_channel && (kFirst ? e : 8 * vector) < left;
    }
};

// Vectors of channels first hold pixels side by side, packets channels side by side: halves of words are exchanged.
// Otherwise the same words merely have other names.
__device__ __forceinline__ void to_packets(Packets& packets, const Vectors& v) {
#pragma unroll
    for (int m = 0; m < kTiles; ++m)
#pragma unroll
        for (int w = 0; w < 4; ++w) {
            if constexpr (!kFirst) {
                packets[m][0][w] = v[2 * m][w];
                packets[m][1][w] = v[2 * m + 1][w];
            } else if constexpr (kHalf) {
                packets[m][0][w] = lows(v[2 * w][m], v[2 * w + 1][m]);
                packets[m][1][w] = highs(v[2 * w][m], v[2 * w + 1][m]);
            } else {
                packets[m][0][w] = v[w][2 * m];
                packets[m][1][w] = v[w][2 * m + 1];
            }
        }
}

__device__ __forceinline__ void to_vectors(Vectors& v, const Packets& packets) {
#pragma unroll
    for (int m = 0; m < kTiles; ++m)
#pragma unroll
        for (int w = 0; w < 4; ++w) {
            if constexpr (!kFirst) {
                v[2 * m][w] = packets[m][0][w];
                v[2 * m + 1][w] = packets[m][1][w];
            } else if constexpr (kHalf) {
                v[2 * w][m] = lows(packets[m][0][w], packets[m][1][w]);
                v[2 * w + 1][m] = highs(packets[m][0][w], packets[m][1][w]);
            } else {
                v[w][2 * m] = packets[m][0][w];
                v[w][2 * m + 1] = packets[m][1][w];
            }
        }
}

__device__ __forceinline__ void load(Packets& packets, const Raw* from, const Share& share, int group, i64 pixels) {
    Vectors v;
#pragma unroll
    for (int k = 0; k < kVectors; ++k) {
        const Raw* const at = from + share.offset(group, k, pixels);
        if constexpr (kAligned) {
            read_global(v[k], at, share.inside(group, k));
        } else {
#pragma unroll
            for (int e = 0; e < 2 * kTiles; ++e) {
                const u32 bits = share.inside(group, k, e) ? at[e] : 0;
                v[k][e / kPair] = e % kPair ? v[k][e / kPair] | bits << 16 : bits;
            }
        }
    }
    to_packets(packets, v);
}

__device__ __forceinline__ void store(const Packets& packets, Raw* to, const Share& share, int group, i64 pixels) {
    Vectors v;
    to_vectors(v, packets);
#pragma unroll
    for (int k = 0; k < kVectors; ++k) {
        Raw* const at = to + share.offset(group, k, pixels);
        if constexpr (kAligned) {
            write_global(v[k], at, share.inside(group, k));
        } else {
#pragma unroll
            for (int e = 0; e < 2 * kTiles; ++e)
                if (share.inside(group, k, e)) at[e] = static_cast<Raw>(v[k][e / kPair] >> (e % kPair ? 16 : 0));
        }
    }
}

// A warp's corner of shared memory; the vectors of a lane stand 32 vectors apart, those of a warp side by side. A lane
// reads only what it copied itself: no barrier is needed, only that its copies have arrived.
struct Stage {
    u32 mine;  // an address in shared memory
    __device__ __forceinline__ Stage(const void* shared, int warp, int lane)
        : mine(shared_address(shared) + (warp * kGroups * kVectors * 32 + lane) * kVectorWords * 4) {}
    __device__ __forceinline__ u32 vector(int group, int k) const {
        return mine + (group * kVectors + k) * 32 * kVectorWords * 4;
    }

    __device__ __forceinline__ void fill(const Raw* from, const Share& share, i64 pixels) const {
#pragma unroll
        for (int j = 0; j < kGroups; ++j)
#pragma unroll
            for (int k = 0; k < kVectors; ++k)
                copy_async<kVectorWords>(vector(j, k), from + share.offset(j, k, pixels), share.inside(j, k));
    }

    __device__ __forceinline__ void take(Packets& packets, int group) const {
        Vectors v;
#pragma unroll
        for (int k = 0; k < kVectors; ++k) read_shared(v[k], vector(group, k));
        to_packets(packets, v);
    }
};

// The matrix in the order in which lanes take it as operand B: [group n][sub][group j][lane] of 16 bytes. The packet of
// lane 4 g + q holds matrix(i, .) at its own channels of group j, i = kGroup n + kPack (g / 2) + 2 sub + g % 2: column
// g of tile `sub` of group n then sums channel i into lane 4 r + (g / 2), which holds x at channels kGroup n + kPack (g
// / 2) onwards.
__device__ __forceinline__ void lay_out_matrix(uint4* to, const float* matrix, int first_group) {
#pragma unroll 4
    for (int k = threadIdx.x; k < kSliceGroups * kSubs * kGroups * 32; k += 32 * kWarps) {
        const int g = k % 32 / 4, j = k / 32 % kGroups * kGroup + k % 4 * kPack, tile = k / 32 / kGroups;
        const int i = (first_group + tile / kSubs) * kGroup + kPack * (g / 2) + 2 * (tile % kSubs) + g % 2;
        u32 words[4];
        if constexpr (kStep != 2 &&
                      kC % kPack ==
                          0) {  // the packet's row of gamma, 16 or 32 bytes, is there as a whole or not at all
            float value[kPack] = {};
#pragma unroll
            for (int w = 0; w < kPack; w += 4)
                if (i < kC && j < kC) {
                    const float4 v = *reinterpret_cast<const float4*>(matrix + i * kC + j + w);
                    value[w] = v.x, value[w + 1] = v.y, value[w + 2] = v.z, value[w + 3] = v.w;
                }
#pragma unroll
            for (int w = 0; w < 4; ++w) words[w] = pack<kTypeOfT>(value + kPair * w);
        } else {
#pragma unroll
            for (int w = 0; w < 4; ++w) {
                float value[kPair];
#pragma unroll
                for (int e = 0; e < kPair; ++e) {
                    const int channel = j + kPair * w + e, at = kStep == 2 ? channel * kC + i : i * kC + channel;
                    value[e] = i < kC && channel < kC ? matrix[at] : 0.f;
                }
                words[w] = pack<kTypeOfT>(value);
            }
        }
        to[k] = make_uint4(words[0], words[1], words[2], words[3]);
    }
}

// Operand A of a group. float16 is squared in float32 and rounded to bfloat16: the square of 256 already exceeds its
// range. `nothing` is 0, read from shared memory each time that squares are needed anew. Without it the compiler sees
// that they are the same each time and keeps the squares of all channels in registers, which are as many as x itself
// takes.
__device__ __forceinline__ void square(Packets& squares, const Packets& x, u32 nothing) {
#pragma unroll
    for (int m = 0; m < kTiles; ++m)
#pragma unroll
        for (int b = 0; b < 2; ++b)
#pragma unroll
            for (int w = 0; w < 4; ++w) {
                if constexpr (kStep == 2) {
                    squares[m][b][w] = x[m][b][w];
                } else if constexpr (kType == kBfloat16) {
                    squares[m][b][w] = square_bf16(x[m][b][w], 0x80008000u | nothing);
                } else {
                    float value[kPair];
                    unpack<kType>(x[m][b][w] | nothing, value);
#pragma unroll
                    for (int e = 0; e < kPair; ++e) value[e] *= value[e];
                    squares[m][b][w] = pack<kTypeOfT>(value);
                }
            }
}

using Sums =
    float[kTiles][kSubs]
         [4];  // as mma leaves them: rows g, g, g + 8, g + 8, columns 2 q, 2 q + 1, 2 q, 2 q + 1 of a tile of 8

// The sum that belongs to value e of word w of the packet of row b.
__device__ __forceinline__ float sum_of(const Sums& sums, int m, int b, int w, int e) {
    return kHalf ? sums[m][w][2 * b + e] : sums[m][w / 2][2 * b + w % 2];
}

// sums += operand group * matrix group, sixteen-bit types. `b` points to this lane's packet of the first tile of 8
// channels.
__device__ __forceinline__ void multiply_half(Sums& sums, const Packets& a, const uint4* b) {
    u32 column[kSubs][4];
#pragma unroll
    for (int s = 0; s < kSubs; ++s) {
        const uint4 v = b[s * kGroups * 32];
        column[s][0] = v.x, column[s][1] = v.y, column[s][2] = v.z, column[s][3] = v.w;
    }
#pragma unroll
    for (int h = 0; h < 4; h += 2)  // words 0 and 1 are one step of k, words 2 and 3 the other
#pragma unroll
        for (int s = 0; s < kSubs; ++s)
#pragma unroll
            for (int m = 0; m < kTiles; ++m)
                mma_bf16(sums[m][s], a[m][0][h], a[m][1][h], a[m][0][h + 1], a[m][1][h + 1], column[s][h],
                         column[s][h + 1]);
}

__device__ __forceinline__ void multiply_float(Sums& sums, const Packets& a, const uint4* b) {
    Packets high, low;
#pragma unroll
    for (int m = 0; m < kTiles; ++m)
#pragma unroll
        for (int w = 0; w < 8; ++w) split(a[m][w / 4][w % 4], high[m][w / 4][w % 4], low[m][w / 4][w % 4]);
    u32 bh[kSubs][4], bl[kSubs][4];
#pragma unroll
    for (int s = 0; s < kSubs; ++s) {
        const uint4 v = b[s * kGroups * 32];
        split(v.x, bh[s][0], bl[s][0]), split(v.y, bh[s][1], bl[s][1]);
        split(v.z, bh[s][2], bl[s][2]), split(v.w, bh[s][3], bl[s][3]);
    }
#pragma unroll
    for (int h = 0; h < 4; h += 2)
#pragma unroll
        for (int product = 0; product < 3; ++product)
#pragma unroll
            for (int s = 0; s < kSubs; ++s)
#pragma unroll
                for (int m = 0; m < kTiles; ++m) {
                    const Packets& t = product == 0 ? low : high;
                    const u32(&u)[4] = product == 1 ? bl[s] : bh[s];
                    mma_tf32(sums[m][s], t[m][0][h], t[m][1][h], t[m][0][h + 1], t[m][1][h + 1], u[h], u[h + 1]);
                }
}

// Arguments as of the twin; blockIdx.y is the slice. Shared memory: matrix, bias (one slice of each), then the warps'
// stages.
extern "C" __global__ void __launch_bounds__(32 * kWarps, LIC_BLOCKS)
    gdn(const Raw* source, const Raw* other, Raw* first, Raw* second, const float* bias, const float* matrix,
        i64 images, i64 pixels) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32,
              first_group = kSlices == 1 ? 0 : blockIdx.y * kSliceGroups;
    uint4* const columns = lic_shared;
    float* const biases = reinterpret_cast<float*>(columns + kSliceGroups * kSubs * kGroups * 32);
    volatile u32* const zero = reinterpret_cast<u32*>(biases + kSliceGroups * kGroup);
    const Stage stage(biases + kSliceGroups * kGroup + 4, warp, lane);

    const i64 tiles = images * ((pixels + kRows - 1) / kRows), stride = static_cast<i64>(gridDim.x) * kWarps;
    i64 number = static_cast<i64>(blockIdx.x) * kWarps + warp;
    if (kStaged && number < tiles) stage.fill(source, Share(number, pixels, lane), pixels);
    lay_out_matrix(columns, matrix, first_group);
    for (int k = threadIdx.x; k < kSliceGroups * kGroup; k += 32 * kWarps) {
        const int i = first_group * kGroup + k;
        biases[k] = kStep == 2 ? 0.f : i < kC ? bias[i] : 1.f;  // 1: channels that are not there must not divide by 0
    }
    if (threadIdx.x == 0) *zero = 0;
    __syncthreads();

    for (; number < tiles; number += stride) {
        const Share share(number, pixels, lane);
        Packets x[kGroups];  // or t
        if constexpr (kStaged) {
            wait_for_copies();
#pragma unroll
            for (int j = 0; j < kGroups; ++j) stage.take(x[j], j);
            __syncwarp();  // the compiler must not move these reads behind the copies that follow
            if (number + stride < tiles) stage.fill(source, Share(number + stride, pixels, lane), pixels);
        } else {
#pragma unroll
            for (int j = 0; j < kGroups; ++j) load(x[j], source, share, j, pixels);
        }
        // Unrolled over n if outputs come from registers, which cannot be addressed at run time.
#pragma unroll(kKeep ? kSliceGroups : 1)
        for (int n = 0; n < kSliceGroups; n += kWide) {
            const u32 nothing = *zero;
            if (nothing == 1)
                break;  // never; but instructions are scheduled between branches, and a wider horizon costs registers
            Sums sums[kWide];
#pragma unroll
            for (int w = 0; w < kWide; ++w)
#pragma unroll
                for (int s = 0; s < kSubs; ++s) {
                    const float2 start =
                        *reinterpret_cast<const float2*>(biases + (n + w) * kGroup + lane % 4 * kPack + 2 * s);
#pragma unroll
                    for (int m = 0; m < kTiles; ++m) {
                        sums[w][m][s][0] = sums[w][m][s][2] = start.x;
                        sums[w][m][s][1] = sums[w][m][s][3] = start.y;
                    }
                }
#pragma unroll
            for (int j = 0; j < kGroups; ++j) {
                Packets a;
                square(a, x[j], nothing);
#pragma unroll
                for (int w = 0; w < kWide; ++w) {
                    const uint4* const b = columns + ((n + w) * kSubs * kGroups + j) * 32 + lane;
                    if constexpr (kHalf) multiply_half(sums[w], a, b);
                    if constexpr (!kHalf) multiply_float(sums[w], a, b);
                }
            }
#pragma unroll
            for (int w = 0; w < kWide; ++w) {
                const int group = first_group + n + w;
                Packets own, others, results, direct;
                if constexpr (kStep != 2 && kKeep) {
#pragma unroll
                    for (int k = 0; k < 8 * kTiles; ++k)
                        own[k / 8][k / 4 % 2][k % 4] = x[n + w][k / 8][k / 4 % 2][k % 4];
                } else if constexpr (kStep != 2) {
                    load(own, source, share, group, pixels);  // from the cache: this warp has just read it
                }
                if constexpr (kStep != 0) load(others, other, share, group, pixels);
                if constexpr (kStep == 2) load(direct, second, share, group, pixels);
#pragma unroll
                for (int k = 0; k < 8 * kTiles; ++k) {
                    const int m = k / 8, b = k / 4 % 2, word = k % 4;
                    float value[kPair], more[kPair], result[kPair], result2[kPair];
                    if constexpr (kStep == 0) {
                        unpack<kType>(own[m][b][word], value);
                    } else {
                        unpack<kType>(others[m][b][word], more);
                        unpack<kType>(kStep == 1 ? own[m][b][word] : direct[m][b][word], value);
                    }
#pragma unroll
                    for (int e = 0; e < kPair; ++e) {
                        const float sum = sum_of(sums[w], m, b, word, e);
                        if constexpr (kStep == 0) result[e] = value[e] * factor(sum);
                        if constexpr (kStep == 1) differentiate(sum, value[e], more[e], result[e], result2[e]);
                        if constexpr (kStep == 2) result2[e] = value[e] + 2.f * more[e] * sum;
                    }
                    if constexpr (kStep == 0) results[m][b][word] = pack<kType>(result);
                    if constexpr (kStep == 1) results[m][b][word] = pack<kTypeOfT>(result);
                    if constexpr (kStep != 0) direct[m][b][word] = pack<kType>(result2);
                }
                if constexpr (kStep != 2) store(results, first, share, group, pixels);
                if constexpr (kStep != 0) store(direct, second, share, group, pixels);
            }
        }
    }
}

#endif

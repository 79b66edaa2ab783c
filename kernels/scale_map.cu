// The integer map from z to a byte for each latent position (FORMAT 7.5). Integers alone: sums of 32 bits in any order,
// the same as the C++ core's (csrc/scale_map.h), bit for bit. Grid-stride loops: any launch covers everything, a single
// thread as well, which is how the tests run this file on a CPU.
#include "lic_constants.h"

#define LIC_EACH(i, n)                                                   \
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x, \
                   step_of_##i = (long long)gridDim.x * blockDim.x;      \
         i < (n); i += step_of_##i)

__device__ inline int clamped(int value, int low, int high) { return value < low ? low : value > high ? high : value; }

// z: (channels, positions), d: (channels,), v: (channels, positions).
extern "C" __global__ void dequantise(const short* z, const int* d, int channels, long long positions, short* v) {
    LIC_EACH(i, channels * positions) v[i] = (short)clamped(z[i] * d[i / positions], LIC_Z_MIN, LIC_Z_MAX);
}

// A hidden layer. v: (inputs, positions), weight: (outputs, inputs), offset: (outputs,), next: (outputs, positions).
extern "C" __global__ void hidden_layer(const short* v, const short* weight, const int* offset, int inputs, int outputs,
                                        long long positions, short* next) {
    LIC_EACH(i, outputs * positions) {
        const long long k = i / positions, p = i % positions;
        int acc = offset[k];
        for (int c = 0; c < inputs; ++c) acc += weight[k * inputs + c] * v[c * positions + p];
        acc >>= LIC_MAP_SHIFT;
        next[i] = (short)clamped(acc < 0 ? acc >> LIC_LEAK_SHIFT : acc, LIC_Z_MIN, LIC_Z_MAX);
    }
}

// v: (inputs, a, b), weight: (16 channels, inputs), offset: (16 channels,), bias: (channels,), out: (channels, h, w).
extern "C" __global__ void scale_map(const short* v, const short* weight, const int* offset, const int* bias,
                                     int channels, int inputs, int a, int b, int h, int w, int rows,
                                     unsigned char* out) {
    const int side = LIC_HYPER_STRIDE;
    LIC_EACH(i, (long long)channels * h * w) {
        const int x = (int)(i % w), y = (int)(i / w % h), m = (int)(i / w / h);
        const long long k = side * side * (long long)m + side * (y % side) + x % side;
        const long long positions = (long long)a * b, p = (long long)(y / side) * b + x / side;
        int acc = offset[k] + bias[m];
        for (int c = 0; c < inputs; ++c) acc += weight[k * inputs + c] * v[c * positions + p];
        out[i] = (unsigned char)clamped(acc >> LIC_MAP_SHIFT, 0, rows - 1);
    }
}

// Runs a kernel of kernels/ on the CPU, thread by thread, so that tests can compare its very source with float64 twins.
// Included ahead of the kernel's source (g++ -include): stands in for CUDA's own names and for kernels/warp.cuh.
//
// Each thread of a block is a fiber. A fiber runs until it must wait for others (a barrier, a matrix product, the end
// of the kernel); then the next one runs. What this cannot show: the semantics of the PTX itself, timing, and races
// between warps.
#include <ucontext.h>
#include <cmath>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#define LIC_WARP_CUH  // this file replaces it
#define __global__
#define __device__
#define __shared__
#define __forceinline__ inline
#define __launch_bounds__(...)

using u16 = std::uint16_t;
using u32 = std::uint32_t;
using i64 = long long;
struct uint4 {
    u32 x, y, z, w;
};
struct float2 {
    float x, y;
};
struct float4 {
    float x, y, z, w;
};
struct Index {
    unsigned x = 0, y = 0, z = 0;
};
inline uint4 make_uint4(u32 x, u32 y, u32 z, u32 w) { return {x, y, z, w}; }

constexpr int kSharedBytes = 227 * 1024;  // what a block may ask for on compute capability 9.0
alignas(16) uint4 lic_shared[kSharedBytes / 16];

namespace on_cpu {

struct Fiber {
    Index thread;
    std::unique_ptr<char[]> stack;
    ucontext_t context;
    jmp_buf resume;
    bool started = false, done = false;
    long waits_for = 0;                         // collectives of its kind that must be over before it may go on
    const long* counter = nullptr;              // which kind
    std::vector<std::function<void()>> copies;  // asynchronous ones under way
    int exchanges = 0;
};

// What lanes of a warp hand each other. Two buffers: a lane may be one exchange ahead of the slowest, never two.
struct Warp {
    u32 operands[2][32][6];
    int arrived = 0;
    long over = 0;
};

constexpr int kStack = 256 * 1024;
jmp_buf scheduler;
Fiber* self;
std::vector<Fiber> fibers;
std::vector<Warp> warps;
int at_barrier;
long barriers_over;
bool eager;  // asynchronous copies happen at once, else when they are waited for: a kernel must be right under both
Index block, grid, block_size;
using Kernel = void (*)(i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64);
Kernel kernel;
i64 arguments[16];

inline void wait(const long& counter, long target) {
    self->counter = &counter;
    self->waits_for = target;
    while (counter < target)
        if (_setjmp(self->resume) == 0) _longjmp(scheduler, 1);
}

// The operands of all lanes of the warp, once all have brought theirs.
inline const u32 (*exchange(const u32 (&mine)[6]))[6] {
    Warp& warp = warps[self->thread.x / 32];
    u32(*const buffer)[6] = warp.operands[self->exchanges++ % 2];
    std::memcpy(buffer[self->thread.x % 32], mine, sizeof mine);
    const long target = warp.over + 1;
    if (++warp.arrived == 32) warp.arrived = 0, ++warp.over;
    wait(warp.over, target);
    return buffer;
}

inline void barrier() {
    const long target = barriers_over + 1;
    if (++at_barrier == static_cast<int>(fibers.size())) at_barrier = 0, ++barriers_over;
    wait(barriers_over, target);
}

inline void run() {
    const i64* a = arguments;
    kernel(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12], a[13], a[14], a[15]);
    self->done = true;
    _longjmp(scheduler, 1);
}

// Each thread as far as it gets; false if a round moved none: the threads wait for each other for ever.
inline bool round() {
    static volatile std::size_t k;
    static volatile bool moved;
    moved = false;
    for (k = 0; k < fibers.size(); k = k + 1) {
        self = &fibers[k];
        if (self->done || (self->started && *self->counter < self->waits_for)) continue;
        moved = true;
        if (_setjmp(scheduler) != 0) continue;
        if (self->started) _longjmp(self->resume, 1);
        self->started = true;
        getcontext(&self->context);
        self->stack.reset(new char[kStack]);
        self->context.uc_stack.ss_sp = self->stack.get();
        self->context.uc_stack.ss_size = kStack;
        makecontext(&self->context, run, 0);
        setcontext(&self->context);
    }
    return moved;
}

inline bool run_block(int threads) {
    std::memset(lic_shared, 0xff, sizeof lic_shared);  // NaN: nothing may be read before it is written
    fibers = std::vector<Fiber>(threads);
    warps = std::vector<Warp>((threads + 31) / 32);
    at_barrier = 0, barriers_over = 0;
    for (int k = 0; k < threads; ++k) fibers[k].thread.x = k;
    while (round()) {
    }
    for (const Fiber& fiber : fibers)
        if (!fiber.done) return false;
    return true;
}

inline float as_float(u32 bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}
inline u32 as_bits(float value) {
    u32 bits;
    std::memcpy(&bits, &value, 4);
    return bits;
}

}  // namespace on_cpu

// 0, or 1 if threads wait for each other for ever. Arguments of 32 and of 64 bits are handed over alike, addresses
// among them; what a kernel does not take is ignored.
extern "C" int launch(on_cpu::Kernel kernel, const unsigned* grid, int threads, int eager, const i64* arguments) {
    using namespace on_cpu;
    on_cpu::kernel = kernel;
    on_cpu::eager = eager != 0;
    std::memcpy(on_cpu::arguments, arguments, sizeof on_cpu::arguments);
    on_cpu::grid = {grid[0], grid[1], grid[2]};
    block_size.x = threads, block_size.y = block_size.z = 1;
    for (block.z = 0; block.z < grid[2]; ++block.z)
        for (block.y = 0; block.y < grid[1]; ++block.y)
            for (block.x = 0; block.x < grid[0]; ++block.x)
                if (!run_block(threads)) return 1;
    return 0;
}

#define threadIdx (on_cpu::self->thread)
#define blockIdx on_cpu::block
#define gridDim on_cpu::grid
#define blockDim on_cpu::block_size
inline void __syncthreads() { on_cpu::barrier(); }
inline void __syncwarp() { on_cpu::exchange({}); }
inline float __uint_as_float(u32 bits) { return on_cpu::as_float(bits); }
inline u32 __float_as_uint(float value) { return on_cpu::as_bits(value); }

// --- the names of warp.cuh -----------------------------------------------------------------------------------------

inline float low_bf16(u32 pair) { return on_cpu::as_float(pair << 16); }
inline float high_bf16(u32 pair) { return on_cpu::as_float(pair & 0xffff0000u); }
inline float f16(u32 bits) {
    const u16 half = static_cast<u16>(bits);
    _Float16 value;
    std::memcpy(&value, &half, 2);
    return value;
}
inline float low_f16(u32 pair) { return f16(pair); }
inline float high_f16(u32 pair) { return f16(pair >> 16); }
inline u32 f16_bits(float value) {
    const _Float16 half = value;
    u16 bits;
    std::memcpy(&bits, &half, 2);
    return bits;
}
inline u32 pack_f16(float low, float high) { return f16_bits(low) | f16_bits(high) << 16; }
inline u32 bf16_bits(float value) {
    const u32 bits = on_cpu::as_bits(value);
    return (value == value ? bits + 0x7fff + (bits >> 16 & 1) : bits | 0x400000u) >> 16;
}
inline u32 pack_bf16(float low, float high) { return bf16_bits(low) | bf16_bits(high) << 16; }
inline u32 lows(u32 a, u32 b) { return (a & 0xffffu) | b << 16; }
inline u32 highs(u32 a, u32 b) { return a >> 16 | (b & 0xffff0000u); }
inline float rsqrt_fast(float v) { return 1.f / std::sqrt(v); }
inline float sqrt_fast(float v) { return std::sqrt(v); }

inline u32 square_bf16(u32 pair, u32 zero) {
    const float l = low_bf16(pair), h = high_bf16(pair);
    return pack_bf16(l * l + low_bf16(zero), h * h + high_bf16(zero));  // a product of two bfloat16 is exact in float32
}
inline float round_tf32(float value) { return on_cpu::as_float((on_cpu::as_bits(value) + 0x1000u) & ~0x1fffu); }

// The fragments as the PTX manual draws them: a 16 rows, b 8 columns, `count` values in a word.
template <typename Values>
inline void multiply(float (&d)[4], const u32 (&operands)[6], int count, Values values) {
    const u32(*const lanes)[6] = on_cpu::exchange(operands);
    const int g = threadIdx.x % 32 / 4, q = threadIdx.x % 4;
    for (int r = 0; r < 4; ++r) {
        const int row = g + 8 * (r / 2), column = 2 * q + r % 2;
        double sum = d[r];
        for (int k = 0; k < 8 * count; ++k) {
            const int word = k / count,
                      e = k % count;  // words 0 to 3 are in registers a0, a1 and b0, words 4 to 7 in a2, a3 and b1
            const u32 a = lanes[4 * (row % 8) + word % 4][2 * (word / 4) + row / 8];
            const u32 b = lanes[4 * column + word % 4][4 + word / 4];
            sum += static_cast<double>(values(a, e)) * values(b, e);
        }
        d[r] = static_cast<float>(sum);
    }
}
inline void mma_bf16(float (&d)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    multiply(d, {a0, a1, a2, a3, b0, b1}, 2, [](u32 word, int e) { return e ? high_bf16(word) : low_bf16(word); });
}
inline void mma_tf32(float (&d)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    multiply(d, {a0, a1, a2, a3, b0, b1}, 1, [](u32 word, int) { return on_cpu::as_float(word & ~0x1fffu); });
}

template <int WORDS>
inline void check_aligned(const void* at) {
    if (reinterpret_cast<std::uintptr_t>(at) % (4 * WORDS)) std::fprintf(stderr, "misaligned vector\n"), std::abort();
}
template <int WORDS>
inline void read_global(u32 (&v)[WORDS], const void* from, bool inside) {
    std::memset(v, 0, sizeof v);
    if (inside) check_aligned<WORDS>(from), std::memcpy(v, from, sizeof v);
}
template <int WORDS>
inline void write_global(const u32 (&v)[WORDS], void* to, bool inside) {
    if (inside) check_aligned<WORDS>(to), std::memcpy(to, v, sizeof v);
}
inline u32 shared_address(const void* pointer) {
    return static_cast<const char*>(pointer) - reinterpret_cast<char*>(lic_shared);
}
inline char* at_shared(u32 address) { return reinterpret_cast<char*>(lic_shared) + address; }
template <int WORDS>
inline void read_shared(u32 (&v)[WORDS], u32 from) {
    check_aligned<WORDS>(at_shared(from)), std::memcpy(v, at_shared(from), sizeof v);
}
template <int WORDS>
inline void copy_async(u32 address, const void* from, bool inside) {
    char* const to = at_shared(address);
    const auto copy = [=] {
        check_aligned<WORDS>(to);
        if (inside) check_aligned<WORDS>(from), std::memcpy(to, from, 4 * WORDS);
        if (!inside) std::memset(to, 0, 4 * WORDS);
    };
    if (on_cpu::eager) return copy();
    std::memset(to, 0xff, 4 * WORDS);  // until it arrives, what was there is no longer to be relied on
    on_cpu::self->copies.push_back(copy);
}
inline void wait_for_copies() {
    for (const auto& copy : on_cpu::self->copies) copy();
    on_cpu::self->copies.clear();
}

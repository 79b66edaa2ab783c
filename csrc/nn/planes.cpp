// Planes of bytes. The loops are plain: compilers make vectors of them.
#include "planes.h"

#include <array>
#include <cstring>
#include <utility>

namespace lic::nn {
namespace {

using Cursors = std::array<std::size_t, kBytesMost>;  // the next byte of each plane

// Where the planes begin: plane k has a byte of every element of more than k bytes.
Cursors begins(const std::vector<Run>& runs) {
    Cursors at{};
    for (std::size_t k = 1; k < kBytesMost; ++k) {
        at[k] = at[k - 1];
        for (const Run& run : runs) at[k] += run.bytes > k - 1 ? run.count : 0;
    }
    return at;
}

// 0, -1, 1, -2, ... as 0, 1, 2, 3, ...: the high bytes of small numbers are 0, whatever their sign.
template <class U>
U fold(U x) {
    return static_cast<U>(static_cast<U>(x << 1) ^ static_cast<U>(0 - (x >> (8 * sizeof(U) - 1))));
}
template <class U>
U unfold(U u) {
    return static_cast<U>(static_cast<U>(u >> 1) ^ static_cast<U>(0 - (u & 1)));
}

// Each plane by a pointer of its own, and whether to fold known beforehand: else compilers see no vectors here.
template <class U, bool is_signed, std::size_t... k>
void join(std::size_t count, const std::uint8_t* planes, const Cursors& at, std::uint8_t* elements,
          std::index_sequence<k...>) {
    const std::uint8_t* const from[] = {planes + at[k]...};
    for (std::size_t i = 0; i < count; ++i) {
        const U u = static_cast<U>((... | static_cast<U>(U{from[k][i]} << (8 * k))));
        const U x = is_signed ? unfold(u) : u;
        std::memcpy(elements + i * sizeof(U), &x, sizeof(U));
    }
}

template <class U, bool is_signed, std::size_t... k>
void split(std::size_t count, const std::uint8_t* elements, const Cursors& at, std::uint8_t* planes,
           std::index_sequence<k...>) {
    std::uint8_t* const to[] = {planes + at[k]...};
    for (std::size_t i = 0; i < count; ++i) {
        U x;
        std::memcpy(&x, elements + i * sizeof(U), sizeof(U));
        const U u = is_signed ? fold(x) : x;
        ((to[k][i] = static_cast<std::uint8_t>(u >> (8 * k))), ...);
    }
}

template <class U>
void join_run(const Run& run, const std::uint8_t* planes, const Cursors& at, std::uint8_t* elements) {
    const auto all = std::make_index_sequence<sizeof(U)>();
    return run.is_signed ? join<U, true>(run.count, planes, at, elements, all)
                         : join<U, false>(run.count, planes, at, elements, all);
}

template <class U>
void split_run(const Run& run, const std::uint8_t* elements, const Cursors& at, std::uint8_t* planes) {
    const auto all = std::make_index_sequence<sizeof(U)>();
    return run.is_signed ? split<U, true>(run.count, elements, at, planes, all)
                         : split<U, false>(run.count, elements, at, planes, all);
}

// step(run, its planes' places, the place of its elements) for each run.
template <class Step>
void each(const std::vector<Run>& runs, const Step& step) {
    Cursors at = begins(runs);
    std::size_t element = 0;
    for (const Run& run : runs) {
        step(run, at, element);
        for (std::size_t k = 0; k < run.bytes; ++k) at[k] += run.count;
        element += run.bytes * run.count;
    }
}

}  // namespace

bool size_of(const std::vector<Run>& runs, std::size_t most, std::size_t* size) {
    *size = 0;
    for (const Run& run : runs) {
        const bool known = run.bytes == 1 || run.bytes == 2 || run.bytes == 4 || run.bytes == 8;
        if (!known || run.count > (most - *size) / run.bytes) return false;
        *size += run.bytes * run.count;
    }
    return true;
}

void join_planes(const std::vector<Run>& runs, const std::uint8_t* planes, std::uint8_t* elements) {
    each(runs, [&](const Run& run, const Cursors& at, std::size_t to) {
        switch (run.bytes) {
            case 1:
                return join_run<std::uint8_t>(run, planes, at, elements + to);
            case 2:
                return join_run<std::uint16_t>(run, planes, at, elements + to);
            case 4:
                return join_run<std::uint32_t>(run, planes, at, elements + to);
            default:
                return join_run<std::uint64_t>(run, planes, at, elements + to);
        }
    });
}

void split_planes(const std::vector<Run>& runs, const std::uint8_t* elements, std::uint8_t* planes) {
    each(runs, [&](const Run& run, const Cursors& at, std::size_t from) {
        switch (run.bytes) {
            case 1:
                return split_run<std::uint8_t>(run, elements + from, at, planes);
            case 2:
                return split_run<std::uint16_t>(run, elements + from, at, planes);
            case 4:
                return split_run<std::uint32_t>(run, elements + from, at, planes);
            default:
                return split_run<std::uint64_t>(run, elements + from, at, planes);
        }
    });
}

}  // namespace lic::nn

// A small model of the photo family from random numbers, for programs without Python. Must not include Python.
#ifndef LIC_TEST_RANDOM_MODEL_H
#define LIC_TEST_RANDOM_MODEL_H

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "../nn/photo.h"

namespace lic::nn::test {

// xorshift64*: the same numbers everywhere, unlike those of <random>'s distributions.
struct Random {
    std::uint64_t state = 88172645463325252ull;
    std::uint64_t next() {
        state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
        return state * 2685821657736338717ull;
    }
    i64 within(i64 low, i64 high) {
        return low + static_cast<i64>(next() % static_cast<std::uint64_t>(high - low + 1));
    }
};

// Tensors of a small model, with the memory that they lie in.
struct Model {
    Random random;
    Tensors tensors;
    std::vector<std::vector<i64>> memory;  // aligned for all types

    template <class T>
    void add(const std::string& name, Type type, std::vector<std::size_t> shape, const std::vector<T>& values) {
        memory.emplace_back((values.size() * sizeof(T) + 7) / 8);
        std::copy(values.begin(), values.end(), reinterpret_cast<T*>(memory.back().data()));
        tensors.add(name, {type, std::move(shape), memory.back().data()});
    }

    // Weights whose absolute values sum to 65535 at most, often to just that; multipliers that bring sums to about
    // +-limit.
    void layer(const std::string& name, std::size_t outputs, std::size_t inputs, i64 limit, std::size_t points = 1) {
        const i64 most = LIC_WEIGHT_SUM_MAX / static_cast<i64>(inputs);
        std::vector<i16> weight(outputs * inputs);
        for (i16& w : weight)
            w = static_cast<i16>(random.within(-std::min<i64>(most, 32767), std::min<i64>(most, 32767)));
        std::vector<i32> scale(points * outputs);
        for (i32& s : scale) s = static_cast<i32>(random.within(-limit, limit));
        std::vector<i64> bias(points * outputs);
        for (i64& b : bias) b = random.within(-(i64{1} << 44), i64{1} << 44);
        add(name + ".weight", Type::int16, {outputs, inputs}, weight);
        add(name + ".scale", Type::int32, {points, outputs}, scale);
        add(name + ".bias", Type::int64, {points, outputs}, bias);
    }

    void block(const std::string& name, std::size_t width, std::size_t points) {
        layer(name + ".mix", width, width, 1 << 20, points);
        layer(name + ".spatial", width, 9, 1 << 19);
        layer(name + ".join", width, width, 1 << 18);
        layer(name + ".expand", 2 * width, width, 1 << 20, points);
        layer(name + ".contract", width, 2 * width, 1 << 18);
    }
};

constexpr std::size_t kLatent = 40, kHyper = 24, kBody = 34, kSpread = 12, kDetail = 20, kRender = 9, kPoints = 4;

inline void fill(Model& m) {
    m.layer("prior.up", 16 * kSpread, kHyper, 1 << 20);
    m.layer("prior.enter", kBody, kSpread, 1 << 20);
    m.block("prior.block", kBody, kPoints);
    m.layer("prior.mean", kLatent, kBody, 1 << 22);
    m.layer("prior.step", kLatent, kBody, 1 << 18);
    std::vector<i32> gain(kPoints * kLatent);
    for (i32& g : gain) g = static_cast<i32>(m.random.within(0, 2800));
    m.add("prior.gain", Type::int32, {kPoints, kLatent}, gain);
    for (std::size_t group = 1; group < 4; ++group) {
        const std::string name = "refine" + std::to_string(group);
        m.layer(name + ".enter", kBody, kBody + kLatent, 1 << 20);
        m.layer(name + ".spatial", kBody, group == 1 ? 9 : 25, 1 << 19);
        m.layer(name + ".join", kBody, kBody, 1 << 18);
        m.layer(name + ".expand", 2 * kBody, kBody, 1 << 20);
        m.layer(name + ".contract", kBody, 2 * kBody, 1 << 18);
        m.layer(name + ".mean", kLatent, kBody, 1 << 22);
        m.layer(name + ".step", kLatent, kBody, 1 << 18);
    }
    std::vector<i16> tanh(LIC_TANH_STEPS + 1);
    for (std::size_t i = 0; i < tanh.size(); ++i) tanh[i] = static_cast<i16>(32767 * i / (i + 40));
    m.add("tanh", Type::int16, {tanh.size()}, tanh);
    std::vector<std::uint16_t> exp2(1 << LIC_OCTAVE_BITS);
    for (std::size_t i = 0; i < exp2.size(); ++i) exp2[i] = static_cast<std::uint16_t>(32768 + 127 * i);
    m.add("exp2", Type::uint16, {exp2.size()}, exp2);
    m.layer("synthesis.enter", kBody, kLatent, 1 << 20, 9);
    m.block("synthesis.body0", kBody, kPoints);
    m.layer("synthesis.up8", 4 * kDetail, kBody, 1 << 20);
    m.block("synthesis.detail0", kDetail, kPoints);
    m.block("synthesis.detail1", kDetail, kPoints);
    m.layer("synthesis.up4", 4 * kRender, kDetail, 1 << 20);
    m.block("synthesis.render", kRender, kPoints);
    m.layer("synthesis.out", 48, kRender, 1 << 17);
    m.layer("synthesis.direct", 768, kLatent, 1 << 17);
}

}  // namespace lic::nn::test

#endif

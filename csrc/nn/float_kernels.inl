// The float kernels over vectors. Included once by each float_kernels_<set>.cpp after its vector functions, inside a
// namespace of its own: nothing here may be shared between translation units that are compiled for different sets.
//
// A vector VF has kLanes float. Outputs are taken kWide vectors at a time, and fewer where fewer are left.

// Panels of kWide vectors, then one of what is left: within a panel, for each input, its outputs.
void pack(const float* weight, std::size_t inputs, std::size_t outputs, float* to) {
    for (std::size_t first = 0; first < outputs;) {
        const std::size_t left = outputs - first, width = left < kWide * kLanes ? left : kWide * kLanes;
        for (std::size_t k = 0; k < inputs; ++k) {
            std::memcpy(to, weight + k * outputs + first, width * sizeof(float));
            to += width;
        }
        first += width;
    }
}

// kPositions outputs of kVectors vectors, the first of them output n.
template <int kPositions, int kVectors, FloatStore kStore>
LIC_NN_INLINE void tile(const FloatProduct& t, const float* in, const float* weight, std::size_t n, std::size_t at) {
    VF acc[kPositions][kVectors];
    LIC_NN_UNROLL
    for (int p = 0; p < kPositions; ++p) {
        LIC_NN_UNROLL
        for (int v = 0; v < kVectors; ++v) acc[p][v] = zero();
    }
    for (std::size_t k = 0; k < t.inputs; ++k) {
        VF w[kVectors];
        LIC_NN_UNROLL
        for (int v = 0; v < kVectors; ++v) w[v] = load(weight + static_cast<std::size_t>(v) * kLanes);
        weight += kVectors * kLanes;
        LIC_NN_UNROLL
        for (int p = 0; p < kPositions; ++p) {
            const VF x = all(in + static_cast<std::size_t>(p) * t.in_stride + k);
            LIC_NN_UNROLL
            for (int v = 0; v < kVectors; ++v) acc[p][v] = multiply_add(x, w[v], acc[p][v]);
        }
    }
    LIC_NN_UNROLL
    for (int p = 0; p < kPositions; ++p) {
        const std::size_t position = at + static_cast<std::size_t>(p);
        float* out = t.out + position * t.out_stride + n;
        LIC_NN_UNROLL
        for (int v = 0; v < kVectors; ++v) {
            const std::size_t part = static_cast<std::size_t>(v) * kLanes;
            VF x = acc[p][v];
            if constexpr (kStore == FloatStore::add) x = add(x, load(out + part));
            if constexpr (kStore == FloatStore::leaky) x = leaky(x, t.signs.data + position * t.signs.stride, n + part);
            store(out + part, x);
        }
    }
}

template <int kPositions, int kVectors, FloatStore kStore>
void panel(const FloatProduct& t, const float* weight, std::size_t n) {
    const float* in = t.in;
    std::size_t at = 0;
    for (; at + kPositions <= t.positions; at += kPositions) {
        tile<kPositions, kVectors, kStore>(t, in, weight, n, at);
        in += kPositions * t.in_stride;
    }
    if constexpr (kPositions > 4) {
        for (; at + 4 <= t.positions; at += 4) {
            tile<4, kVectors, kStore>(t, in, weight, n, at);
            in += 4 * t.in_stride;
        }
    }
    for (; at < t.positions; ++at) {
        tile<1, kVectors, kStore>(t, in, weight, n, at);
        in += t.in_stride;
    }
}

template <FloatStore kStore>
void product_of(const FloatProduct& t) {
    const float* weight = t.weight;
    for (std::size_t first = 0; first < t.outputs;) {
        const std::size_t left = (t.outputs - first) / kLanes;
        std::size_t vectors = kWide;
        if (left >= kWide) {
            panel<kPositionsWide, kWide, kStore>(t, weight, first);
        } else if constexpr (kWide > kFloatGroup / kLanes) {
            vectors = left;
            if (left == 3) {
                panel<kPositionsThree, 3, kStore>(t, weight, first);
            } else if (left == 2) {
                panel<kPositionsTwo, 2, kStore>(t, weight, first);
            } else {
                panel<kPositionsTwo, 1, kStore>(t, weight, first);
            }
        }
        weight += t.inputs * vectors * kLanes;
        first += vectors * kLanes;
    }
}

void product(const FloatProduct& t) {
    switch (t.store) {
        case FloatStore::plain:
            return product_of<FloatStore::plain>(t);
        case FloatStore::add:
            return product_of<FloatStore::add>(t);
        case FloatStore::leaky:
            return product_of<FloatStore::leaky>(t);
    }
}

void depthwise(const FloatDepthwise& t) {
    for (std::size_t c = 0; c < t.channels; c += kLanes) {
        VF w[9];
        LIC_NN_UNROLL
        for (std::size_t tap = 0; tap < 9; ++tap) w[tap] = load(t.weight + tap * t.channels + c);
        for (std::size_t p = 0; p < t.positions; ++p) {
            const std::size_t at = p * t.channels + c;
            VF sum[3];
            LIC_NN_UNROLL
            for (std::size_t u = 0; u < 3; ++u) {
                const float* row = t.rows[u] + at;
                sum[u] = multiply_add(load(row), w[3 * u], zero());
                sum[u] = multiply_add(load(row + t.channels), w[3 * u + 1], sum[u]);
                sum[u] = multiply_add(load(row + 2 * t.channels), w[3 * u + 2], sum[u]);
            }
            store(t.out + at, leaky(add(add(sum[0], sum[1]), sum[2]), t.signs.data + p * t.signs.stride, c));
        }
    }
}

// May read and write bits of up to 63 channels behind a position's last.
void signs(const SignRow& t) {
    for (std::size_t p = 0; p < t.positions; ++p) {
        const i16* from = t.from + p * t.channels;
        std::uint8_t* to = t.to + p * t.stride;
        for (std::size_t c = 0; c < t.channels; c += kSignLanes) above_zero(from + c, to + c / 8);
    }
}

constexpr FloatKernels set_named(const char* name) { return {name, pack, product, depthwise, signs}; }

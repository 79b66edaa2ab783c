// The kernels over vectors. Included once by each kernels_<set>.cpp after its vector functions, inside a namespace of
// its own: nothing here may be shared between translation units that are compiled for different instruction sets.
//
// A vector V32 has kLanes i32, a vector V16 twice as many i16. The channels of a group of 2 * kLanes lie in two V32,
// low and high, as interleaving two V16 leaves them, so that `narrow(low, high)` has them in their order: within each
// 128 bits, low has the first four of eight channels and high the last four.

constexpr std::size_t kGroup = 2 * kLanes;  // channels

// Channel within a group of lane `lane` of half `half` (0 low, 1 high).
inline std::size_t channel_of(std::size_t half, std::size_t lane) { return lane / 4 * 8 + half * 4 + lane % 4; }

inline std::size_t groups(std::size_t channels) { return (channels + kGroup - 1) / kGroup; }

// Where the weight of a pair's first or second value for a lane stands among the 2 * kLanes of a vector.
inline std::size_t pair_slot(std::size_t lane, std::size_t second) {
    return kPairsApart ? second * kLanes + lane : 2 * lane + second;
}

std::size_t packed_size(std::size_t outputs, std::size_t inputs) {
    return groups(outputs) * kGroup * ((inputs + 1) / 2) * 2;
}
std::size_t final_size(std::size_t outputs) { return groups(outputs) * kGroup; }

// Panels of kWide groups, then panels of one: within a panel, for each pair of inputs, the vectors of its groups.
void pack(const i16* weight, std::size_t outputs, std::size_t inputs, i16* to) {
    const std::size_t pairs = (inputs + 1) / 2, all = groups(outputs);
    for (std::size_t first = 0; first < all;) {
        const std::size_t wide = all - first >= kWide ? kWide : 1, vectors = 2 * wide;
        for (std::size_t vector = 0; vector < vectors; ++vector) {
            for (std::size_t lane = 0; lane < kLanes; ++lane) {
                const std::size_t n = (first + vector / 2) * kGroup + channel_of(vector % 2, lane);
                if (n >= outputs) continue;
                const i16* from = weight + n * inputs;
                i16 *even = to + vector * kGroup + pair_slot(lane, 0), *odd = to + vector * kGroup + pair_slot(lane, 1);
                for (std::size_t k = 0; k + 1 < inputs; k += 2) {
                    *even = from[k];
                    *odd = from[k + 1];
                    even += vectors * kGroup;
                    odd += vectors * kGroup;
                }
                if (inputs % 2) *even = from[inputs - 1];
            }
        }
        to += pairs * vectors * kGroup;
        first += wide;
    }
}

// For each group, for each pair of taps, low and high.
void pack_depthwise(const i16* weight, std::size_t channels, std::size_t taps, i16* to) {
    const std::size_t pairs = (taps + 1) / 2;
    for (std::size_t group = 0; group < groups(channels); ++group) {
        for (std::size_t tap = 0; tap < taps; ++tap) {
            for (std::size_t half = 0; half < 2; ++half) {
                for (std::size_t lane = 0; lane < kLanes; ++lane) {
                    const std::size_t c = group * kGroup + channel_of(half, lane);
                    if (c < channels)
                        to[((group * pairs + tap / 2) * 2 + half) * kGroup + pair_slot(lane, tap % 2)] =
                            weight[c * taps + tap];
                }
            }
        }
    }
}

void finish(const i32* scale, const i64* bias, std::size_t outputs, i32* to_scale, i64* to_bias) {
    for (std::size_t vector = 0; vector < groups(outputs) * 2; ++vector) {
        for (std::size_t i = 0; i < kLanes; ++i) {
            const std::size_t n = vector / 2 * kGroup + channel_of(vector % 2, i),
                              b = vector / 2 * kGroup + channel_of(vector % 2, wide_lane(i));
            to_scale[vector * kLanes + i] = n < outputs ? scale[n] : 0;
            to_bias[vector * kLanes + i] = (b < outputs ? bias[b] : 0) + kHalf;
        }
    }
}

template <Store kStore>
LIC_NN_INLINE void put(V32 low, V32 high, const Final& final, std::size_t n, std::size_t outputs, void* out) {
    const i32* scale = final.scale + n;
    const i64* bias = final.bias + n;
    low = requantised(low, scale, bias);
    high = requantised(high, scale + kLanes, bias + kLanes);
    if constexpr (kStore == Store::wide) {
        i32* to = static_cast<i32*>(out) + n;
        const std::size_t room = outputs - n;
        i32 part[kGroup];
        i32* direct = room >= kGroup ? to : part;
        store_wide(direct, clipped(low), clipped(high));
        if (direct == part) std::memcpy(to, part, room * sizeof(i32));
    } else {
        V16 v = narrow(low, high);
        if constexpr (kStore == Store::leaky) v = leaky(v);
        i16* to = static_cast<i16*>(out) + n;
        if (outputs - n >= kGroup) {
            if constexpr (kStore == Store::add) v = add(v, load(to));
            store(to, v);
        } else {
            i16 part[kGroup] = {};
            if constexpr (kStore == Store::add) {
                std::memcpy(part, to, (outputs - n) * sizeof(i16));
                v = add(v, load(part));
            }
            store(part, v);
            std::memcpy(to, part, (outputs - n) * sizeof(i16));
        }
    }
}

// kPositions outputs of kVectors vectors.
template <int kPositions, int kVectors, Store kStore>
LIC_NN_INLINE void tile(const Product& t, const i16* in, const i16* weight, std::size_t pairs, std::size_t n,
                        void* out) {
    V32 acc[kPositions][kVectors];
    LIC_NN_UNROLL
    for (int p = 0; p < kPositions; ++p) {
        LIC_NN_UNROLL
        for (int v = 0; v < kVectors; ++v) acc[p][v] = zero();
    }
    for (std::size_t k = 0; k < pairs; ++k) {
        V16 w[kVectors];
        LIC_NN_UNROLL
        for (int v = 0; v < kVectors; ++v) w[v] = load(weight + (k * kVectors + static_cast<std::size_t>(v)) * kGroup);
        LIC_NN_UNROLL
        for (int p = 0; p < kPositions; ++p) {
            const V16 x = pair(in + p * t.in_stride + 2 * static_cast<std::ptrdiff_t>(k));
            LIC_NN_UNROLL
            for (int v = 0; v < kVectors; ++v) acc[p][v] = dot(acc[p][v], x, w[v]);
        }
    }
    constexpr std::ptrdiff_t kSize = kStore == Store::wide ? sizeof(i32) : sizeof(i16);
    LIC_NN_UNROLL
    for (int v = 0; v < kVectors; v += 2) {
        const std::size_t at = n + static_cast<std::size_t>(v) * kLanes;
        LIC_NN_UNROLL
        for (int p = 0; p < kPositions; ++p) {
            put<kStore>(acc[p][v], acc[p][v + 1], t.final, at, t.weight.outputs,
                        static_cast<char*>(out) + p * t.out_stride * kSize);
        }
    }
}

template <int kPositions, int kVectors, Store kStore>
void panel(const Product& t, const i16* weight, std::size_t pairs, std::size_t n) {
    constexpr std::ptrdiff_t kSize = kStore == Store::wide ? sizeof(i32) : sizeof(i16);
    const i16* in = t.in;
    char* out = static_cast<char*>(t.out);
    std::size_t left = t.positions;
    const auto passed = [&](std::size_t positions) {
        in += static_cast<std::ptrdiff_t>(positions) * t.in_stride;
        out += static_cast<std::ptrdiff_t>(positions) * t.out_stride * kSize;
        return positions;
    };
    for (; left >= kPositions; left -= passed(kPositions))
        tile<kPositions, kVectors, kStore>(t, in, weight, pairs, n, out);
    if constexpr (kPositions > 4) {
        for (; left >= 4; left -= passed(4)) tile<4, kVectors, kStore>(t, in, weight, pairs, n, out);
    }
    if (left == 3) return tile<3, kVectors, kStore>(t, in, weight, pairs, n, out);
    if (left == 2) return tile<2, kVectors, kStore>(t, in, weight, pairs, n, out);
    if (left == 1) tile<1, kVectors, kStore>(t, in, weight, pairs, n, out);
}

template <Store kStore>
void product_of(const Product& t) {
    const std::size_t all = groups(t.weight.outputs), stored = (t.weight.inputs + 1) / 2, pairs = (t.inputs + 1) / 2;
    const i16* weight = t.weight.data;
    for (std::size_t first = 0; first < all;) {
        if (all - first >= kWide) {
            panel<kPositionsWide, 2 * kWide, kStore>(t, weight, pairs, first * kGroup);
            weight += stored * 2 * kWide * kGroup;
            first += kWide;
        } else {
            panel<kPositionsOne, 2, kStore>(t, weight, pairs, first * kGroup);
            weight += stored * 2 * kGroup;
            ++first;
        }
    }
}

void product(const Product& t) {
    switch (t.store) {
        case Store::plain:
            return product_of<Store::plain>(t);
        case Store::leaky:
            return product_of<Store::leaky>(t);
        case Store::add:
            return product_of<Store::add>(t);
        case Store::wide:
            return product_of<Store::wide>(t);
    }
}

template <std::size_t kSide>
void depthwise_of(const Depthwise& t) {
    constexpr std::size_t kTaps = kSide * kSide, kPairs = (kTaps + 1) / 2;
    const std::size_t channels = t.weight.outputs;
    for (std::size_t group = 0; group < groups(channels); ++group) {
        const std::size_t c = group * kGroup;
        const i16* weight = t.weight.data + group * kPairs * 2 * kGroup;
        for (std::size_t p = 0; p < t.positions; ++p) {
            const std::size_t at = p * t.step * channels + c;
            V32 low = zero(), high = zero();
            LIC_NN_UNROLL
            for (std::size_t k = 0; k < kPairs; ++k) {
                const std::size_t one = 2 * k, two = one + 1 < kTaps
                                                         ? one + 1
                                                         : one;  // the last has no partner, and a weight of 0 for it
                const V16 a = load(t.rows[one / kSide] + at + one % kSide * channels),
                          b = load(t.rows[two / kSide] + at + two % kSide * channels);
                low = dot(low, interleave_low(a, b), load(weight + 2 * k * kGroup));
                high = dot(high, interleave_high(a, b), load(weight + (2 * k + 1) * kGroup));
            }
            put<Store::plain>(low, high, t.final, c, channels, t.out + p * channels);
        }
    }
}

void depthwise(const Depthwise& t) {
    if (t.side == 3) return depthwise_of<3>(t);
    depthwise_of<5>(t);
}

constexpr Kernels set_named(const char* name) {
    return {name, packed_size, final_size, pack, pack_depthwise, finish, product, depthwise};
}

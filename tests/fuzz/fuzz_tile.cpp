// Fuzzes the tile decoder (csrc/tile.h and what it includes; FORMAT 7). Needs no Python.
//
//   clang++ -std=c++17 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Icsrc
//   tests/fuzz/fuzz_tile.cpp -o build/fuzz_tile build/fuzz_tile -max_len=4096 -max_total_time=60
//
// With -DLIC_REPLAY instead of `fuzzer` it is a plain program that runs each file named on its command line once (any
// compiler).
//
// Input: | seed u8 | shape u8 | rest |. The seed makes the tables, from 128 on those of mixtures, from 64 to 127 those
// of a trellis; the shape byte makes the tile, and its bit 7 says what the rest is:
//   0: a tile stream, to be decoded;
//   1: symbols, to be encoded, then decoded; so the corpus reaches deep states without knowing the checksum. With a
//   trellis they are
//      made levels, and then what its search makes of them goes the same way.
//
// Invariants:
//   1. No input reads or writes outside a buffer (the stream lies in a heap buffer of its exact size).
//   2. The fast decoder and the slow one, and all code paths of the map, say the same: status and symbols.
//   3. Accepted implies that encoding the symbols again gives the same bytes: a tile has one stream and no other.
//   4. What the encoder writes is accepted and gives its symbols back.
//   5. With a trellis, r is refused or the one tile of its stream; symbols and levels are inverse to each other; and
//   all code paths of
//      the search find the same levels, which the encoder takes, of whatever numbers.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "tile.h"

namespace {

#define REQUIRE(condition)                                                                 \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            std::fprintf(stderr, "line %d: invariant broken: %s\n", __LINE__, #condition); \
            std::abort();                                                                  \
        }                                                                                  \
    } while (0)

// Numbers that depend on the seed alone (splitmix64).
struct Random {
    std::uint64_t state;
    std::uint32_t below(std::uint32_t n) {
        std::uint64_t x = state += 0x9E3779B97F4A7C15u;
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
        x = (x ^ x >> 27) * 0x94D049BB133111EBu;
        return static_cast<std::uint32_t>((x ^ x >> 31) % n);
    }
    std::int32_t between(std::int32_t low, std::int32_t high) {
        return low + static_cast<std::int32_t>(below(static_cast<std::uint32_t>(high - low) + 1));
    }
};

constexpr std::int32_t kRows = 6;

// A model of one quality: a bank with short, long, even and lopsided rows, and a map that spreads over them; or
// mixtures.
struct Tables {
    lic::Bank bank;
    lic::ScaleMap map;
    lic::Mixture mixture;
    std::vector<std::int32_t> d, bias;
    std::size_t levels = 1;
    std::vector<std::uint16_t> z_level;
    std::int32_t rows = kRows, skip, trellis = lic::kNoTrellis;
    std::size_t planes = 1;

    explicit Tables(std::uint8_t seed) {
        Random random{seed};
        const std::size_t C = 1 + random.below(4), M = 1 + random.below(3);
        std::size_t inputs = C;
        if (seed >= 128) {
            make_mixture(random);
            for (std::uint32_t n = random.below(3); n > 0; --n) inputs = add_layer(random, inputs);
        }
        levels = random.below(8) ? 1 + random.below(3) : LIC_LEVELS_MAX;
        for (std::size_t i = 0; i < C * (levels - 1); ++i)
            z_level.push_back(static_cast<std::uint16_t>(random.below(8)));
        if (seed >= 64 && seed < 128) trellis = random.between(2, kRows);
        make_bank(random, scale_rows() + C * levels);
        const std::size_t channels = planes * M;
        std::vector<std::int16_t> weight(lic::kCell * channels * inputs);
        const std::int32_t most = seed >= 192 ? 80 : LIC_WEIGHT_MAX;  // small weights: bytes between their ends
        for (auto& w : weight) w = static_cast<std::int16_t>(random.between(-most, most));
        std::vector<std::int32_t> offset(lic::kCell * channels);
        for (auto& o : offset) o = random.between(-(1 << 12), (planes > 1 ? 256 : kRows) << 11);
        REQUIRE(map.build(weight.data(), offset.data(), channels, inputs));
        for (std::size_t c = 0; c < C; ++c) d.push_back(random.between(1, 255));
        for (std::size_t m = 0; m < channels; ++m) bias.push_back(random.between(-(1 << 12), 1 << 12));
        skip = planes > 1 ? 0 : random.between(0, 2);
    }

    bool mixed() const { return planes > 1; }
    bool dependent() const { return trellis != lic::kNoTrellis; }
    std::size_t scale_rows() const { return static_cast<std::size_t>(dependent() ? 2 * rows : rows); }

    // Any normal that rises from 0 to 32768, any scales.
    void make_mixture(Random& random) {
        std::uint16_t normal[LIC_NORMAL_STEPS + 1] = {};
        for (std::size_t i = 1; i < LIC_NORMAL_STEPS; ++i) {
            const std::int32_t left = 32768 - normal[i - 1];
            normal[i] =
                static_cast<std::uint16_t>(normal[i - 1] + random.between(0, left / (random.below(9) ? 60 : 2)));
        }
        normal[LIC_NORMAL_STEPS] = 32768;
        std::vector<std::uint32_t> inverse(1 + random.below(9));
        for (auto& value : inverse) {
            value = static_cast<std::uint32_t>(random.between(LIC_INVERSE_MIN, LIC_INVERSE_MAX)) >> random.below(12);
            value = value < LIC_INVERSE_MIN ? LIC_INVERSE_MIN : value;
        }
        const std::size_t components = 1 + random.below(LIC_COMPONENTS_MAX);
        REQUIRE(!mixture.build(normal, inverse.data(), inverse.size(), components));
        planes = lic::kPlanes * components;
        rows = 0;
    }

    std::size_t add_layer(Random& random, std::size_t inputs) {
        const std::size_t out = 1 + random.below(5);
        std::vector<std::int16_t> weight(out * inputs);
        for (auto& w : weight) w = static_cast<std::int16_t>(random.between(-LIC_WEIGHT_MAX, LIC_WEIGHT_MAX));
        std::vector<std::int32_t> offset(out);
        for (auto& o : offset) o = random.between(-LIC_BIAS_MAX, LIC_BIAS_MAX);
        REQUIRE(map.add_layer(weight.data(), offset.data(), out, inputs));
        return out;
    }

    void make_bank(Random& random, std::size_t rows) {
        std::vector<std::uint16_t> freq;
        std::vector<std::int32_t> count;
        std::vector<std::int16_t> first;
        for (std::size_t k = 0; k < rows; ++k) {
            const std::int32_t n = random.below(8) ? random.between(2, 20) : random.between(21, LIC_ROW_MAX);
            const std::uint32_t even = random.below(2) ? lic::kTotal / static_cast<std::uint32_t>(n) : 1;
            const std::size_t begin = freq.size();
            freq.insert(freq.end(), static_cast<std::size_t>(n), static_cast<std::uint16_t>(even));
            const std::size_t rest = begin + random.below(static_cast<std::uint32_t>(n));
            freq[rest] = static_cast<std::uint16_t>(freq[rest] + (lic::kTotal - even * static_cast<std::uint32_t>(n)));
            count.push_back(n);
            first.push_back(static_cast<std::int16_t>(random.below(8)   ? -n / 2
                                                      : random.below(2) ? LIC_SYMBOL_MIN
                                                                        : LIC_SYMBOL_MAX - n / 2));
        }
        REQUIRE(!bank.build(freq.data(), freq.size(), count.data(), first.data(), rows).what);
    }
};

struct Tile {
    std::vector<std::int16_t> z, r;
    explicit Tile(const lic::Shape& s) : z(s.z_size()), r(s.r_size()) {}
    bool operator==(const Tile& other) const { return z == other.z && r == other.r; }
};

template <bool Slow>
void encode_into(const Tables& t, const lic::Shape& s, const lic::Setting& q, const Tile& tile, lic::Scratch& work) {
    const std::int16_t *z = tile.z.data(), *r = tile.r.data();
    if (t.mixed()) return lic::encode_mixed_tile<Slow>(t.bank, t.map, t.mixture, s, q, z, r, work);
    REQUIRE(lic::encode_tile<Slow>(t.bank, t.map, s, q, z, r, work) == lic::Status::ok);
}

template <bool Slow>
lic::Outcome decode_into(const Tables& t, const lic::Shape& s, const lic::Setting& q, const std::uint8_t* data,
                         std::size_t size, lic::Scratch& work, Tile& tile) {
    std::int16_t *z = tile.z.data(), *r = tile.r.data();
    return t.mixed() ? lic::decode_mixed_tile<Slow>(data, size, t.bank, t.map, t.mixture, s, q, work, z, r)
                     : lic::decode_tile<Slow>(data, size, t.bank, t.map, s, q, work, z, r);
}

std::vector<std::uint8_t> encode(const Tables& t, const lic::Shape& s, const lic::Setting& q, const Tile& tile) {
    lic::Scratch work(s, true, t.planes / lic::kPlanes, t.dependent());
    encode_into<false>(t, s, q, tile, work);
    std::vector<std::uint8_t> stream(lic::stream_size(work.writer, work.end(s)));
    lic::copy_stream(work.writer, work.end(s), stream.data());
    encode_into<true>(t, s, q, tile, work);
    std::vector<std::uint8_t> slow_stream(lic::stream_size(work.writer, work.end(s)));
    lic::copy_stream(work.writer, work.end(s), slow_stream.data());
    REQUIRE(stream == slow_stream);
    return stream;
}

// Decodes with both twins, from a heap buffer of exactly `size` bytes, and checks invariants 2 and 3.
lic::Status decode(const Tables& t, const lic::Shape& s, const lic::Setting& q, const std::uint8_t* data,
                   std::size_t size, Tile& fast) {
    std::unique_ptr<std::uint8_t[]> exact(new std::uint8_t[size]);
    if (size) std::memcpy(exact.get(), data, size);
    lic::Scratch work(s, false, t.planes / lic::kPlanes, t.dependent());
    Tile slow(s);
    const lic::Outcome a = decode_into<false>(t, s, q, exact.get(), size, work, fast);
    const lic::Outcome b = decode_into<true>(t, s, q, exact.get(), size, work, slow);
    REQUIRE(a.status == b.status);
    REQUIRE(a.at <= size && b.at <= size);
    if (a.status != lic::Status::ok) return a.status;
    REQUIRE(fast == slow);
    const std::vector<std::uint8_t> again = encode(t, s, q, fast);
    REQUIRE(again.size() == size && std::memcmp(again.data(), data, size) == 0);
    return a.status;
}

// Symbols from bytes: a byte is a small symbol, but 0x80 announces two bytes of any. Skipped positions are 0.
void fill(std::vector<std::int16_t>& symbols, const std::uint8_t*& at, const std::uint8_t* end) {
    for (auto& symbol : symbols) {
        if (at == end) return;
        symbol = static_cast<std::int8_t>(*at++);
        if (symbol == -128 && end - at >= 2) {
            symbol = static_cast<std::int16_t>(lic::load_u16(at));
            at += 2;
        }
    }
}

void check_map(const Tables& t, const lic::Shape& tile_shape, const lic::Setting& setting, const Tile& tile,
               std::vector<std::uint8_t>& index) {
    lic::Shape s = tile_shape;
    lic::Setting q = setting;
    if (t.mixed()) s.M = t.map.M(), q.rows = 256;
    index.resize(s.r_size());
    t.map.index_slow(tile.z.data(), s, q, index.data());
    for (lic::Simd level : {lic::Simd::scalar, lic::Simd::sse41, lic::Simd::avx2, lic::Simd::avx512}) {
        if (!lic::simd_supported(level)) continue;
        lic::simd_in_use() = level;
        std::vector<std::uint8_t> other(s.r_size());
        t.map.index(tile.z.data(), s, q, other.data());
        REQUIRE(other == index);
    }
}

// The levels of symbols, in place, by the words of FORMAT 7.9; symbols that are too large for theirs are halved.
void make_levels(const Tables& t, std::size_t n, const std::vector<std::uint8_t>& index, std::vector<std::int16_t>& r) {
    std::vector<std::int32_t> state(n);
    for (std::size_t i = 0; i < r.size(); ++i) {
        std::int32_t &s = state[i % n], k = r[i], level = 3 * k;
        for (;; k /= 2) {
            const std::int32_t sign = k > 0 ? 1 : k < 0 ? -1 : 0;
            level = index[i] < t.trellis ? 3 * k : s % 2 ? 4 * k - 2 * sign : 4 * k;
            if (level >= LIC_SYMBOL_MIN && level <= LIC_SYMBOL_MAX) break;
        }
        if (index[i] >= t.trellis) s = s / 2 ^ (s % 2 ? 157 / 2 : 0) ^ (k % 2 ? 86 / 2 : 0);
        r[i] = static_cast<std::int16_t>(level);
    }
}

// Invariant 5: of r as it is; and of numbers made of it, the ends of i16 standing for those that are none.
void check_trellis(const Tables& t, const lic::Shape& s, const lic::Setting& q, const std::vector<std::uint8_t>& index,
                   const Tile& raw) {
    lic::Scratch work(s, true, 0, true);
    const std::size_t n = s.h * s.w;
    if (lic::encode_tile<false>(t.bank, t.map, s, q, raw.z.data(), raw.r.data(), work) == lic::Status::ok) {
        Tile same = raw;
        std::vector<std::uint8_t> state(n);
        for (std::size_t m = 0; m < s.M; ++m)
            REQUIRE(lic::symbols(&index[m * n], n, t.trellis, state.data(), &raw.r[m * n], &same.r[m * n]));
        make_levels(t, n, index, same.r);
        REQUIRE(same == raw);
    }
    std::vector<float> x, bits, weight(s.M, 1.0f);
    for (const std::int16_t value : raw.r) {
        const float huge = value == LIC_SYMBOL_MIN   ? -std::numeric_limits<float>::infinity()
                           : value == LIC_SYMBOL_MAX ? NAN
                                                     : 1.0f;
        x.push_back(static_cast<float>(value) * 0.3f * huge);
    }
    constexpr std::size_t kSizes = 5;
    for (std::size_t i = 0; i < 2 * kRows * kSizes; ++i) bits.push_back(static_cast<float>(i % kSizes + i % 3));
    lic::Paths paths(s.M);
    Tile tile = raw, first(s);
    for (lic::Simd level : {lic::Simd::scalar, lic::Simd::sse41, lic::Simd::avx2, lic::Simd::avx512}) {
        if (!lic::simd_supported(level)) continue;
        lic::simd_in_use() = level;
        lic::search({x.data(), index.data(), bits.data(), weight.data(), s.M, n, kSizes, t.rows, t.trellis, t.skip,
                     tile.r.data()},
                    paths);
        if (level == lic::Simd::scalar) first = tile;
        REQUIRE(tile == first);
    }
    std::vector<std::uint8_t> stream = encode(t, s, q, tile);
    REQUIRE(decode(t, s, q, stream.data(), stream.size(), first) == lic::Status::ok);
    REQUIRE(first == tile);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    static std::unique_ptr<const Tables> all[256];  // made once each: that takes longer than most inputs
    if (!all[data[0]]) all[data[0]].reset(new Tables(data[0]));
    const Tables& t = *all[data[0]];
    const std::size_t h = 1 + (data[1] & 7), w = 1 + (data[1] >> 3 & 15);
    const lic::Shape s{t.map.C(), t.map.M() / t.planes, (h + 3) / 4, (w + 3) / 4, h, w};
    const lic::Setting q{t.d.data(), t.bias.data(), t.scale_rows(),   t.rows,
                         t.skip,     t.levels,      t.z_level.data(), t.trellis};
    const std::uint8_t *at = data + 2, *end = data + size;
    Tile tile(s);
    if (data[1] < 128) {
        decode(t, s, q, at, static_cast<std::size_t>(end - at), tile);
        return 0;
    }
    std::vector<std::uint8_t> index;
    fill(tile.z, at, end);
    fill(tile.r, at, end);
    check_map(t, s, q, tile, index);
    if (t.dependent()) check_trellis(t, s, q, index, tile);
    for (std::size_t i = 0; i < tile.r.size(); ++i) {
        if (index[i] < q.skip) tile.r[i] = 0;
    }
    if (t.dependent()) make_levels(t, s.h * s.w, index, tile.r);
    std::vector<std::uint8_t> stream = encode(t, s, q, tile);
    Tile back(s);
    REQUIRE(decode(t, s, q, stream.data(), stream.size(), back) == lic::Status::ok);
    REQUIRE(back == tile);
    // Bytes that are left over damage the stream: what a decoder meets after a thousand good symbols.
    for (; at != end && !stream.empty(); at += at + 1 == end ? 1 : 2) {
        const std::size_t place = *at * stream.size() / 256;
        stream[place] ^= at + 1 == end ? 1 : at[1];
    }
    decode(t, s, q, stream.data(), stream.size(), back);
    return 0;
}

#ifdef LIC_REPLAY
int main(int count, char** names) {
    for (int i = 1; i < count; ++i) {
        std::FILE* file = std::fopen(names[i], "rb");
        REQUIRE(file);
        std::vector<std::uint8_t> data;
        for (int byte; (byte = std::fgetc(file)) != EOF;) data.push_back(static_cast<std::uint8_t>(byte));
        std::fclose(file);
        LLVMFuzzerTestOneInput(data.data(), data.size());
    }
    std::printf("%d inputs, all invariants hold\n", count - 1);
}
#endif

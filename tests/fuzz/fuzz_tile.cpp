// Fuzzes the tile decoder (csrc/model.h and what it includes; FORMAT 7). Needs no Python.
//
//   csrc/compile.sh build/fuzz clang++ -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
//   clang++ -std=c++17 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Icsrc
//   tests/fuzz/fuzz_tile.cpp build/fuzz/*.o -o build/fuzz_tile; build/fuzz_tile -max_len=4096 -max_total_time=60
//
// With -DLIC_REPLAY instead of `fuzzer` it is a plain program that runs each file named on its command line once (any
// compiler).
//
// Input: | seed u8 | shape u8 | coding u8 | rest |. The seed makes the tables, from 128 on those of mixtures, from 64
// to 127 those of a trellis; the coding byte how many stages there are (bits 0 and 1), at which thresholds (2 to 5),
// whether a stream may break off (6) and whether there is a quality map (7), neither stages nor a map with mixtures;
// the shape byte makes the tile, and its bit 7 says what the rest is:
//   0: a byte for each stage but the last, its share of the bytes behind it; a tile stream, to be decoded;
//   1: symbols, to be encoded, then decoded; so the corpus reaches deep states without knowing the checksum. With a
//   trellis they are
//      made levels, and then what its search makes of them goes the same way.
//
// Invariants:
//   1. No input reads or writes outside a buffer (the stream lies in a heap buffer of its exact size).
//   2. The fast decoder and the slow one, and all code paths of the map, say the same: status and symbols.
//   3. Accepted implies that encoding the symbols again gives the same bytes: a tile has one stream and no other.
//   4. What the encoder writes is accepted and gives its symbols back.
//   5. What the encoder writes may be cut anywhere: a decoder that is told so takes it, and an integer is what it was
//   or 0; without all of z, r is 0.
//   6. With a trellis, r is refused or the one tile of its stream; symbols and levels are inverse to each other; and
//   all code paths of
//      the search find the same levels, which the encoder takes, of whatever numbers.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "cpu.h"
#include "model.h"
#include "require.h"
#include "test/slow.h"

namespace {

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

constexpr std::int64_t kRows = 6;

// Arrays of FORMAT 9.2 while they are made.
struct Made {
    std::map<std::string, std::vector<std::uint8_t>> bytes;
    lic::Arrays arrays;

    template <class T>
    void add(const std::string& name, const char* type, const std::vector<T>& values, std::vector<std::size_t> shape) {
        std::vector<std::uint8_t>& copy = bytes[name];
        copy.resize(values.size() * sizeof(T));
        if (!values.empty()) std::memcpy(copy.data(), values.data(), copy.size());
        arrays[name] = {type, std::move(shape), copy.data()};
    }
};

std::int32_t bytes_to(std::size_t planes, std::int64_t rows) {
    return (planes > 1 ? lic::kByteValues : static_cast<std::int32_t>(rows)) << LIC_MAP_SHIFT;
}

// A bank with short, long, even and lopsided rows.
void make_bank(Random& random, std::size_t rows, Made& made) {
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
    made.add("freq", "uint16", freq, {freq.size()});
    made.add("count", "int32", count, {rows});
    made.add("first", "int16", first, {rows});
}

// Any normal that rises from 0 to 32768, any scales. Returns their number.
std::int64_t make_mixture(Random& random, Made& made) {
    std::vector<std::uint16_t> normal(LIC_NORMAL_STEPS + 1);
    for (std::size_t i = 1; i < LIC_NORMAL_STEPS; ++i) {
        const std::int32_t left = 32768 - normal[i - 1];
        normal[i] = static_cast<std::uint16_t>(normal[i - 1] + random.between(0, left / (random.below(9) ? 60 : 2)));
    }
    normal[LIC_NORMAL_STEPS] = 32768;
    std::vector<std::uint32_t> inverse(1 + random.below(9));
    for (auto& value : inverse) {
        value = static_cast<std::uint32_t>(random.between(LIC_INVERSE_MIN, LIC_INVERSE_MAX)) >> random.below(12);
        value = value < LIC_INVERSE_MIN ? LIC_INVERSE_MIN : value;
    }
    made.add("normal", "uint16", normal, {normal.size()});
    made.add("inverse", "uint32", inverse, {inverse.size()});
    return static_cast<std::int64_t>(inverse.size());
}

// A model of two rates, whose map spreads over the rows of its bank; or of mixtures.
lic::Model make_model(std::uint8_t seed) {
    Random random{seed};
    Made made;
    const std::size_t P = 2, C = 1 + random.below(4), M = 1 + random.below(3);
    lic::Numbers numbers{static_cast<std::int64_t>(M), static_cast<std::int64_t>(C), 2, kRows, 0};
    std::size_t inputs = C, planes = 1, scale_rows = kRows;
    if (seed >= 128) {
        numbers.rows = make_mixture(random, made);
        planes = lic::kPlanes * (1 + random.below(LIC_COMPONENTS_MAX)), scale_rows = 0;
        const std::uint32_t layers = random.below(3);
        for (std::uint32_t n = 1; n <= layers; ++n) {
            const std::size_t out = 1 + random.below(5);
            std::vector<std::int16_t> weight(out * inputs);
            for (auto& w : weight) w = static_cast<std::int16_t>(random.between(-LIC_WEIGHT_MAX, LIC_WEIGHT_MAX));
            std::vector<std::int32_t> offset(out);
            for (auto& o : offset) o = random.between(-LIC_BIAS_MAX, LIC_BIAS_MAX);
            made.add("hidden" + std::to_string(n) + "_weight", "int16", weight, {out, inputs});
            made.add("hidden" + std::to_string(n) + "_offset", "int32", offset, {out});
            inputs = out;
        }
    } else {
        numbers.skip = random.between(0, 2);
    }
    if (seed >= 64 && seed < 128) {
        made.add("trellis", "int32", std::vector<std::int32_t>{random.between(2, kRows)}, {1});
        scale_rows = 2 * kRows;
    }
    const std::size_t levels = random.below(8) ? 1 + random.below(3) : LIC_LEVELS_MAX;
    if (levels > 1) {
        std::vector<std::uint16_t> z_level(P * C * (levels - 1));
        for (auto& level : z_level) level = static_cast<std::uint16_t>(random.below(8));
        made.add("z_level", "uint16", z_level, {P, C, levels - 1});
    }
    const bool near = random.below(2) == 1;
    if (near) made.add("z_near", "int32", std::vector<std::int32_t>{LIC_NEIGHBOUR_CLASSES}, {1});
    make_bank(random, scale_rows + P * C * levels * (near ? LIC_NEIGHBOUR_CLASSES : 1), made);
    const std::size_t channels = planes * M;
    std::vector<std::int16_t> weight(lic::kCell * channels * inputs);
    const std::int32_t most = seed >= 192 ? 80 : LIC_WEIGHT_MAX;  // small weights: bytes between their ends
    for (auto& w : weight) w = static_cast<std::int16_t>(random.between(-most, most));
    std::vector<std::int32_t> offset(lic::kCell * channels), bias(P * channels);
    for (auto& o : offset) o = random.between(-(1 << 12), bytes_to(planes, kRows));
    for (auto& b : bias) b = random.between(-(1 << 12), 1 << 12);
    std::vector<std::uint8_t> z_step(P * C);
    for (auto& step : z_step) step = static_cast<std::uint8_t>(random.between(1, 255));
    made.add("weight", "int16", weight, {weight.size() / inputs, inputs});
    made.add("offset", "int32", offset, {offset.size()});
    made.add("bias", "int32", bias, {P, channels});
    made.add("z_step", "uint8", z_step, {P, C});
    return lic::Model(made.arrays, numbers);
}

// A model at one quality, and how a tile is coded under it.
struct Tables {
    const lic::Model& model;
    lic::Setting q;
    bool may_end;

    Tables(const lic::Model& of, std::uint8_t seed, std::uint8_t coding)
        : model(of), q(of.at(LIC_QUALITY_MIN + 37 * seed, stages_of(of, coding))), may_end(coding & 64) {}

    static lic::Stages stages_of(const lic::Model& model, std::uint8_t coding) {
        lic::Stages stages;
        const std::uint8_t count = model.staged() ? coding & 3 : 0,
                           top = static_cast<std::uint8_t>(3 + (coding >> 2 & 15));
        const std::uint8_t thresholds[] = {top, static_cast<std::uint8_t>(top / 2), 1};
        if (count > 0 && lic::make_stages(thresholds + (top > 3 ? 0 : 1), top > 3 ? count : 1, stages)) std::abort();
        return stages;
    }
    void shift(Random random, const lic::Shape& s) {
        q.shift.resize(s.a * s.b);
        for (auto& by : q.shift) by = static_cast<std::int8_t>(random.between(-LIC_SHIFT_MAX, LIC_SHIFT_MAX));
    }
    std::int32_t skip() const { return static_cast<std::int32_t>(model.numbers().skip); }
    const lic::Trellis* dependent() const { return std::get_if<lic::Trellis>(&model.residual()); }
};

struct Tile {
    std::vector<std::int16_t> z, r;
    explicit Tile(const lic::Shape& s) : z(s.z_size()), r(s.r_size()) {}
    bool operator==(const Tile& other) const { return z == other.z && r == other.r; }
};

// A tile's bytes and where its stages end.
struct Bytes {
    std::vector<std::uint8_t> data;
    std::vector<std::size_t> ends;
    bool operator==(const Bytes& other) const { return data == other.data && ends == other.ends; }
};

Bytes bytes_of(const lic::Stream& stream, const lic::Setting& q) {
    Bytes bytes;
    bytes.data.resize(stream.size());
    stream.copy(bytes.data.data());
    for (std::size_t k = 1; k < q.stages.count; ++k) bytes.ends.push_back(stream.end(k - 1));
    bytes.ends.push_back(bytes.data.size());
    return bytes;
}

Bytes encode(const Tables& t, const lic::Shape& s, const Tile& tile) {
    lic::Stream fast, slow;
    REQUIRE(t.model.encode(t.q, s, tile.z.data(), tile.r.data(), fast) == lic::Status::ok);
    REQUIRE(lic::Slow::encode(t.model, t.q, s, tile.z.data(), tile.r.data(), slow) == lic::Status::ok);
    REQUIRE(bytes_of(fast, t.q) == bytes_of(slow, t.q));
    return bytes_of(fast, t.q);
}

// Decodes with both twins, from a heap buffer of the exact size, and checks invariants 2 and 3.
lic::Outcome decode(const Tables& t, const lic::Shape& s, const Bytes& bytes, bool may_end, Tile& fast) {
    const std::size_t size = bytes.data.size();
    std::unique_ptr<std::uint8_t[]> exact(new std::uint8_t[size]);
    if (size) std::memcpy(exact.get(), bytes.data.data(), size);
    const lic::Streamed from{exact.get(), bytes.ends.data(), size, may_end};
    Tile slow(s);
    const lic::Outcome a = t.model.decode(t.q, s, from, fast.z.data(), fast.r.data());
    const lic::Outcome b = lic::Slow::decode(t.model, t.q, s, from, slow.z.data(), slow.r.data());
    REQUIRE(a.status == b.status && a.cut == b.cut);
    REQUIRE(a.at <= size && b.at <= size);
    REQUIRE(may_end || !a.cut);
    if (a.status != lic::Status::ok) return a;
    REQUIRE(fast == slow);
    if (!a.cut) REQUIRE(encode(t, s, fast) == bytes);
    return a;
}

// Invariant 5, of the first `size` bytes of a whole tile's.
void check_cut(const Tables& t, const lic::Shape& s, const Bytes& whole, const Tile& tile, std::size_t size) {
    Bytes part = whole;
    part.data.resize(size);
    for (auto& end : part.ends) end = end < size ? end : size;
    Tile found(s);
    const lic::Outcome outcome = decode(t, s, part, true, found);
    if (size < lic::kHeader) {
        REQUIRE(outcome.status == lic::Status::too_short);
        return;
    }
    REQUIRE(outcome.status == lic::Status::ok && outcome.cut == (size < whole.data.size()));
    const bool all = found.z == tile.z;
    for (std::size_t i = 0; i < tile.z.size(); ++i) REQUIRE(found.z[i] == tile.z[i] || found.z[i] == 0);
    for (std::size_t i = 0; i < tile.r.size(); ++i) REQUIRE(found.r[i] == 0 || (all && found.r[i] == tile.r[i]));
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

void check_map(const Tables& t, const lic::Shape& s, const Tile& tile, std::vector<std::uint8_t>& index) {
    const lic::ScaleMap& map = t.model.map();
    const lic::Shape wide{s.C, map.M(), s.a, s.b, s.h, s.w};
    index.resize(wide.r_size());
    lic::Slow::index(map, tile.z.data(), wide, {t.q.d.data(), t.q.bias.data(), t.model.values()}, index.data());
    for (std::size_t i = 0; i < index.size() && !t.q.shift.empty(); ++i) {
        const std::size_t y = i / s.w % s.h, x = i % s.w;
        const std::int32_t moved = index[i] + t.q.shift[y / lic::kSide * s.b + x / lic::kSide],
                           most = t.model.values() - 1;
        index[i] = static_cast<std::uint8_t>(moved < 0 ? 0 : moved > most ? most : moved);
    }
    for (const lic::Simd level : lic::kAllSimd) {
        if (!lic::simd_supported(level)) continue;
        lic::simd_in_use() = level;
        std::vector<std::uint8_t> other(index.size());
        t.model.index(t.q, s, tile.z.data(), other.data());
        REQUIRE(other == index);
    }
}

// The levels of symbols, in place, by the words of FORMAT 7.9; symbols that are too large for theirs are halved.
void make_levels(const Tables& t, std::size_t n, const std::vector<std::uint8_t>& index, std::vector<std::int16_t>& r) {
    std::vector<std::int32_t> state(n);
    for (std::size_t at = 0; at < t.q.stages.count * r.size(); ++at) {
        const std::size_t i = at % r.size();
        if (!t.q.stages.range(at / r.size(), 0).holds(index[i])) continue;
        std::int32_t &s = state[i % n], k = r[i], level = 3 * k;
        const bool dependent = t.dependent()->spacing(index[i]) == LIC_LEVEL_TRELLIS;
        for (;; k /= 2) {
            const std::int32_t sign = k > 0 ? 1 : k < 0 ? -1 : 0;
            level = !dependent ? 3 * k : s % 2 ? 4 * k - 2 * sign : 4 * k;
            if (level >= LIC_SYMBOL_MIN && level <= LIC_SYMBOL_MAX) break;
        }
        if (dependent) s = s / 2 ^ (s % 2 ? 157 / 2 : 0) ^ (k % 2 ? 86 / 2 : 0);
        r[i] = static_cast<std::int16_t>(level);
    }
}

// Invariant 6: of r as it is; and of numbers made of it, the ends of i16 standing for those that are none.
void check_trellis(const Tables& t, const lic::Shape& s, const std::vector<std::uint8_t>& index, const Tile& raw) {
    const std::size_t n = s.h * s.w;
    lic::Stream ignored;
    if (t.model.encode(t.q, s, raw.z.data(), raw.r.data(), ignored) == lic::Status::ok) {
        Tile same = raw;
        std::vector<std::uint8_t> row(raw.r.size());
        REQUIRE(t.model.symbols({raw.r.data(), index.data(), s.M, n, t.q.stages}, same.r.data(), row.data()) ==
                lic::Status::ok);
        make_levels(t, n, index, same.r);
        REQUIRE(same == raw);
    }
    std::vector<float> x, weight(s.M, 1.0f);
    for (const std::int16_t value : raw.r) {
        const float huge = value == LIC_SYMBOL_MIN   ? -std::numeric_limits<float>::infinity()
                           : value == LIC_SYMBOL_MAX ? NAN
                                                     : 1.0f;
        x.push_back(static_cast<float>(value) * 0.3f * huge);
    }
    Tile tile = raw, first(s);
    for (const lic::Simd level : lic::kAllSimd) {
        if (!lic::simd_supported(level)) continue;
        lic::simd_in_use() = level;
        t.model.quantise({x.data(), index.data(), weight.data(), s.M, n, tile.r.data(), t.q.stages});
        if (level == lic::Simd::scalar) first = tile;
        REQUIRE(tile == first);
    }
    REQUIRE(decode(t, s, encode(t, s, tile), false, first).status == lic::Status::ok);
    REQUIRE(first == tile);
}

// A tile stream as the input has it.
Bytes split(const Tables& t, const std::uint8_t* at, const std::uint8_t* end) {
    Bytes bytes;
    std::vector<std::uint8_t> shares;
    while (shares.size() + 1 < t.q.stages.count) shares.push_back(at == end ? 0 : *at++);
    bytes.data.assign(at, end);
    std::size_t front = 0;
    for (const std::uint8_t share : shares) {
        front += (bytes.data.size() - front) * share / 255;
        bytes.ends.push_back(front);
    }
    bytes.ends.push_back(bytes.data.size());
    return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 3) return 0;
    static std::unique_ptr<const lic::Model> all[256];  // made once each: that takes longer than most inputs
    static std::once_flag made[256];                    // threads share them
    std::call_once(made[data[0]], [data] { all[data[0]].reset(new lic::Model(make_model(data[0]))); });
    Tables t(*all[data[0]], data[0], data[2]);
    const lic::Shape s = t.model.shape(1 + (data[1] & 7), 1 + (data[1] >> 3 & 15));
    if (data[2] & 128 && t.model.planes() == 1) t.shift(Random{data[2]}, s);
    const std::uint8_t *at = data + 3, *end = data + size;
    Tile tile(s);
    if (data[1] < 128) {
        decode(t, s, split(t, at, end), t.may_end, tile);
        return 0;
    }
    std::vector<std::uint8_t> index;
    fill(tile.z, at, end);
    fill(tile.r, at, end);
    check_map(t, s, tile, index);
    if (t.dependent()) check_trellis(t, s, index, tile);
    for (std::size_t i = 0; i < tile.r.size(); ++i) {
        if (index[i] < t.skip()) tile.r[i] = 0;
    }
    if (t.dependent()) make_levels(t, s.h * s.w, index, tile.r);
    double bits = 0.0;
    REQUIRE(t.model.price({tile.r.data(), index.data(), s.M, s.h * s.w, t.q.stages}, bits) == lic::Status::ok);
    REQUIRE(bits >= 0.0);
    Bytes stream = encode(t, s, tile);
    Tile back(s);
    REQUIRE(decode(t, s, stream, false, back).status == lic::Status::ok);
    REQUIRE(back == tile);
    check_cut(t, s, stream, tile, stream.data.size());
    check_cut(t, s, stream, tile, stream.data.size() * data[size - 1] / 256);
    // Bytes that are left over damage the stream: what a decoder meets after a thousand good symbols.
    for (; at != end && !stream.data.empty(); at += at + 1 == end ? 1 : 2) {
        const std::size_t place = *at * stream.data.size() / 256;
        stream.data[place] ^= at + 1 == end ? 1 : at[1];
    }
    decode(t, s, stream, t.may_end, back);
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

// The integers of a tile from its bytes and back (FORMAT 6.3, 7): the runs of z and r in one stream, under the bank or
// mixtures. Includes range_coder.h, scale_map.h, mixture.h, trellis.h and the standard library; must not include
// Python.
#ifndef LIC_TILE_H
#define LIC_TILE_H

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "mixture.h"
#include "range_coder.h"
#include "scale_map.h"
#include "trellis.h"

namespace lic {

constexpr std::int32_t kByteValues = 256;
constexpr std::size_t kOverread = 32;  // places that `expand` may read too far

// Working memory of one tile, bounded by its shape and not by any stream. The caller makes it (this is what may throw).
// components: those of the mixture, 0 for a model whose r is coded under rows of the bank.
struct Scratch {
    std::unique_ptr<std::uint16_t[]> z_rows;    // (z_size,) the row of every z; a decoder needs those of one channel
    std::unique_ptr<std::uint16_t[]> activity;  // (a, b) of the channels so far
    std::unique_ptr<std::uint8_t[]>
        index;  // (r_size,) the scale index of every r, or (3 K, r_size) the bytes of its mixture
    std::unique_ptr<std::uint8_t[]> rows;    // (r_size,) the row of every r that is coded; not for mixtures
    std::unique_ptr<std::int16_t[]> coded;   // (r_size + kOverread,) every r that is coded; not for mixtures
    std::unique_ptr<std::uint8_t[]> states;  // (h, w) those of the trellis; (h, w) more for the rows of a channel
    std::unique_ptr<std::int16_t[]> levels;  // of an encoder with a trellis: (h, w) a channel's symbols
    std::unique_ptr<std::size_t[]> runs;  // of an encoder with a trellis: (M + 1,) where each channel's symbols begin
    std::unique_ptr<std::uint16_t[]> words;  // of an encoder: a word for every symbol and one more, see write_step
    Writer writer{};

    Scratch(const Shape& s, bool encode, std::size_t components = 0, bool trellis = false)
        : z_rows(new std::uint16_t[s.z_size()]), activity(new std::uint16_t[s.a * s.b]) {
        index.reset(new std::uint8_t[s.r_size() * std::max<std::size_t>(kPlanes * components, 1)]);
        if (!components) {
            rows.reset(new std::uint8_t[s.r_size()]);
            coded.reset(new std::int16_t[s.r_size() + kOverread]{});
        }
        if (trellis) states.reset(new std::uint8_t[2 * s.h * s.w]{});
        if (trellis && encode) {
            levels.reset(new std::int16_t[s.h * s.w]);
            runs.reset(new std::size_t[s.M + 1]{});
        }
        if (encode) words.reset(new std::uint16_t[s.z_size() + s.r_size() + 1]);
    }

    std::uint16_t* end(const Shape& s) const { return words.get() + s.z_size() + s.r_size() + 1; }
};

// FORMAT 7.4: the rows of channel c at its n positions. The caller has checked that the bank holds them.
inline void fill_z_rows(const Setting& q, std::size_t c, const std::uint16_t* activity, std::size_t n,
                        std::uint16_t* rows) {
    std::fill_n(rows, n, static_cast<std::uint16_t>(q.z_row + c * q.levels));
    const std::uint16_t* from = q.z_level + c * (q.levels - 1);
    for (std::size_t k = 0; k + 1 < q.levels; ++k) {
        for (std::size_t i = 0; i < n; ++i) rows[i] = static_cast<std::uint16_t>(rows[i] + (activity[i] >= from[k]));
    }
}

// A channel's n values added to the activity: at most LIC_ACTIVITY_MAX * LIC_CHANNELS_MAX in all.
inline void add_activity(const std::int16_t* z, std::size_t n, std::uint16_t* activity) {
    for (std::size_t i = 0; i < n; ++i) {
        const std::int32_t size = z[i] < 0 ? -z[i] : z[i];
        activity[i] = static_cast<std::uint16_t>(activity[i] + (size < LIC_ACTIVITY_MAX ? size : LIC_ACTIVITY_MAX));
    }
}

// FORMAT 7.6: the indices of the positions that are coded, in order; returns their number. Stores always and moves on
// where it counts. Starts at position i, with n found so far; the tail of `compact`.
inline std::size_t compact_scalar(const std::uint8_t* index, std::size_t i, std::size_t size, std::int32_t skip,
                                  std::size_t n, std::uint8_t* rows) {
    for (; i < size; ++i) {
        rows[n] = index[i];
        n += index[i] >= skip;
    }
    return n;
}

// The other way, from position i with n symbols placed: each coded symbol to its position in r, 0 to the skipped ones,
// and all of them into the checksum. The tail of `expand`.
inline void expand_scalar(const std::uint8_t* index, std::size_t i, std::size_t size, std::int32_t skip,
                          const std::int16_t* symbols, std::size_t n, std::int16_t* r, Checksum& sum) {
    const std::size_t start = i;
    for (; i < size; ++i) {
        const bool keep = index[i] >= skip;
        r[i] = static_cast<std::int16_t>(symbols[n] & -static_cast<int>(keep));
        n += keep;
    }
    sum.add(r + start, size - start);
}

#if LIC_X86
#define LIC_TARGET_VBMI2 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt")))
inline bool has_vbmi2() { return simd_in_use().load(std::memory_order_relaxed) == Simd::avx512 && vbmi2_supported(); }

LIC_TARGET_VBMI2 inline std::size_t compact_vbmi2(const std::uint8_t* index, std::size_t size, std::int32_t skip,
                                                  std::uint8_t* rows) {
    const __m512i least = _mm512_set1_epi8(static_cast<char>(skip));
    std::size_t i = 0, n = 0;
    for (; i + 64 <= size; i += 64) {
        const __m512i k = _mm512_loadu_si512(index + i);
        const __mmask64 keep = _mm512_cmpge_epu8_mask(k, least);
        _mm512_storeu_si512(rows + n, _mm512_maskz_compress_epi8(keep, k));  // n <= i: within the size
        n += static_cast<std::size_t>(__builtin_popcountll(keep));
    }
    return compact_scalar(index, i, size, skip, n, rows);
}

// Reads 32 symbols at a time, some beyond the coded ones: `symbols` has `kOverread` places more.
LIC_TARGET_VBMI2 inline void expand_vbmi2(const std::uint8_t* index, std::size_t size, std::int32_t skip,
                                          const std::int16_t* symbols, std::int16_t* r, Checksum& sum) {
    const __m256i least = _mm256_set1_epi8(static_cast<char>(skip));
    const __m512i ramp = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __m512i a = _mm512_setzero_si512(), b = a,
            place = _mm512_add_epi32(ramp, _mm512_set1_epi32(static_cast<int>(sum.n)));
    std::size_t i = 0, n = 0;
    for (; i + 32 <= size; i += 32) {
        const __mmask32 keep =
            _mm256_cmpge_epu8_mask(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(index + i)), least);
        const __m512i v = _mm512_maskz_expand_epi16(keep, _mm512_loadu_si512(symbols + n));
        _mm512_storeu_si512(r + i, v);
        n += static_cast<std::size_t>(__builtin_popcount(keep));
        const __m512i low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(v));
        const __m512i high = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(v, 1));
        a = _mm512_add_epi32(a, _mm512_add_epi32(low, high));
        b = _mm512_add_epi32(b, _mm512_mullo_epi32(low, place));
        place = _mm512_add_epi32(place, _mm512_set1_epi32(16));
        b = _mm512_add_epi32(b, _mm512_mullo_epi32(high, place));
        place = _mm512_add_epi32(place, _mm512_set1_epi32(16));
    }
    sum.a += static_cast<std::uint32_t>(_mm512_reduce_add_epi32(a));
    sum.b += static_cast<std::uint32_t>(_mm512_reduce_add_epi32(b));
    sum.n += static_cast<std::uint32_t>(i);
    expand_scalar(index, i, size, skip, symbols, n, r, sum);
}
#endif

inline std::size_t compact(const std::uint8_t* index, std::size_t size, std::int32_t skip, std::uint8_t* rows) {
#if LIC_X86
    if (has_vbmi2() && skip < kByteValues) return compact_vbmi2(index, size, skip, rows);
#endif
    return compact_scalar(index, 0, size, skip, 0, rows);
}

// `symbols` has `kOverread` places more than there are coded symbols.
inline void expand(const std::uint8_t* index, std::size_t size, std::int32_t skip, const std::int16_t* symbols,
                   std::int16_t* r, Checksum& sum) {
#if LIC_X86
    if (has_vbmi2() && skip < kByteValues) return expand_vbmi2(index, size, skip, symbols, r, sum);
#endif
    expand_scalar(index, 0, size, skip, symbols, 0, r, sum);
}

// Makes a writer ready, whose states end as the checksum of the symbols to come and whose words end at `end`.
inline void begin(Writer& to, const Checksum& sum, std::uint16_t* end) {
    final_states(sum.value(), to.x);
    to.words = end;
    to.escapes.clear();
}

// What a decoder says: the status, and how far its words had come, in bytes.
struct Outcome {
    Status status;
    std::size_t at;
};

template <bool Slow>
Status read_z(Reader& in, const Bank& bank, const Shape& s, const Setting& q, Scratch& work, std::int16_t* z) {
    const std::size_t n = s.a * s.b;
    const std::uint16_t* rows = work.z_rows.get();
    std::fill_n(work.activity.get(), n, std::uint16_t{0});
    for (std::size_t c = 0; c < s.C; ++c, z += n) {
        fill_z_rows(q, c, work.activity.get(), n, work.z_rows.get());
        const Status status = Slow ? read_run_checked<true>(in, bank, rows, 0, n, z) : read_run(in, bank, rows, n, z);
        if (status != Status::ok) return status;
        add_activity(z, n, work.activity.get());
    }
    return Status::ok;
}

template <bool Slow>
void write_z(Writer& to, const Bank& bank, const Shape& s, const Setting& q, Scratch& work, const std::int16_t* z) {
    const std::size_t n = s.a * s.b;
    std::uint16_t* rows = work.z_rows.get();
    std::fill_n(work.activity.get(), n, std::uint16_t{0});
    for (std::size_t c = 0; c < s.C; ++c) {
        fill_z_rows(q, c, work.activity.get(), n, rows + c * n);
        add_activity(z + c * n, n, work.activity.get());
    }
    for (std::size_t c = s.C; c-- > 0;) {
        write_run<Slow>(to, bank, static_cast<const std::uint16_t*>(rows + c * n), z + c * n, n);
    }
}

// r (M, h, w) under a trellis (FORMAT 7.9): a run for each channel.
template <bool Slow>
Status read_trellis(Reader& in, const Bank& bank, const Shape& s, const Setting& q, Scratch& work, std::int16_t* r,
                    Checksum& sum) {
    const std::size_t n = s.h * s.w;
    const std::uint8_t* index = work.index.get();
    std::uint8_t *state = work.states.get(), *row = state + n, *rows = work.rows.get();
    std::int16_t* coded = work.coded.get();
    std::fill_n(state, n, std::uint8_t{0});
    for (std::size_t m = 0; m < s.M; ++m, index += n, r += n) {
        trellis_rows(index, state, n, q.trellis, q.rows, row);
        const std::size_t count =
            compact(row, n, q.skip, rows);  // a row is not below its index, and above it only where that is coded
        const Status status =
            Slow ? read_run_checked<true>(in, bank, static_cast<const std::uint8_t*>(rows), 0, count, coded)
                 : read_run(in, bank, static_cast<const std::uint8_t*>(rows), count, coded);
        if (status != Status::ok) return status;
        expand(row, n, q.skip, coded, r, sum);
        if (!levels(index, n, q.trellis, state, r)) return Status::symbol_range;
    }
    return Status::ok;
}

// The other way: the symbols of r, and then their runs.
inline Status find_symbols(const Shape& s, const Setting& q, const std::int16_t* r, Scratch& work, Checksum& sum) {
    const std::size_t n = s.h * s.w;
    const std::uint8_t* index = work.index.get();
    std::uint8_t *state = work.states.get(), *row = state + n;
    std::int16_t* k = work.levels.get();
    std::fill_n(state, n, std::uint8_t{0});
    std::size_t at = 0;
    std::int32_t skipped = 0;
    for (std::size_t m = 0; m < s.M; ++m, index += n, r += n) {
        trellis_rows(index, state, n, q.trellis, q.rows, row);
        if (!symbols(index, n, q.trellis, state, r, k)) return Status::no_level;
        sum.add(k, n);
        for (std::size_t i = 0; i < n; ++i) {
            const bool keep = index[i] >= q.skip;
            work.rows[at] = row[i];
            work.coded[at] = k[i];
            skipped |= keep ? 0 : k[i];
            at += keep;
        }
        work.runs[m + 1] = at;
    }
    return skipped ? Status::skipped_not_zero : Status::ok;
}

template <bool Slow>
void write_trellis(Writer& to, const Bank& bank, const Shape& s, const Scratch& work) {
    for (std::size_t m = s.M; m-- > 0;) {
        const std::size_t at = work.runs[m];
        write_run<Slow>(to, bank, static_cast<const std::uint8_t*>(work.rows.get() + at), work.coded.get() + at,
                        work.runs[m + 1] - at);
    }
}

// A tile's integers from its stream (FORMAT 7). z: (C, a, b), r: (M, h, w); both are without meaning unless the status
// is ok. `Slow` is the twin: the search, the map and the runs by the words of the document.
template <bool Slow = false>
Outcome decode_tile(const std::uint8_t* data, std::size_t size, const Bank& model, const ScaleMap& map, const Shape& s,
                    const Setting& q, Scratch& work, std::int16_t* z, std::int16_t* r) {
    Reader in{};
    const auto outcome = [&](Status status) { return Outcome{status, static_cast<std::size_t>(in.front - data)}; };
    Status status = in.open(data, size);
    if (status != Status::ok) return outcome(status);

    status = read_z<Slow>(in, model, s, q, work, z);
    if (status != Status::ok) return outcome(status);

    Slow ? map.index_slow(z, s, q, work.index.get()) : map.index(z, s, q, work.index.get());
    Checksum sum;
    sum.add(z, s.z_size());
    if (q.trellis != kNoTrellis) {
        status = read_trellis<Slow>(in, model, s, q, work, r, sum);
        return outcome(status == Status::ok ? in.close(sum.value()) : status);
    }
    const std::size_t n = compact(work.index.get(), s.r_size(), q.skip, work.rows.get());
    std::int16_t* symbols = work.coded.get();
    const std::uint8_t* rows = work.rows.get();
    status = Slow ? read_run_checked<true>(in, model, rows, 0, n, symbols) : read_run(in, model, rows, n, symbols);
    if (status != Status::ok) return outcome(status);

    expand(work.index.get(), s.r_size(), q.skip, symbols, r, sum);
    return outcome(in.close(sum.value()));
}

// The stream of a tile: the inverse. It is left in work.writer and ends at work.end(s); `copy_stream` makes bytes of
// it.
template <bool Slow = false>
Status encode_tile(const Bank& model, const ScaleMap& map, const Shape& s, const Setting& q, const std::int16_t* z,
                   const std::int16_t* r, Scratch& work) {
    Slow ? map.index_slow(z, s, q, work.index.get()) : map.index(z, s, q, work.index.get());
    Checksum sum;
    sum.add(z, s.z_size());
    Writer& to = work.writer;
    if (q.trellis != kNoTrellis) {
        const Status status = find_symbols(s, q, r, work, sum);
        if (status != Status::ok) return status;
        begin(to, sum, work.end(s));
        write_trellis<Slow>(to, model, s, work);
        write_z<Slow>(to, model, s, q, work, z);
        return Status::ok;
    }
    std::size_t n = 0;
    std::int32_t skipped = 0;
    for (std::size_t i = 0; i < s.r_size(); ++i) {
        const bool keep = work.index[i] >= q.skip;
        work.rows[n] = work.index[i];
        work.coded[n] = r[i];
        skipped |= keep ? 0 : r[i];
        n += keep;
    }
    if (skipped) return Status::skipped_not_zero;

    sum.add(r, s.r_size());
    begin(to, sum, work.end(s));
    write_run<Slow>(to, model, static_cast<const std::uint8_t*>(work.rows.get()), work.coded.get(), n);
    write_z<Slow>(to, model, s, q, work, z);
    return Status::ok;
}

// The size of what a writer holds, whose words end at `end`.
inline std::size_t stream_size(const Writer& from, const std::uint16_t* end) {
    return kHeader + static_cast<std::size_t>(end - from.words) * kWordBytes + from.escapes.size();
}

// The same as bytes, `stream_size` of them, in the order of FORMAT 6.3.
inline void copy_stream(const Writer& from, const std::uint16_t* end, std::uint8_t* out) {
    for (std::size_t i = 0; i < kStates; ++i, out += sizeof from.x[0]) store_u32(out, from.x[i]);
    for (const std::uint16_t* word = from.words; word < end; ++word) {
        *out++ = static_cast<std::uint8_t>(*word);
        *out++ = static_cast<std::uint8_t>(*word >> 8);
    }
    std::copy(from.escapes.begin(), from.escapes.end(), out);
}

// ---------------------------------------------------------------------------------------------------------------------
// Tiles under mixtures (FORMAT 7.8): every r is coded. The map has kPlanes * K * M channels.

struct Positions {  // the rows of a run under mixtures: position i of the block has mixture i
    std::size_t operator[](std::size_t i) const { return i; }
};

constexpr std::size_t kBlockPositions = 256;  // a multiple of kStates, so that a block starts with state 0

inline void fill_planes(bool slow, const ScaleMap& map, const std::int16_t* z, const Shape& s, const Setting& q,
                        std::uint8_t* planes) {
    const Shape wide{s.C, map.M(), s.a, s.b, s.h, s.w};
    const Setting bytes{q.d, q.bias, q.z_row, kByteValues, 0};
    slow ? map.index_slow(z, wide, bytes, planes) : map.index(z, wide, bytes, planes);
}

template <bool Slow, std::size_t K>
Status read_mixed(Reader& in, const Mixture& mixture, const std::uint8_t* planes, std::size_t size, std::int16_t* r) {
    Mixture::Ready ready[kBlockPositions];
    for (std::size_t i = 0; i < size; i += kBlockPositions) {
        const std::size_t n = std::min(kBlockPositions, size - i);
        mixture.prepare(planes + i, size, n, ready);
        const Block<K> block{mixture, ready, planes + i, size};
        const Status status = Slow ? read_run_checked<true>(in, block, Positions{}, 0, n, r + i)
                                   : read_run(in, block, Positions{}, n, r + i);
        if (status != Status::ok) return status;
    }
    return Status::ok;
}

template <bool Slow, std::size_t K>
void write_mixed(Writer& to, const Mixture& mixture, const std::uint8_t* planes, std::size_t size,
                 const std::int16_t* r) {
    Mixture::Ready ready[kBlockPositions];
    for (std::size_t end = size; end > 0;) {
        const std::size_t i = (end - 1) / kBlockPositions * kBlockPositions;
        mixture.prepare(planes + i, size, end - i, ready);
        write_run<Slow>(to, Block<K>{mixture, ready, planes + i, size}, Positions{}, r + i, end - i);
        end = i;
    }
}

template <bool Slow>
Status read_mixed(Reader& in, const Mixture& mixture, const std::uint8_t* planes, std::size_t size, std::int16_t* r) {
    switch (mixture.components()) {
        case 1:
            return read_mixed<Slow, 1>(in, mixture, planes, size, r);
        case 2:
            return read_mixed<Slow, 2>(in, mixture, planes, size, r);
        case 3:
            return read_mixed<Slow, 3>(in, mixture, planes, size, r);
        default:
            return read_mixed<Slow, 4>(in, mixture, planes, size, r);
    }
}

template <bool Slow>
void write_mixed(Writer& to, const Mixture& mixture, const std::uint8_t* planes, std::size_t size,
                 const std::int16_t* r) {
    switch (mixture.components()) {
        case 1:
            return write_mixed<Slow, 1>(to, mixture, planes, size, r);
        case 2:
            return write_mixed<Slow, 2>(to, mixture, planes, size, r);
        case 3:
            return write_mixed<Slow, 3>(to, mixture, planes, size, r);
        default:
            return write_mixed<Slow, 4>(to, mixture, planes, size, r);
    }
}

template <bool Slow = false>
Outcome decode_mixed_tile(const std::uint8_t* data, std::size_t size, const Bank& bank, const ScaleMap& map,
                          const Mixture& mixture, const Shape& s, const Setting& q, Scratch& work, std::int16_t* z,
                          std::int16_t* r) {
    Reader in{};
    const auto outcome = [&](Status status) { return Outcome{status, static_cast<std::size_t>(in.front - data)}; };
    Status status = in.open(data, size);
    if (status == Status::ok) status = read_z<Slow>(in, bank, s, q, work, z);
    if (status != Status::ok) return outcome(status);
    std::uint8_t* planes = work.index.get();
    fill_planes(Slow, map, z, s, q, planes);
    status = read_mixed<Slow>(in, mixture, planes, s.r_size(), r);
    if (status != Status::ok) return outcome(status);
    Checksum sum;
    sum.add(z, s.z_size());
    sum.add(r, s.r_size());
    return outcome(in.close(sum.value()));
}

template <bool Slow = false>
void encode_mixed_tile(const Bank& bank, const ScaleMap& map, const Mixture& mixture, const Shape& s, const Setting& q,
                       const std::int16_t* z, const std::int16_t* r, Scratch& work) {
    std::uint8_t* planes = work.index.get();
    fill_planes(Slow, map, z, s, q, planes);
    Checksum sum;
    sum.add(z, s.z_size());
    sum.add(r, s.r_size());
    Writer& to = work.writer;
    begin(to, sum, work.end(s));
    write_mixed<Slow>(to, mixture, planes, s.r_size(), r);
    write_z<Slow>(to, bank, s, q, work, z);
}

// ---------------------------------------------------------------------------------------------------------------------
// A run alone, under rows or mixtures that the caller gives: the coder without the map, as other codecs' coders are
// called.

template <class Read>
Outcome decode_run(const std::uint8_t* data, std::size_t size, std::size_t n, std::int16_t* symbols, const Read& read) {
    Reader in{};
    Status status = in.open(data, size);
    if (status == Status::ok) status = read(in);
    if (status == Status::ok) {
        Checksum sum;
        sum.add(symbols, n);
        status = in.close(sum.value());
    }
    return Outcome{status, static_cast<std::size_t>(in.front - data)};
}

// `words`: (n + 1,) working memory. The stream is the states, the words from `to.words` to the end of `words`, the
// escapes.
inline void begin_run(Writer& to, const std::int16_t* symbols, std::size_t n, std::uint16_t* words) {
    Checksum sum;
    sum.add(symbols, n);
    begin(to, sum, words + n + 1);
}

}  // namespace lic

#endif

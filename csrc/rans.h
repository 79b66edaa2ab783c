// The entropy coder: interleaved range-ANS (FORMAT 7.3, 7.7) over whatever knows the intervals of symbols.
// Includes lic_constants.h and the standard library; must not include Python. Reports a status, throws nothing
// of its own (the constructors and `build` may throw std::bad_alloc; nothing else allocates, but for the list of
// symbols that are escaped).
//
// READ ME FIRST
// - The decoder runs forwards, the encoder backwards: it starts from the states in which the decoder must end, and the
//   decoder's first symbol is its last. So the encoder may start from states that carry the checksum, at no cost.
// - A state is normalised when 2^16 <= x < 2^32. Decoding a symbol of frequency g gives x' = g * (x >> 16) + slot - G
// with
//   1 <= g <= x' <= 65535 * 65535 + 65534 < 2^32. If x' < 2^16, then one word makes x' * 2^16 + word >= 2^16 again:
//   never two words, so a symbol takes at most two bytes of words.
// - The encoder's step is the exact inverse. If a word was read, then x >= g * 2^16 (as x' >= g); if none was read,
// then
//   x = x' <= g * 65535 + g - 1 < g * 2^16. So `x >> 16 >= g` says whether a word has to be written, without doubt.
// - Hence the encoding is canonical: a stream that decodes to its checksum is the only one that does so for its
// symbols, byte
//   for byte (escapes are of shortest form and never stand for a symbol that the row holds). The fuzzer asserts it.
// - Frequencies are at most 65535, as a row has at least two; so frequency and cumulative frequency share 32 bits.
#ifndef LIC_RANS_H
#define LIC_RANS_H

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "lic_constants.h"

#if defined(__GNUC__)
#define LIC_INLINE inline __attribute__((always_inline))
#define LIC_APART __attribute__((noinline))
#define LIC_RARE(condition) __builtin_expect(!!(condition), 0)
#else
#define LIC_INLINE inline
#define LIC_APART
#define LIC_RARE(condition) (condition)
#endif

namespace lic {

enum class Status {
    ok,
    // a tile stream that is refused
    too_short,       // fewer bytes than the states take
    state_low,       // a first state below 2^16
    words_end,       // a word is needed and none is left
    escape_form,     // an escape that is not of shortest form
    symbol_range,    // a symbol outside i16
    not_covered,     // bytes left over, be it of one stage
    wrong_checksum,  // the last states are not those of the checksum
    // an encoder's argument that is refused
    skipped_not_zero,
    no_level,  // of the quantiser that the state says, FORMAT 7.9
    no_rows,   // of a model of mixtures
    no_interval,
};

inline const char* describe(Status status) {
    switch (status) {
        case Status::ok:
            return "ok";
        case Status::too_short:
            return "it is shorter than its states";
        case Status::state_low:
            return "a first state is below its minimum";
        case Status::words_end:
            return "its words end too early";
        case Status::escape_form:
            return "an escape is malformed";
        case Status::symbol_range:
            return "a symbol is outside i16";
        case Status::not_covered:
            return "bytes are left over";
        case Status::wrong_checksum:
            return "the checksum of its integers is wrong";
        case Status::skipped_not_zero:
            return "r is not 0 at a skipped position";
        case Status::no_level:
            return "r is no level that its state allows";
        case Status::no_interval:
            return "an interval does not lie within 65536";
        case Status::no_rows:
            return "a model of mixtures has no scale rows";
    }
    return "unknown status";
}

constexpr std::uint32_t kTotal = 1u << LIC_PROB_BITS;
constexpr std::uint32_t kSlotMask = kTotal - 1;
constexpr std::size_t kStates = LIC_STATES;
constexpr std::size_t kHeader = kStates * sizeof(std::uint32_t);
constexpr std::size_t kWordBytes = LIC_WORD_BITS / 8;
constexpr unsigned kEscapeLow = 15;  // bits of an escape in its first word, whose top bit announces a second
static_assert(LIC_STATE_MIN == 1u << LIC_WORD_BITS && LIC_PROB_BITS == LIC_WORD_BITS,
              "the derivations above take one power of two for words, states and probabilities");
static_assert(kStates == 4, "the unrolled loops and the final states of FORMAT 7.3 take four states");

// ---------------------------------------------------------------------------------------------------------------------
// Models: what the coder asks about symbols. A model is any class with
//
//   Interval find(row, slot)              the interval of row `row` that holds `slot`, for the decoder
//   Coding coding(row, index)             (or Passing) the same interval by its index, for the encoder
//   std::int32_t first(row)               the value of index 0
//   std::uint32_t last(row), plain(row)   the index that is the escape, and the number of indices below it whose values
//   are
//                                         within i16: any index from `plain` on takes the rare path
//
// `row` is an index into whatever the model keeps: a row of bank.h, a position's mixture in residual/mixture.h. A run
// takes its rows from anything that has an operator[].

struct Interval {
    std::uint32_t freq;    // g_j
    std::uint32_t offset;  // slot - G_j
    std::uint32_t index;   // j
};

// An interval as the encoder wants it. With m = reciprocal = ceil(2^48 / g), x / g is (x * m) >> 48 in 64 bits,
// exactly, for every state after renormalisation, x < g * 2^16. Write m = (2^48 + e) / g with 0 <= e < g. Then
//   exact: x * m / 2^48 = x / g + (x * e / 2^48) / g, and x * e < g * 2^16 * g < 2^48: the excess is below 1 / g, which
//          cannot lift the quotient over the next integer;
//   fits:  x * m <= (g * 2^16 - 1) * (2^48 + g - 1) / g < 2^64 + 2^16 (g - 1) - 2^48 / g < 2^64, as g (g - 1) < 2^32.
// The usual 32-bit reciprocal, ceil(2^(31 + s) / g), is WRONG here: it needs x < 2^31 and our states reach 2^32 - 1 (it
// fails for about one in twelve of the worst states above 2^31).
struct Coding {
    std::uint64_t reciprocal;
    std::uint32_t freq, start;  // g_j, G_j
};

constexpr unsigned kReciprocalBits = 48;

LIC_INLINE std::uint32_t divide(std::uint32_t x, const Coding& c) {
    return static_cast<std::uint32_t>(x * c.reciprocal >> kReciprocalBits);
}

// An interval that is used once: dividing costs less than making a reciprocal.
struct Passing {
    std::uint32_t freq, start;
};

LIC_INLINE std::uint32_t divide(std::uint32_t x, const Passing& c) { return x / c.freq; }

// ---------------------------------------------------------------------------------------------------------------------
// Bytes

LIC_INLINE std::uint32_t load_u16(const std::uint8_t* at) { return static_cast<std::uint32_t>(at[0] | at[1] << 8); }
LIC_INLINE std::uint32_t load_u32(const std::uint8_t* at) { return load_u16(at) | load_u16(at + 2) << 16; }

inline void store_u32(std::uint8_t* at, std::uint32_t value) {
    for (int i = 0; i < 4; ++i) at[i] = static_cast<std::uint8_t>(value >> 8 * i);
}

// The checksum of FORMAT 7.7, fed in pieces.
struct Checksum {
    std::uint32_t a = 0, b = 0, n = 1;

    void add(const std::int16_t* symbols, std::size_t count) {
        std::uint32_t a_sum = 0, b_sum = 0;  // local sums and one counter: a loop that compilers vectorise
        for (std::size_t i = 0; i < count; ++i) {
            const std::uint32_t t = static_cast<std::uint16_t>(symbols[i]);
            a_sum += t;
            b_sum += static_cast<std::uint32_t>(i) * t;
        }
        a += a_sum, b += n * a_sum + b_sum, n += static_cast<std::uint32_t>(count);
    }

    std::uint32_t value() const { return a * static_cast<std::uint32_t>(LIC_CHECKSUM_FACTOR) + b; }
};

// The states in which a decoder ends and from which an encoder starts (FORMAT 7.3).
inline void final_states(std::uint32_t checksum, std::uint32_t x[kStates]) {
    x[0] = LIC_STATE_MIN + (checksum & 0xFFFF);
    x[1] = LIC_STATE_MIN + (checksum >> 16);
    x[2] = x[3] = LIC_STATE_MIN;
}

// ---------------------------------------------------------------------------------------------------------------------
// Reading

// A symbol whose escape is due at the end of its run. Its row is noted when it is met: with neighbours it would be
// another once the escapes before it are known.
struct Escaped {
    std::uint32_t at, row;
};

// A stream in the middle of its decoding: words lie in [front, back).
struct Reader {
    std::uint32_t x[kStates];
    const std::uint8_t *front, *back;
    std::vector<Escaped> escaped;  // of the present run

    Status open(const std::uint8_t* data, std::size_t size) {
        front = data, back = data + size;
        if (size < kHeader) return Status::too_short;
        for (std::size_t s = 0; s < kStates; ++s) {
            x[s] = load_u32(data + sizeof x[s] * s);
            if (x[s] < LIC_STATE_MIN) return Status::state_low;
        }
        front += kHeader;
        return Status::ok;
    }

    bool has_word() const { return static_cast<std::size_t>(back - front) >= kWordBytes; }
    std::uint32_t word() {
        front += kWordBytes;
        return load_u16(front - kWordBytes);
    }

    // FORMAT 7.3, "After the last run".
    Status close(std::uint32_t checksum) const {
        std::uint32_t want[kStates];
        final_states(checksum, want);
        if (front != back) return Status::not_covered;
        return std::equal(x, x + kStates, want) ? Status::ok : Status::wrong_checksum;
    }
};

// An escape: one word or two. Where the second is missing, none has been read.
inline Status read_escape(Reader& in, std::uint32_t& value) {
    if (!in.has_word()) return Status::words_end;
    value = load_u16(in.front);
    const bool two = value >> kEscapeLow;
    if (two) {
        if (static_cast<std::size_t>(in.back - in.front) < 2 * kWordBytes) return Status::words_end;
        const std::uint32_t high = load_u16(in.front + kWordBytes);
        value = (value & ((1u << kEscapeLow) - 1)) | high << kEscapeLow;
        if (high == 0 || value >> LIC_ESCAPE_BITS) return Status::escape_form;
    }
    in.front += two ? 2 * kWordBytes : kWordBytes;
    return Status::ok;
}

// What stands for a symbol of an index from `plain` on until its run is over: the escape is due then. Other indices are
// values beyond i16, which a row may list but no stream may use.
inline Status note_rare(Reader& in, std::size_t i, std::size_t row, bool escape, std::int16_t& symbol) {
    if (!escape) return Status::symbol_range;
    in.escaped.push_back({static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(row)});
    symbol = 0;
    return Status::ok;
}

// The escapes of a run, in order: symbols below (odd) or above (even) the row's values first ... first + last - 1.
template <class Model>
Status read_escapes(Reader& in, const Model& model, std::int16_t* out) {
    for (const auto [i, row] : in.escaped) {
        std::uint32_t v = 0;
        const Status status = read_escape(in, v);
        if (status != Status::ok) return status;
        const std::int32_t far = static_cast<std::int32_t>(v >> 1), first = model.first(row);
        const std::int32_t value = v & 1 ? first - 1 - far : first + static_cast<std::int32_t>(model.last(row)) + far;
        if (value < LIC_SYMBOL_MIN || value > LIC_SYMBOL_MAX) return Status::symbol_range;
        out[i] = static_cast<std::int16_t>(value);
    }
    in.escaped.clear();
    return Status::ok;
}

// One symbol of one state, where the caller vouches for a word at `front`. Arithmetic instead of a branch on whether
// the word is taken, which is unpredictable: one symbol in sixteen at 1 bit per symbol.
template <class Model>
LIC_INLINE std::uint32_t step(const Model& model, std::size_t row, std::uint32_t& x, const std::uint8_t*& front) {
    const Interval hit = model.find(row, x & kSlotMask);
    const std::uint32_t low = hit.freq * (x >> LIC_PROB_BITS) + hit.offset;
    const auto refill = static_cast<std::uint32_t>((std::uint64_t{low} - LIC_STATE_MIN) >> 63);  // 1 if low < 2^16
    x = low << refill * LIC_WORD_BITS | (load_u16(front) & (0 - refill));
    front += refill * kWordBytes;
    return hit.index;
}

// The words of a run of n symbols (FORMAT 7.3), one symbol at a time, every read checked. Starts at symbol i of the
// run; the tail of `read_run`. rows[i] is asked for when out[0] ... out[i - 1] are known.
template <class Model, class Rows>
Status read_words_checked(Reader& in, const Model& model, Rows rows, std::size_t i, std::size_t n, std::int16_t* out) {
    for (; i < n; ++i) {
        const std::size_t row = rows[i];
        std::uint32_t& x = in.x[i % kStates];
        const Interval hit = model.find(row, x & kSlotMask);
        const std::uint32_t low = hit.freq * (x >> LIC_PROB_BITS) + hit.offset;
        if (low < LIC_STATE_MIN && !in.has_word()) {
            std::fill(out + i, out + n, std::int16_t{0});
            return Status::words_end;
        }
        x = low < LIC_STATE_MIN ? low << LIC_WORD_BITS | in.word() : low;
        out[i] = static_cast<std::int16_t>(model.first(row) + static_cast<std::int32_t>(hit.index));
        if (hit.index < model.plain(row)) continue;
        const Status status = note_rare(in, i, row, hit.index == model.last(row), out[i]);
        if (status != Status::ok) return status;
    }
    return Status::ok;
}

// A run of n symbols. Four symbols, one of each state, per turn; the four chains of loads and multiplications overlap.
// While `kSlack` bytes are left, four symbols cannot take more words than there are, so a turn needs no check of its
// own. With Status::words_end, what the words there are do not tell is 0.
template <class Model, class Rows>
Status read_run(Reader& in, const Model& model, Rows rows, std::size_t n, std::int16_t* out) {
    constexpr std::ptrdiff_t kSlack = kStates * kWordBytes;
    std::uint32_t x0 = in.x[0], x1 = in.x[1], x2 = in.x[2], x3 = in.x[3];
    const std::uint8_t *front = in.front, *const back = in.back;
    Status status = Status::ok;
    std::size_t i = 0;
    in.escaped.clear();
    for (; i + kStates <= n && back - front >= kSlack; i += kStates) {
        const std::size_t k0 = rows[i], k1 = rows[i + 1], k2 = rows[i + 2], k3 = rows[i + 3];
        const std::uint32_t j0 = step(model, k0, x0, front), j1 = step(model, k1, x1, front),
                            j2 = step(model, k2, x2, front), j3 = step(model, k3, x3, front);
        out[i] = static_cast<std::int16_t>(model.first(k0) + static_cast<std::int32_t>(j0));
        out[i + 1] = static_cast<std::int16_t>(model.first(k1) + static_cast<std::int32_t>(j1));
        out[i + 2] = static_cast<std::int16_t>(model.first(k2) + static_cast<std::int32_t>(j2));
        out[i + 3] = static_cast<std::int16_t>(model.first(k3) + static_cast<std::int32_t>(j3));
        const int rare = int{j0 >= model.plain(k0)} | int{j1 >= model.plain(k1)} | int{j2 >= model.plain(k2)} |
                         int{j3 >= model.plain(k3)};
        if (LIC_RARE(rare)) {
            const std::uint32_t j[kStates] = {j0, j1, j2, j3};
            for (std::size_t s = 0; s < kStates && status == Status::ok; ++s) {
                const std::size_t row = rows[i + s];
                if (j[s] >= model.plain(row)) status = note_rare(in, i + s, row, j[s] == model.last(row), out[i + s]);
            }
            if (status != Status::ok) break;
        }
    }
    in.x[0] = x0, in.x[1] = x1, in.x[2] = x2, in.x[3] = x3;
    in.front = front;
    if (status == Status::ok) status = read_words_checked(in, model, rows, i, n, out);
    return status == Status::ok ? read_escapes(in, model, out) : status;
}

// The same where a row depends on the symbols before it: one at a time.
template <class Model, class Rows>
Status read_run_in_order(Reader& in, const Model& model, Rows rows, std::size_t n, std::int16_t* out) {
    in.escaped.clear();
    const Status status = read_words_checked(in, model, rows, 0, n, out);
    return status == Status::ok ? read_escapes(in, model, out) : status;
}

// ---------------------------------------------------------------------------------------------------------------------
// Writing

// A stream in the middle of its encoding, from its end to its beginning.
struct Writer {
    std::uint32_t x[kStates];
    std::uint16_t* words;  // the words so far; grows downwards, three words a symbol at most
};

constexpr std::size_t kWordsMost = 3;  // of a symbol: its own and those of its escape

// The step of FORMAT 7.3 backwards: x' = (x / g) * 2^16 + x mod g + G, after writing the word that the decoder will
// read.
template <class C>
LIC_INLINE void write_step(const C& c, std::uint32_t& x, std::uint16_t*& words) {
    // The word is always stored, and the pointer moves only if it counts: no unpredictable branch. The place below the
    // pointer exists: the caller's buffer has room for that (Stream::start).
    const bool full = x >> LIC_WORD_BITS >= c.freq;
    words[-1] = static_cast<std::uint16_t>(x);
    words -= full ? 1 : 0;
    x = full ? x >> LIC_WORD_BITS : x;
    const std::uint32_t quotient = divide(x, c);
    x += quotient * (kTotal - c.freq) + c.start;  // = (q << 16) + (x - q g) + G
}

// The escape of a symbol that a row does not hold: its second word, where it has one, stands behind its first.
inline void write_escape(std::uint16_t*& words, std::int32_t symbol, std::int32_t first, std::uint32_t last) {
    const std::int32_t above = first + static_cast<std::int32_t>(last);
    const std::uint32_t v = symbol < first ? static_cast<std::uint32_t>(first - 1 - symbol) << 1 | 1
                                           : static_cast<std::uint32_t>(symbol - above) << 1;
    const std::uint32_t high = v >> kEscapeLow;
    if (high) *--words = static_cast<std::uint16_t>(high);
    *--words = static_cast<std::uint16_t>((v & ((1u << kEscapeLow) - 1)) | std::uint32_t{high != 0} << kEscapeLow);
}

// The index of a symbol in its row, or the escape's.
template <class Model>
LIC_INLINE std::uint32_t index_in(const Model& model, std::size_t row, std::int32_t symbol) {
    return std::min(static_cast<std::uint32_t>(symbol - model.first(row)), model.last(row));
}

// The escapes of a run, which follow its words: so they are written first, the last of them before the others.
template <class Model, class Rows>
void write_escapes(Writer& to, const Model& model, Rows rows, const std::int16_t* symbols, std::size_t n) {
    for (std::size_t i = n; i-- > 0;) {
        const std::size_t row = rows[i];
        const std::uint32_t last = model.last(row);
        if (LIC_RARE(static_cast<std::uint32_t>(symbols[i] - model.first(row)) >= last)) {
            write_escape(to.words, symbols[i], model.first(row), last);
        }
    }
}

// A run, last symbol first. The odd symbols of the end go one by one, then four by four, states in registers.
template <class Model, class Rows>
void write_run(Writer& to, const Model& model, Rows rows, const std::int16_t* symbols, std::size_t n) {
    write_escapes(to, model, rows, symbols, n);
    std::uint16_t* words = to.words;
    std::size_t i = n;
    while (i > 0 && i % kStates != 0) {
        --i;
        write_step(model.coding(rows[i], index_in(model, rows[i], symbols[i])), to.x[i % kStates], words);
    }
    std::uint32_t x0 = to.x[0], x1 = to.x[1], x2 = to.x[2], x3 = to.x[3];
    while (i > 0) {
        i -= kStates;
        const std::size_t k0 = rows[i], k1 = rows[i + 1], k2 = rows[i + 2], k3 = rows[i + 3];
        write_step(model.coding(k3, index_in(model, k3, symbols[i + 3])), x3, words);
        write_step(model.coding(k2, index_in(model, k2, symbols[i + 2])), x2, words);
        write_step(model.coding(k1, index_in(model, k1, symbols[i + 1])), x1, words);
        write_step(model.coding(k0, index_in(model, k0, symbols[i])), x0, words);
    }
    to.x[0] = x0, to.x[1] = x1, to.x[2] = x2, to.x[3] = x3;
    to.words = words;
}

// Makes a writer ready, whose states end as the checksum of the symbols to come and whose words end at `end`.
inline void begin(Writer& to, const Checksum& sum, std::uint16_t* end) {
    final_states(sum.value(), to.x);
    to.words = end;
}

// The size of what a writer holds, whose words end at `end`.
inline std::size_t stream_size(const Writer& from, const std::uint16_t* end) {
    return kHeader + static_cast<std::size_t>(end - from.words) * kWordBytes;
}

// The same as bytes, `stream_size` of them, in the order of FORMAT 6.3.
inline void copy_stream(const Writer& from, const std::uint16_t* end, std::uint8_t* out) {
    for (std::size_t i = 0; i < kStates; ++i, out += sizeof from.x[0]) store_u32(out, from.x[i]);
    for (const std::uint16_t* word = from.words; word < end; ++word) {
        *out++ = static_cast<std::uint8_t>(*word);
        *out++ = static_cast<std::uint8_t>(*word >> 8);
    }
}

}  // namespace lic

#endif

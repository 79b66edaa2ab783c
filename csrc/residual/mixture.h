// r under mixtures of normals (FORMAT 7.8): lic_cdf.h tabulated, eight points of a cumulative frequency at once; read,
// write, price, quantise. Includes lic_cdf.h, bits.h, given.h, kind.h, scale_map.h for the shape, the standard library
// and SSE2, which every x86-64 has; must not include Python.
//
// READ ME FIRST
// - A component's offset is o = 16 q + phase. Its normal at the edge below x depends on x - q, the scale and the phase
// alone:
//   so a table per (scale, phase) holds it for all x - q at which it is neither 0 nor 65535, and eight neighbours of it
//   are one load. A mixture at eight edges is K loads, K multiplications that keep the upper 16 bits, and additions.
// - Each table row has eight entries of 0 and eight of 65535 beyond its ends, so that a load whose place is clamped
// into the
//   row still yields what lies beyond.
// - `prepare` does all that does not depend on the coder's state, for a block of positions, before the serial part.
#ifndef LIC_MIXTURE_H
#define LIC_MIXTURE_H

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "../lic_cdf.h"
#include "../scale_map.h"
#include "bits.h"
#include "given.h"
#include "kind.h"

#if defined(__SSE2__) || defined(_M_X64)
#define LIC_SSE2 1
#include <emmintrin.h>
#else
#define LIC_SSE2 0
#endif

namespace lic {

constexpr std::size_t kComponents = LIC_COMPONENTS_MAX;
constexpr std::size_t kPlanes = 3;   // bytes of a component: scale, offset, weight
constexpr std::int32_t kWindow = 8;  // edges in one load
constexpr std::uint32_t kUnit = 65535;
constexpr std::size_t kScalesMax = 256;                   // that a byte can name
constexpr std::size_t kBlockPositions = LIC_MIXTURE_RUN;  // prepared at once

// The lowest bit that is 1; there is one.
inline std::uint32_t lowest_bit(std::uint32_t bits) {
#if defined(__GNUC__)
    return static_cast<std::uint32_t>(__builtin_ctz(bits));
#else
    std::uint32_t n = 0;
    while (!(bits >> n & 1)) ++n;
    return n;
#endif
}

class Mixture {
 public:
    // normal: (LIC_NORMAL_STEPS + 1,), inverse: (scales,). Says what is wrong with them, if anything is.
    std::optional<const char*> build(const std::uint16_t* normal, const std::uint32_t* inverse, std::size_t scales,
                                     std::size_t components) {
        if (components < 1 || components > kComponents) return "components is out of range";
        if (scales < 1 || scales > kScalesMax) return "the number of scales is out of range";
        components_ = components;
        normal_.assign(normal, normal + LIC_NORMAL_STEPS + 1);
        inverse_.assign(inverse, inverse + scales);
        for (std::size_t i = 0; i < LIC_NORMAL_STEPS; ++i) {
            if (normal_[i] > normal_[i + 1]) return "normal falls";
        }
        if (normal_.front() != 0 || normal_.back() != 32768) return "normal does not run from 0 to 32768";
        for (const std::uint32_t value : inverse_) {
            if (value < LIC_INVERSE_MIN || value > LIC_INVERSE_MAX) return "an inverse is out of range";
        }
        tabulate();
        return std::nullopt;
    }

    static const char* name() { return "mixture"; }
    static constexpr bool kTakesIntervals = true;  // from a GPU, kernels/mixture_cdf.cu
    static constexpr std::array<const char*, 2> kArrays{"normal", "inverse"};
    static bool holds(const Tables& tables) { return tables.has("normal"); }
    static KindSizes sizes(const Tables& tables, const Numbers& n) { return {0, kPlanes * components_of(tables, n)}; }
    static Mixture made(const KindParts& parts) {
        const auto normal = parts.tables.copy<std::uint16_t>("normal", {LIC_NORMAL_STEPS + 1});
        const auto scales = static_cast<std::size_t>(parts.numbers.rows);
        const auto inverse = parts.tables.copy<std::uint32_t>("inverse", {scales});
        Mixture mixture;
        const auto wrong =
            mixture.build(normal.data(), inverse.data(), scales, components_of(parts.tables, parts.numbers));
        if (wrong) throw BadModel(std::string("the mixture's tables: ") + *wrong);
        return mixture;
    }

    std::size_t planes() const { return kPlanes * components_; }
    std::int32_t unit() const { return 1; }
    std::int32_t spacing(std::int32_t) const { return 1; }
    std::int32_t values() const { return kByteValues; }
    std::int32_t scale_rows() const { return 0; }

    std::size_t components() const { return components_; }
    std::size_t scales() const { return inverse_.size(); }

    // The definition, from the bytes of a position.
    LicMixture slow(const std::uint8_t* planes, std::size_t stride) const {
        LicMixture m;
        lic_mixture(planes, stride, static_cast<lic_i32>(components_), inverse_.data(), static_cast<lic_i32>(scales()),
                    &m);
        return m;
    }
    std::uint32_t below_slow(const LicMixture& m, std::int32_t x) const { return lic_below(normal_.data(), &m, x); }

    struct Work {
        const Given* given = nullptr;  // of an encoder: the intervals of r
        explicit Work(const Shape&) {}
    };

    std::int32_t skip() const { return 0; }
    bool staged() const { return false; }

    // r (M, h, w), which is 0 before, from runs of kBlockPositions, all of it into the checksum. planes: (3 K M, h, w),
    // what the map yields.
    template <class Coder>
    Status read(Reader& in, const Bank&, const Shape& s, const IndexRange&, const std::uint8_t* planes, Work&,
                std::int16_t* r, Checksum& sum) const {
        const Status status = read_run_of<Coder>(in, planes, s.r_size(), r);
        if (status == Status::ok) sum.add(r, s.r_size());
        return status;
    }

    // The other way: nothing is to be found before the writer is made ready but the checksum.
    Status gather(const Shape& s, const Stages&, const std::uint8_t*, const std::int16_t* r, Work&,
                  Checksum& sum) const {
        sum.add(r, s.r_size());
        return Status::ok;
    }

    template <class Coder>
    void write(Writer& to, const Bank&, const Shape& s, std::size_t, const std::uint8_t* planes, const std::int16_t* r,
               const Work& work) const {
        if (work.given) {
            write_given<Coder>(to, *work.given, planes, s.r_size(), r);
        } else {
            write_run_of<Coder>(to, planes, s.r_size(), r);
        }
    }

    // `size` symbols under planes (3 K, size).
    template <class Coder>
    Status read_run_of(Reader& in, const std::uint8_t* planes, std::size_t size, std::int16_t* r) const;
    template <class Coder>
    void write_run_of(Writer& to, const std::uint8_t* planes, std::size_t size, const std::int16_t* r) const;

    // The same with the symbols' intervals at hand. planes: nothing where there are no escapes.
    template <class Coder>
    void write_given(Writer& to, const Given& given, const std::uint8_t* planes, std::size_t size,
                     const std::int16_t* r) const;

    // Bits of r (M, n) under planes (3 K M, n), exactly, escapes with their words.
    Status price(const Coded& t, double& bits) const {
        bits = 0.0;
        each(t.index, t.M * t.n,
             [&](std::size_t i, const auto& block, std::size_t at) { bits += block.bits(at, t.r[i]); });
        return Status::ok;
    }

    // Mixtures have no rows.
    Status symbols(const Coded&, std::int16_t*, std::uint8_t*) const { return Status::no_rows; }

    // Rounds up or down, whichever costs less by squared error and bits.
    void quantise(const Unquantised& t) const {
        each(t.index, t.M * t.n, [&](std::size_t i, const auto& block, std::size_t at) {
            constexpr float kEnd = 32760.0f;
            const float x = std::isnan(t.x[i]) ? 0.0f : std::clamp(t.x[i], -kEnd, kEnd), low = std::floor(x);
            const auto q = static_cast<std::int32_t>(low);
            const float weight = t.weight[i / t.n], part = x - low;
            const float down = part * part + weight * static_cast<float>(block.bits(at, q));
            const float up = (1.0f - part) * (1.0f - part) + weight * static_cast<float>(block.bits(at, q + 1));
            t.r[i] = static_cast<std::int16_t>(q + (up < down));
        });
    }

    // A mixture ready for evaluation.
    struct Place {            // of a component, by scale and offset
        std::uint32_t row;    // where its table row begins
        std::int16_t shift;   // from there, the edge below x = 0
        std::uint16_t last;   // from there, the last place at which eight entries may be loaded
        std::int32_t radius;  // the support that it asks for
    };
    struct Ready {
        Place place[kComponents];
        std::uint16_t weight[kComponents];
        std::uint16_t spread;  // 65535 - symbols, what the probabilities share out
        std::int16_t radius;
    };

    // With K components, which the caller knows.
    template <std::size_t K>
    void prepare(const std::uint8_t* planes, std::size_t stride, std::size_t n, Ready* out) const;

    // G at x.
    template <std::size_t K>
    LIC_INLINE std::uint32_t below(const Ready& m, std::int32_t x) const {
        std::uint32_t sum = 0;
        for (std::size_t k = 0; k < K; ++k) {
            const std::int32_t at = std::clamp<std::int32_t>(x + m.place[k].shift, 0, m.place[k].last + kWindow - 1);
            sum +=
                static_cast<std::uint32_t>(entries_[m.place[k].row + static_cast<std::uint32_t>(at)]) * m.weight[k] >>
                16;
        }
        return (sum * m.spread >> 16) + static_cast<std::uint32_t>(x + m.radius);
    }

    // G at x, x + 1, ... x + 7, all of them within -radius ... radius + 1.
    template <std::size_t K>
    LIC_INLINE void window(const Ready& m, std::int32_t x, std::uint16_t* g) const {
#if LIC_SSE2
        __m128i sum = _mm_setzero_si128();
        for (std::size_t k = 0; k < K; ++k) {
            const std::int32_t at = std::clamp<std::int32_t>(x + m.place[k].shift, 0, m.place[k].last);
            const __m128i phi = _mm_loadu_si128(
                reinterpret_cast<const __m128i*>(entries_.data() + m.place[k].row + static_cast<std::uint32_t>(at)));
            sum = _mm_add_epi16(sum, _mm_mulhi_epu16(phi, _mm_set1_epi16(static_cast<std::int16_t>(m.weight[k]))));
        }
        const __m128i ramp = _mm_set_epi16(7, 6, 5, 4, 3, 2, 1, 0);
        const __m128i first = _mm_add_epi16(ramp, _mm_set1_epi16(static_cast<std::int16_t>(x + m.radius)));
        sum = _mm_mulhi_epu16(sum, _mm_set1_epi16(static_cast<std::int16_t>(m.spread)));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(g), _mm_add_epi16(sum, first));
#else
        for (std::int32_t i = 0; i < kWindow; ++i) g[i] = static_cast<std::uint16_t>(below<K>(m, x + i));
#endif
    }

    // How many of the eight ascending G are at most `slot`.
    static LIC_INLINE std::uint32_t at_most(const std::uint16_t* g, std::uint32_t slot) {
#if LIC_SSE2
        const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(g));
        const __m128i above =
            _mm_subs_epu16(values, _mm_set1_epi16(static_cast<std::int16_t>(slot)));      // 0 where G <= slot
        const int mask = _mm_movemask_epi8(_mm_cmpeq_epi16(above, _mm_setzero_si128()));  // its low bits, as G ascends
        return lowest_bit(~static_cast<std::uint32_t>(mask)) / 2;
#else
        std::uint32_t n = 0;
        for (std::int32_t i = 0; i < kWindow; ++i) n += g[i] <= slot;
        return n;
#endif
    }

 private:
    // Calls function(position, its block, its place there) for all positions of planes (3 K, size).
    template <class Function>
    void each(const std::uint8_t* planes, std::size_t size, const Function& function) const;

    // K, from the number of rows of the map: 16 * 3 K * M.
    static std::size_t components_of(const Tables& tables, const Numbers& n) {
        if (n.skip != 0 || tables.has("trellis")) {
            throw BadModel("skip is " + std::to_string(n.skip) +
                           ", want 0 where r is coded under mixtures, and no trellis");
        }
        const std::size_t one = kCell * kPlanes * static_cast<std::size_t>(n.latent);
        const auto weight = tables.arrays.find("weight");
        const bool flat = weight == tables.arrays.end() || weight->second.shape.empty();
        const std::size_t rows = flat ? 0 : weight->second.shape[0];
        if (rows % one != 0 || rows / one < 1 || rows / one > LIC_COMPONENTS_MAX) {
            throw BadModel("weight has " + std::to_string(rows) + " rows, want " + std::to_string(one) +
                           " for each of 1 to " + std::to_string(LIC_COMPONENTS_MAX) + " components");
        }
        return rows / one;
    }

    static constexpr std::int32_t kOffsets = 2 * LIC_OFFSET_ZERO;

    // A row for each scale and phase. Its places 0 ... 2 half - 1 stand for x - q = -half ... half - 1. Eight zeros
    // first: -half + 7 <= -reach; eight ones last: half - 8 >= reach + 1.
    void tabulate() {
        places_.clear(), entries_.clear();
        for (const std::uint32_t inverse : inverse_) {
            const std::int32_t reach = lic_reach(inverse), half = reach + kWindow + 1;
            const std::size_t start = entries_.size();
            for (std::int32_t phase = 0; phase < LIC_OFFSET_ONE; ++phase) {
                for (std::int32_t x = -half; x < half; ++x) {
                    const std::int32_t d = LIC_OFFSET_ONE * x - LIC_OFFSET_ONE / 2 - phase;
                    entries_.push_back(static_cast<std::uint16_t>(lic_normal(normal_.data(), inverse, d)));
                }
            }
            for (std::int32_t offset = -LIC_OFFSET_ZERO; offset < kOffsets - LIC_OFFSET_ZERO; ++offset) {
                const std::int32_t phase = offset & (LIC_OFFSET_ONE - 1), q = (offset - phase) / LIC_OFFSET_ONE;
                const std::int32_t far = offset < 0 ? -q : q + (phase != 0);  // |offset| / 16, rounded up
                places_.push_back({static_cast<std::uint32_t>(start) + static_cast<std::uint32_t>(2 * half * phase),
                                   static_cast<std::int16_t>(half - q), static_cast<std::uint16_t>(2 * half - kWindow),
                                   reach + far});
            }
        }
        for (std::uint32_t sum = 1; sum <= kComponents * 255; ++sum) {
            reciprocal_[sum] = ((std::uint64_t{1} << kQuotientBits) + sum - 1) / sum;
        }
    }

    static constexpr unsigned kQuotientBits = 34;

    std::size_t components_ = 0;
    std::vector<std::uint16_t> normal_;
    std::vector<std::uint32_t> inverse_;
    std::vector<Place> places_;           // (scales, kOffsets)
    std::vector<std::uint16_t> entries_;  // rows, one after the other
    std::uint64_t reciprocal_[kComponents * 255 + 1] = {};
};

template <std::size_t K>
void Mixture::prepare(const std::uint8_t* planes, std::size_t stride, std::size_t n, Ready* out) const {
    const std::uint8_t top = static_cast<std::uint8_t>(scales() - 1);
    for (std::size_t i = 0; i < n; ++i) {
        Ready& m = out[i];
        std::uint32_t sum = 0, weight[K];
        std::int32_t radius = LIC_RADIUS_MIN;
        for (std::size_t k = 0; k < K; ++k) {
            const std::size_t scale = std::min(planes[stride * k + i], top);
            m.place[k] = places_[scale * kOffsets + planes[stride * (K + k) + i]];
            radius = std::max(radius, m.place[k].radius);
            weight[k] = std::max<std::uint32_t>(planes[stride * (2 * K + k) + i], 1);
            sum += weight[k];
        }
        std::uint32_t first = kUnit;
        for (std::size_t k = 1; k < K; ++k) {
            // Exact: the dividend is below 2^24 and the excess of the reciprocal below 2^10 in 2^34.
            m.weight[k] = static_cast<std::uint16_t>(weight[k] * kUnit * reciprocal_[sum] >> kQuotientBits);
            first -= m.weight[k];
        }
        m.weight[0] = static_cast<std::uint16_t>(first);
        m.radius = static_cast<std::int16_t>(radius);
        m.spread = static_cast<std::uint16_t>(kUnit - (2 * static_cast<std::uint32_t>(radius) + 1));
    }
}

// The symbols of a block of positions, as the coder asks for them: row i is position i of the block.
template <std::size_t K>
struct Block {
    const Mixture& mixture;
    const Mixture::Ready* ready;
    const std::uint8_t* planes;  // the bytes of position 0, planes `stride` apart: for the definition
    std::size_t stride;
    static constexpr std::int32_t kMiddle = -3;  // first edge of the first window: the symbols -3 ... 3

    std::int32_t first(std::size_t i) const { return -ready[i].radius; }
    std::uint32_t last(std::size_t i) const { return 2 * static_cast<std::uint32_t>(ready[i].radius) + 1; }
    std::uint32_t plain(std::size_t i) const { return last(i); }

    LIC_INLINE Interval find(std::size_t i, std::uint32_t slot) const {
        const Mixture::Ready& m = ready[i];
        alignas(16) std::uint16_t g[kWindow];
        mixture.window<K>(m, kMiddle, g);
        const std::uint32_t n = Mixture::at_most(g, slot);
        if (LIC_RARE(n == 0 || n == kWindow)) return find_far(m, slot, n != 0);
        return {static_cast<std::uint32_t>(g[n] - g[n - 1]), slot - g[n - 1],
                static_cast<std::uint32_t>(kMiddle + static_cast<std::int32_t>(n) - 1 + m.radius)};
    }

    LIC_INLINE Passing coding(std::size_t i, std::uint32_t index) const {
        const Mixture::Ready& m = ready[i];
        if (LIC_RARE(index == last(i))) {
            const std::uint32_t start = mixture.below<K>(m, m.radius + 1);
            return {kTotal - start, start};
        }
        const std::int32_t x = static_cast<std::int32_t>(index) - m.radius;
        alignas(16) std::uint16_t g[kWindow];
        const std::int32_t first = std::min(x, m.radius + 2 - kWindow);
        mixture.window<K>(m, first, g);
        const std::uint32_t start = g[x - first];
        return {g[x - first + 1] - start, start};
    }

    // What a symbol costs at position i.
    double bits(std::size_t i, std::int32_t symbol) const {
        const Mixture::Ready& m = ready[i];
        const std::int32_t size = symbol < 0 ? -symbol : symbol;
        if (size <= m.radius) return bits_of(coding(i, static_cast<std::uint32_t>(symbol + m.radius)).freq);
        return bits_of(coding(i, last(i)).freq) + escape_bits(static_cast<std::uint32_t>(size - m.radius - 1));
    }

 private:
    // Galloping outwards from the first window, then halving, until one window holds the slot.
    LIC_APART Interval find_far(const Mixture::Ready& m, std::uint32_t slot, bool up) const {
        // low <= x < high of the symbol x sought, the escape being x = radius + 1: G(low) <= slot < G(high).
        std::int32_t low = up ? kMiddle + kWindow - 1 : -m.radius, high = up ? m.radius + 2 : kMiddle;
        for (std::int32_t leap = kWindow; up && low + leap < high; leap *= 2) {
            if (slot < mixture.below<K>(m, low + leap)) {
                high = low + leap;
                break;
            }
            low += leap;
        }
        for (std::int32_t leap = kWindow; !up && high - leap > low; leap *= 2) {
            if (slot >= mixture.below<K>(m, high - leap)) {
                low = high - leap;
                break;
            }
            high -= leap;
        }
        while (high - low > 1) {
            const std::int32_t middle = low + (high - low) / 2;
            (slot < mixture.below<K>(m, middle) ? high : low) = middle;
        }
        const std::uint32_t start = mixture.below<K>(m, low),
                            end = low > m.radius ? kTotal : mixture.below<K>(m, low + 1);
        return {end - start, slot - start, static_cast<std::uint32_t>(low + m.radius)};
    }
};

// Symbols of known intervals, as the coder asks for them: row i holds symbol i alone.
struct GivenBlock {
    const Passing* intervals;
    const std::int16_t* symbols;

    std::int32_t first(std::size_t i) const { return symbols[i]; }
    std::uint32_t last(std::size_t) const { return 1; }
    const Passing& coding(std::size_t i, std::uint32_t) const { return intervals[i]; }
};

struct Positions {  // the rows of a run under mixtures: position i of the block has mixture i
    std::size_t operator[](std::size_t i) const { return i; }
};

// Calls function(K), K being the number of components as a type.
template <class Function>
auto with_components(std::size_t components, const Function& function) {
    switch (components) {
        case 1:
            return function(std::integral_constant<std::size_t, 1>{});
        case 2:
            return function(std::integral_constant<std::size_t, 2>{});
        case 3:
            return function(std::integral_constant<std::size_t, 3>{});
        default:
            return function(std::integral_constant<std::size_t, 4>{});
    }
}

template <class Coder>
Status Mixture::read_run_of(Reader& in, const std::uint8_t* planes, std::size_t size, std::int16_t* r) const {
    return with_components(components_, [&](auto K) {
        Ready ready[kBlockPositions];
        for (std::size_t i = 0; i < size; i += kBlockPositions) {
            const std::size_t n = std::min(kBlockPositions, size - i);
            prepare<K()>(planes + i, size, n, ready);
            const Block<K()> block{*this, ready, planes + i, size};
            const Status status = Coder::read(in, block, Positions{}, n, r + i);
            if (status != Status::ok) return status;
        }
        return Status::ok;
    });
}

template <class Coder>
void Mixture::write_run_of(Writer& to, const std::uint8_t* planes, std::size_t size, const std::int16_t* r) const {
    with_components(components_, [&](auto K) {
        Ready ready[kBlockPositions];
        for (std::size_t end = size; end > 0;) {
            const std::size_t i = (end - 1) / kBlockPositions * kBlockPositions;
            prepare<K()>(planes + i, size, end - i, ready);
            Coder::write(to, Block<K()>{*this, ready, planes + i, size}, Positions{}, r + i, end - i);
            end = i;
        }
    });
}

template <class Coder>
void Mixture::write_given(Writer& to, const Given& given, const std::uint8_t* planes, std::size_t size,
                          const std::int16_t* r) const {
    with_components(components_, [&](auto K) {
        Ready ready[kBlockPositions];
        for (std::size_t end = size; end > 0;) {
            const std::size_t i = (end - 1) / kBlockPositions * kBlockPositions;
            const Passing *from = given.intervals() + i, *to_here = given.intervals() + end;
            if (std::any_of(from, to_here, Given::is_escape)) {
                prepare<K()>(planes + i, size, end - i, ready);
                write_escapes(to, Block<K()>{*this, ready, planes + i, size}, Positions{}, r + i, end - i);
            }
            Coder::write(to, GivenBlock{from, r + i}, Positions{}, r + i, end - i);
            end = i;
        }
    });
}

template <class Function>
void Mixture::each(const std::uint8_t* planes, std::size_t size, const Function& function) const {
    with_components(components_, [&](auto K) {
        Ready ready[kBlockPositions];
        for (std::size_t i = 0; i < size; i += kBlockPositions) {
            const std::size_t n = std::min(kBlockPositions, size - i);
            prepare<K()>(planes + i, size, n, ready);
            const Block<K()> block{*this, ready, planes + i, size};
            for (std::size_t at = 0; at < n; ++at) function(i + at, block, at);
        }
    });
}

}  // namespace lic

#endif

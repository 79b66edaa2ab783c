// The mixture model of the entropy coder (FORMAT 7.8): lic_cdf.h tabulated, eight points of a cumulative frequency at
// once. Includes lic_cdf.h, range_coder.h, the standard library and SSE2; must not include Python.
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
#include <cstddef>
#include <cstdint>
#include <vector>

#include "lic_cdf.h"
#include "range_coder.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace lic {

constexpr std::size_t kComponents = LIC_COMPONENTS_MAX;
constexpr std::size_t kPlanes = 3;   // bytes of a component: scale, offset, weight
constexpr std::int32_t kWindow = 8;  // edges in one load
constexpr std::uint32_t kUnit = 65535;

class Mixture {
 public:
    // normal: (LIC_NORMAL_STEPS + 1,), inverse: (scales,). Says what is wrong with them, null if nothing is.
    const char* build(const std::uint16_t* normal, const std::uint32_t* inverse, std::size_t scales,
                      std::size_t components) {
        if (components < 1 || components > kComponents) return "components is out of range";
        if (scales < 1 || scales > kModelRowsMax) return "the number of scales is out of range";
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
        return nullptr;
    }

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

    void prepare(const std::uint8_t* planes, std::size_t stride, std::size_t n, Ready* out) const {
        switch (components_) {
            case 1:
                return prepare_k<1>(planes, stride, n, out);
            case 2:
                return prepare_k<2>(planes, stride, n, out);
            case 3:
                return prepare_k<3>(planes, stride, n, out);
            default:
                return prepare_k<4>(planes, stride, n, out);
        }
    }

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
#if defined(__SSE2__)
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
#if defined(__SSE2__)
        const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(g));
        const __m128i above =
            _mm_subs_epu16(values, _mm_set1_epi16(static_cast<std::int16_t>(slot)));      // 0 where G <= slot
        const int mask = _mm_movemask_epi8(_mm_cmpeq_epi16(above, _mm_setzero_si128()));  // its low bits, as G ascends
        return static_cast<std::uint32_t>(__builtin_ctz(~static_cast<unsigned>(mask))) / 2;
#else
        std::uint32_t n = 0;
        for (std::int32_t i = 0; i < kWindow; ++i) n += g[i] <= slot;
        return n;
#endif
    }

 private:
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

    template <std::size_t K>
    void prepare_k(const std::uint8_t* planes, std::size_t stride, std::size_t n, Ready* out) const {
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

    static constexpr unsigned kQuotientBits = 34;

    std::size_t components_ = 0;
    std::vector<std::uint16_t> normal_;
    std::vector<std::uint32_t> inverse_;
    std::vector<Place> places_;           // (scales, kOffsets)
    std::vector<std::uint16_t> entries_;  // rows, one after the other
    std::uint64_t reciprocal_[kComponents * 255 + 1] = {};
};

// The symbols of a block of positions, as the coder asks for them: row i is position i of the block.
template <std::size_t K>
struct Block {
    const Mixture& mixture;
    const Mixture::Ready* ready;
    const std::uint8_t* planes;  // the bytes of position 0, planes `stride` apart: for the slow twin
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

    // By the words of FORMAT 7.8.
    Interval find_slow(std::size_t i, std::uint32_t slot) const {
        const LicMixture m = mixture.slow(planes + i, stride);
        std::uint32_t j = 0, start = 0;
        for (; j < 2 * static_cast<std::uint32_t>(m.radius) + 1; ++j) {
            const std::uint32_t end = mixture.below_slow(m, static_cast<std::int32_t>(j) - m.radius + 1);
            if (slot < end) return {end - start, slot - start, j};
            start = end;
        }
        return {kTotal - start, slot - start, j};
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

}  // namespace lic

#endif

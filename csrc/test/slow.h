// The twin of tests: runs and the map by the words of FORMAT 7, one symbol and one position at a time, in the place of
// `Fast` of tile.h. Not part of the product.
#ifndef LIC_SLOW_H
#define LIC_SLOW_H

#include <cstddef>
#include <cstdint>
#include <utility>
#include <variant>
#include <vector>

#include "../model.h"

namespace lic {

struct Slow {
    // FORMAT 7.3: the one index with G_j <= slot < G_j + g_j.
    static Interval find(const Bank& bank, std::size_t row, std::uint32_t slot) {
        std::uint32_t start = 0;
        for (std::uint32_t j = 0;; ++j) {
            const std::uint32_t freq = bank.coding(row, j).freq;
            if (slot < start + freq) return {freq, slot - start, j};
            start += freq;
        }
    }

    // FORMAT 7.8, by lic_cdf.h.
    template <std::size_t K>
    static Interval find(const Block<K>& block, std::size_t i, std::uint32_t slot) {
        const LicMixture m = block.mixture.slow(block.planes + i, block.stride);
        std::uint32_t j = 0, start = 0;
        for (; j < 2 * static_cast<std::uint32_t>(m.radius) + 1; ++j) {
            const std::uint32_t end = block.mixture.below_slow(m, static_cast<std::int32_t>(j) - m.radius + 1);
            if (slot < end) return {end - start, slot - start, j};
            start = end;
        }
        return {kTotal - start, slot - start, j};
    }

    // FORMAT 7.2, of a row of z.
    static Interval find(const ZRows& rows, std::size_t row, std::uint32_t slot) {
        for (std::uint32_t j = 0;; ++j) {
            const Passing at = rows.coding(row, j);
            if (slot < at.start + at.freq) return {at.freq, slot - at.start, j};
        }
    }

    // The words of a run, then its escapes.
    template <class Model, class Rows>
    static Status read(Reader& in, const Model& model, Rows rows, std::size_t n, std::int16_t* out) {
        std::vector<std::pair<std::size_t, std::size_t>> escaped;  // positions and rows
        std::fill_n(out, n, std::int16_t{0});
        for (std::size_t i = 0; i < n; ++i) {
            const std::size_t row = rows[i];
            std::uint32_t& x = in.x[i % kStates];
            const Interval hit = find(model, row, x & kSlotMask);
            const std::uint32_t low = hit.freq * (x >> LIC_PROB_BITS) + hit.offset;
            if (low < LIC_STATE_MIN) {
                if (in.back - in.front < 2) return Status::words_end;
                x = low << LIC_WORD_BITS | in.word();
            } else {
                x = low;
            }
            const std::int32_t symbol = model.first(row) + static_cast<std::int32_t>(hit.index);
            if (hit.index == model.last(row)) {
                escaped.emplace_back(i, row);
            } else if (symbol > LIC_SYMBOL_MAX) {
                return Status::symbol_range;
            } else {
                out[i] = static_cast<std::int16_t>(symbol);
            }
        }
        for (const auto& [i, row] : escaped) {
            if (in.back - in.front < 2) return Status::words_end;
            const std::uint32_t first = load_u16(in.front);
            std::uint32_t v = first & 32767;
            if (first >= 32768) {
                if (in.back - in.front < 4) return Status::words_end;
                const std::uint32_t second = load_u16(in.front + 2);
                if (second == 0 || second > 3) return Status::escape_form;
                v += second * 32768;
            }
            in.front += first >= 32768 ? 4 : 2;
            const auto far = static_cast<std::int32_t>(v / 2);
            const std::int32_t value = v % 2 ? model.first(row) - 1 - far
                                             : model.first(row) + static_cast<std::int32_t>(model.last(row)) + far;
            if (value < LIC_SYMBOL_MIN || value > LIC_SYMBOL_MAX) return Status::symbol_range;
            out[i] = static_cast<std::int16_t>(value);
        }
        return Status::ok;
    }

    template <class Model, class Rows>
    static Status read_in_order(Reader& in, const Model& model, Rows rows, std::size_t n, std::int16_t* out) {
        return read(in, model, rows, n, out);
    }

    template <class Model, class Rows>
    static void write(Writer& to, const Model& model, Rows rows, const std::int16_t* symbols, std::size_t n) {
        for (std::size_t i = n; i-- > 0;) {
            const std::int32_t place = symbols[i] - model.first(rows[i]);
            const auto last = static_cast<std::int32_t>(model.last(rows[i]));
            if (place >= 0 && place < last) continue;
            const std::int32_t v = place < 0 ? 2 * (-place - 1) + 1 : 2 * (place - last);
            if (v >= 32768) *--to.words = static_cast<std::uint16_t>(v / 32768);
            *--to.words = static_cast<std::uint16_t>(v % 32768 + (v >= 32768 ? 32768 : 0));
        }
        for (std::size_t i = n; i-- > 0;) {
            const auto c = model.coding(rows[i], index_in(model, rows[i], symbols[i]));
            std::uint32_t& x = to.x[i % kStates];
            if (x >> LIC_WORD_BITS >= c.freq) *--to.words = static_cast<std::uint16_t>(x), x >>= LIC_WORD_BITS;
            x = ((x / c.freq) << LIC_PROB_BITS) + x % c.freq + c.start;
        }
    }

    // FORMAT 7.5, one hyper position at a time.
    static void index(const ScaleMap& map, const std::int16_t* z, const Shape& s, const MapSetting& q,
                      std::uint8_t* out) {
        for (std::size_t hyper = 0; hyper < s.a * s.b; ++hyper) {
            std::vector<std::int32_t> v(map.C());
            for (std::size_t c = 0; c < map.C(); ++c) v[c] = dequantise(z[c * s.a * s.b + hyper], q.d[c]);
            for (const Layer& layer : map.layers()) {
                std::vector<std::int32_t> next(layer.out);
                for (std::size_t k = 0; k < layer.out; ++k) {
                    std::int32_t acc = layer.offset[k];
                    for (std::size_t c = 0; c < layer.in; ++c) acc += layer.weight[k * layer.in + c] * v[c];
                    next[k] = Layer::activate(acc);
                }
                v.swap(next);
            }
            for (std::size_t k = 0; k < kCell * map.M(); ++k) {
                const std::size_t m = k / kCell, y = hyper / s.b * kSide + k % kCell / kSide,
                                  x = hyper % s.b * kSide + k % kSide;
                if (y >= s.h || x >= s.w) continue;
                std::int32_t acc = map.offset(k) + q.bias[m];
                for (std::size_t c = 0; c < map.inputs(); ++c) acc += map.weight(k, c) * v[c];
                out[(m * s.h + y) * s.w + x] = index_of(acc, q.values);
            }
        }
    }

    // Model's own, by this coder.
    static Outcome decode(const lic::Model& model, const Setting& q, const Shape& s, const Streamed& from,
                          std::int16_t* z, std::int16_t* r) {
        const auto run = [&](const auto& kind) { return decode_tile<Slow>(coding(model, kind, q), s, from, z, r); };
        return std::visit(run, model.residual());
    }
    static Status encode(const lic::Model& model, const Setting& q, const Shape& s, const std::int16_t* z,
                         const std::int16_t* r, Stream& out) {
        const auto run = [&](const auto& kind) { return encode_tile<Slow>(coding(model, kind, q), s, z, r, out); };
        return std::visit(run, model.residual());
    }

 private:
    template <class Kind>
    static TileCoding<Kind> coding(const lic::Model& model, const Kind& kind, const Setting& q) {
        return {model.banks().scales, model.banks().z, model.map(), kind, q};
    }
};

}  // namespace lic

#endif

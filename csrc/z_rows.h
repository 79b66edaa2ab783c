// The probability rows of z (FORMAT 7.2) and which of them a symbol is coded under (7.4): by the channels before it at
// its position and, in models that say so, by its neighbours in its own channel.
// Includes bank.h and the standard library; must not include Python.
//
// READ ME FIRST
// - There are tens of thousands of rows and few symbols of z: so a row is kept as its frequencies alone, and an
// interval
//   is found by walking along them.
// - With neighbours, a row is known only when the symbol before it is: such a run is decoded one symbol at a time.
#ifndef LIC_Z_ROWS_H
#define LIC_Z_ROWS_H

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "bank.h"

namespace lic {

class ZRows {
 public:
    // As Bank::build.
    std::optional<RowFault> build(const std::uint16_t* freq, std::size_t freq_total, const std::int32_t* count,
                                  const std::int16_t* first, std::size_t rows) {
        if (const std::optional<RowFault> fault = check_rows(freq, freq_total, count, rows)) return fault;
        freq_.assign(freq, freq + freq_total);
        std::uint32_t base = 0;
        for (std::size_t k = 0; k < rows; base += static_cast<std::uint32_t>(count[k]), ++k) {
            rows_.push_back({base, first[k], static_cast<std::uint16_t>(count[k] - 1)});
        }
        return std::nullopt;
    }

    std::size_t rows() const { return rows_.size(); }
    std::int32_t first(std::size_t row) const { return rows_[row].first; }
    std::uint32_t last(std::size_t row) const { return rows_[row].last; }
    std::uint32_t plain(std::size_t row) const {
        return static_cast<std::uint32_t>(std::min<std::int32_t>(rows_[row].last, LIC_SYMBOL_MAX - first(row) + 1));
    }

    // The row's frequencies sum to 2^16, so the last one always takes the slot.
    Interval find(std::size_t row, std::uint32_t slot) const {
        const std::uint16_t* freq = freq_.data() + rows_[row].base;
        std::uint32_t j = 0;
        while (slot >= freq[j]) slot -= freq[j++];
        return {freq[j], slot, j};
    }

    Passing coding(std::size_t row, std::uint32_t index) const {
        const std::uint16_t* freq = freq_.data() + rows_[row].base;
        std::uint32_t start = 0;
        for (std::uint32_t j = 0; j < index; ++j) start += freq[j];
        return {freq[index], start};
    }

 private:
    struct Row {
        std::uint32_t base;  // its first frequency
        std::int16_t first;
        std::uint16_t last;
    };
    std::vector<Row> rows_;
    std::vector<std::uint16_t> freq_;
};

// ---------------------------------------------------------------------------------------------------------------------
// Contexts

// How z is coded at a quality: (C, levels, classes) rows.
struct ZSetting {
    std::size_t first;           // row of channel 0 at its first level and class
    std::size_t levels;          // of activity
    std::size_t classes;         // of neighbours: LIC_NEIGHBOUR_CLASSES, or 1
    const std::uint16_t* reach;  // (C, levels - 1) activities at which a level begins, the model's
};

// The class of a symbol by those on its left and above it.
inline std::size_t neighbour_class(std::int32_t left, std::int32_t above) {
    const std::int32_t size = std::abs(left) + std::abs(above), sum = left + above;
    if (size == 0) return 0;
    const std::int32_t sign = (sum > 0) - (sum < 0);
    return static_cast<std::size_t>(3 * std::min(size, std::int32_t{LIC_NEIGHBOUR_MAX}) - 2 + 1 + sign);
}

// The rows of a channel of a x b positions, given the activity of the channels before it: row i is asked for when
// z[0] ... z[i - 1] are known. At an edge the one neighbour that is there stands for both.
class ZChannel {
 public:
    ZChannel(const ZSetting& q, std::size_t c, const std::uint16_t* activity, std::size_t n, std::size_t columns)
        : classes_(q.classes),
          columns_(columns),
          rows_(n, static_cast<std::uint16_t>(q.first + c * q.levels * q.classes)) {
        const std::uint16_t* from = q.reach + c * (q.levels - 1);
        for (std::size_t k = 0; k + 1 < q.levels; ++k) {
            for (std::size_t i = 0; i < n; ++i) {
                rows_[i] = static_cast<std::uint16_t>(rows_[i] + (activity[i] >= from[k] ? classes_ : 0));
            }
        }
    }

    bool alone() const { return classes_ == 1; }  // whether no row depends on a neighbour
    const std::uint16_t* rows() const { return rows_.data(); }

    // All rows, of a channel that is known.
    void complete(const ZRows& bank, const std::int16_t* z) {
        if (alone()) return;
        std::vector<std::int16_t> seen(z, z + rows_.size());
        for (std::size_t i = 0; i < rows_.size(); ++i) {
            const std::size_t at = row(seen.data(), i);
            rows_[i] = static_cast<std::uint16_t>(at);
            if (static_cast<std::uint32_t>(z[i] - bank.first(at)) >= bank.last(at)) seen[i] = 0;
        }
    }

    // z: those before i, 0 where they are escaped: what they are is known only when the run is over.
    std::size_t row(const std::int16_t* z, std::size_t i) const {
        const std::size_t column = i % columns_;
        if (i == 0) return rows_[0];
        const std::int32_t left = z[column > 0 ? i - 1 : i - columns_], above = z[i >= columns_ ? i - columns_ : i - 1];
        return rows_[i] + neighbour_class(left, above);
    }

 private:
    std::size_t classes_, columns_;
    std::vector<std::uint16_t> rows_;
};

// The rows of a channel while it is read.
struct ZRowsAhead {
    const ZChannel& channel;
    const std::int16_t* z;
    std::size_t operator[](std::size_t i) const { return channel.row(z, i); }
};

// A channel's n values added to the activity: at most LIC_ACTIVITY_MAX * LIC_CHANNELS_MAX in all.
inline void add_activity(const std::int16_t* z, std::size_t n, std::uint16_t* activity) {
    for (std::size_t i = 0; i < n; ++i) {
        const std::int32_t size = z[i] < 0 ? -z[i] : z[i];
        activity[i] = static_cast<std::uint16_t>(activity[i] + (size < LIC_ACTIVITY_MAX ? size : LIC_ACTIVITY_MAX));
    }
}

struct ZShape {
    std::size_t channels, rows, columns;
};

// The rows (C, a, b) of all of z.
inline void all_z_rows(const ZRows& bank, const ZSetting& q, const ZShape& s, const std::int16_t* z,
                       std::uint16_t* rows) {
    const std::size_t n = s.rows * s.columns;
    std::vector<std::uint16_t> activity(n);
    for (std::size_t c = 0; c < s.channels; ++c, z += n, rows += n) {
        ZChannel channel(q, c, activity.data(), n, s.columns);
        channel.complete(bank, z);
        std::copy_n(channel.rows(), n, rows);
        add_activity(z, n, activity.data());
    }
}

}  // namespace lic

#endif

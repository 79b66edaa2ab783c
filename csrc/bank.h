// The scale rows of a model (FORMAT 7.2), as the coder of rans.h asks for them; those of z are in z_rows.h.
// Includes rans.h and the standard library; must not include Python.
#ifndef LIC_BANK_H
#define LIC_BANK_H

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "rans.h"

namespace lic {

// What is wrong with rows, as words, and in which of them.
struct RowFault {
    const char* what;
    std::size_t row;
};

inline const char* check_row(const std::uint16_t* freq, std::size_t left, std::int32_t count) {
    if (count < 2 || count > LIC_ROW_MAX) return "the count is out of range";
    if (static_cast<std::size_t>(count) > left) return "the frequencies end too early";
    std::uint32_t sum = 0;  // at most 4096 * 65535
    for (std::int32_t j = 0; j < count; ++j) {
        if (freq[j] == 0) return "a frequency is 0";
        sum += freq[j];
    }
    return sum == kTotal ? nullptr : "the frequencies do not sum to 65536";
}

// freq: (freq_total,) all rows one after the other, count: (rows,). Trusts nothing.
inline std::optional<RowFault> check_rows(const std::uint16_t* freq, std::size_t freq_total, const std::int32_t* count,
                                          std::size_t rows) {
    std::size_t at = 0;
    for (std::size_t k = 0; k < rows; at += static_cast<std::size_t>(count[k]), ++k) {
        if (const char* wrong = check_row(freq + at, freq_total - at, count[k])) return RowFault{wrong, k};
    }
    if (at != freq_total) return RowFault{"frequencies are left over behind the last row", rows ? rows - 1 : 0};
    return std::nullopt;
}

class Bank {
 public:
    // count and first: (rows,). What is wrong, if anything is.
    std::optional<RowFault> build(const std::uint16_t* freq, std::size_t freq_total, const std::int32_t* count,
                                  const std::int16_t* first, std::size_t rows) {
        if (const std::optional<RowFault> fault = check_rows(freq, freq_total, count, rows)) return fault;
        tables_.assign(rows, Table{});
        entries_.reserve(freq_total), codings_.reserve(freq_total);
        for (std::size_t k = 0; k < rows; ++k) add_row(tables_[k], freq + entries_.size(), count[k], first[k]);
        return std::nullopt;
    }

    std::size_t rows() const { return tables_.size(); }
    std::int32_t first(std::size_t row) const { return tables_[row].first; }
    std::uint32_t last(std::size_t row) const { return tables_[row].last; }
    std::uint32_t plain(std::size_t row) const { return tables_[row].plain; }
    const Coding& coding(std::size_t row, std::uint32_t index) const { return codings_[tables_[row].base + index]; }

    // The bucket of the slot's upper eight bits gives the interval in which the bucket begins; the slot lies in it or
    // a few further on. The loop ends: the intervals of a row cover all 2^16 slots, so the last one always takes the
    // slot.
    LIC_INLINE Interval find(std::size_t row, std::uint32_t slot) const {
        const Table& table = tables_[row];
        const std::uint32_t* entries = entries_.data() + table.base;
        std::uint32_t j = table.bucket[slot >> kBucketShift];
        std::uint32_t entry = entries[j];
        while (slot - (entry >> 16) >= (entry & 0xFFFF)) entry = entries[++j];
        return {entry & 0xFFFF, slot - (entry >> 16), j};
    }

 private:
    static constexpr unsigned kBucketBits = 8, kBucketShift = LIC_PROB_BITS - kBucketBits;

    // All that a row's decoding needs first lies together: 524 bytes, 64 rows in 33 KiB.
    struct Table {
        std::uint32_t base;  // the row's first entry
        std::int16_t first;
        std::uint16_t last, plain;
        std::uint16_t bucket[1u << kBucketBits];
    };

    void add_row(Table& table, const std::uint16_t* freq, std::int32_t count, std::int16_t first) {
        table.base = static_cast<std::uint32_t>(entries_.size());
        table.first = first;
        table.last = static_cast<std::uint16_t>(count - 1);
        table.plain = static_cast<std::uint16_t>(std::min(count - 1, LIC_SYMBOL_MAX - first + 1));  // at most 4095
        std::uint32_t start = 0, bucket = 0;
        for (std::int32_t j = 0; j < count; ++j) {
            const std::uint32_t g = freq[j], end = start + g;
            entries_.push_back(g | start << 16);  // start <= 65535, as g >= 1 and the sum is 65536
            codings_.push_back({((std::uint64_t{1} << kReciprocalBits) + g - 1) / g, g, start});
            for (; bucket << kBucketShift < end; ++bucket) table.bucket[bucket] = static_cast<std::uint16_t>(j);
            start = end;
        }
    }

    std::vector<Table> tables_;
    std::vector<std::uint32_t> entries_;  // g_j in the low half, G_j in the high half
    std::vector<Coding> codings_;
};

}  // namespace lic

#endif

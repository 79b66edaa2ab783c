// Intervals of residuals that came with them. Includes rans.h and the standard library; must not include Python.
#ifndef LIC_GIVEN_H
#define LIC_GIVEN_H

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../rans.h"

namespace lic {

// Intervals of symbols that who made them knows already: where each begins and how wide it is. A symbol that its row
// does not hold has that of the escape, which is the last one of every row.
class Given {
 public:
    // start, freq: (n,). Says whether each of them is an interval.
    Status take(const std::int32_t* start, const std::int32_t* freq, std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) {
            const std::int32_t low = start[i], size = freq[i], most = static_cast<std::int32_t>(kTotal);
            if (low < 0 || low >= most || size < 1 || size > most - low) return Status::no_interval;
            intervals_.push_back({static_cast<std::uint32_t>(size), static_cast<std::uint32_t>(low)});
            escapes_ |= size == most - low;
        }
        return Status::ok;
    }

    const Passing* intervals() const { return intervals_.data(); }
    bool escapes() const { return escapes_; }
    static bool is_escape(const Passing& one) { return one.start + one.freq == kTotal; }

 private:
    std::vector<Passing> intervals_;
    bool escapes_ = false;
};

}  // namespace lic

#endif

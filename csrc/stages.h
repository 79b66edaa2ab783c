// The stages of a stream (FORMAT 6.3): which residuals come first. Includes lic_constants.h and the standard library.
#ifndef LIC_STAGES_H
#define LIC_STAGES_H

#include <cstddef>
#include <cstdint>

#include "lic_constants.h"

namespace lic {

// Scale indices from `low` to `high`, both included.
struct IndexRange {
    std::int32_t low, high;
    bool empty() const { return low > high; }
    bool holds(std::uint8_t index) const { return index >= low && index <= high; }
};

// Thresholds of the scale index, falling: a stage holds the residuals whose index is at least its own and below that of
// the stage before it; the last one's is 0.
struct Stages {
    std::size_t count = 1;
    std::uint8_t least[LIC_STAGES_MAX] = {};

    // Those of stage k that are coded, `skip` being the model's.
    IndexRange range(std::size_t k, std::int32_t skip) const {
        const std::int32_t low = least[k], high = k == 0 ? 255 : least[k - 1] - 1;
        return {low > skip ? low : skip, high};
    }
};

// Why thresholds are none, or null.
inline const char* make_stages(const std::uint8_t* thresholds, std::size_t n, Stages& out) {
    if (n >= LIC_STAGES_MAX) return "there are too many stages";
    out = Stages{};
    for (std::size_t k = 0; k < n; ++k) {
        if (thresholds[k] == 0 || (k > 0 && thresholds[k] >= thresholds[k - 1])) {
            return "the thresholds of stages do not fall to 1 at the lowest";
        }
        out.least[k] = thresholds[k];
    }
    out.count = n + 1, out.least[n] = 0;
    return nullptr;
}

}  // namespace lic

#endif

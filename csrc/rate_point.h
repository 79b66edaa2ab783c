// Where a quality lies between the trained rates, and what tables of rates are there (FORMAT 7.1). Includes
// lic_constants.h and the standard library.
#ifndef LIC_RATE_POINT_H
#define LIC_RATE_POINT_H

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "lic_constants.h"

namespace lic {

struct RatePoint {
    std::size_t p = 0, nearest = 0;
    std::int32_t f = 0;  // of 2^LIC_FRACTION_BITS, from row p to the next
};

// Among `points` rates; a table of one has no other place.
inline RatePoint rate_point(std::int32_t q, std::size_t points) {
    if (points < 2) return {};
    constexpr std::int32_t kOne = 1 << LIC_FRACTION_BITS;
    const auto span = static_cast<std::int32_t>(points - 1) * kOne;  // at most 63 * 256
    const std::int32_t position = (q - LIC_QUALITY_MIN) * span / (LIC_QUALITY_MAX - LIC_QUALITY_MIN);
    const std::size_t p = std::min(static_cast<std::size_t>(position >> LIC_FRACTION_BITS), points - 2);
    return {p, static_cast<std::size_t>((position + kOne / 2) >> LIC_FRACTION_BITS),
            position - kOne * static_cast<std::int32_t>(p)};
}

// lerp of FORMAT 7.1. Values of up to 54 bits.
inline std::int64_t lerp(std::int64_t low, std::int64_t high, std::int32_t f) {
    constexpr std::int64_t kOne = std::int64_t{1} << LIC_FRACTION_BITS;
    return (low * (kOne - f) + high * f + kOne / 2) >> LIC_FRACTION_BITS;
}

}  // namespace lic

#endif

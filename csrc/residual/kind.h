// What a residual kind is made of. Includes bank.h, tables.h and the standard library; must not include Python.
#ifndef LIC_KIND_H
#define LIC_KIND_H

#include <cstddef>
#include <cstdint>

#include "../bank.h"
#include "../tables.h"

namespace lic {

constexpr std::int32_t kByteValues = 256;

// What a model must have for its kind.
struct KindSizes {
    std::size_t scale_rows;  // of the bank, before those of z
    std::size_t planes;      // of the map, for each channel of r
};

struct KindParts {
    const Tables& tables;
    const Numbers& numbers;
    const Bank& bank;

    std::int32_t rows() const { return static_cast<std::int32_t>(numbers.rows); }
    std::int32_t skip() const { return static_cast<std::int32_t>(numbers.skip); }
};

}  // namespace lic

#endif

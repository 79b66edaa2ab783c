// The list of residual kinds: the one place of the core that names them. A kind is a class in a header of its own with
//
//     name(), kArrays       its name, and its own arrays of FORMAT 9.2
//     holds(tables)         whether a model's arrays are of this kind
//     sizes(tables, n)      what bank and map must have for it; throws BadModel
//     made(KindParts)       the kind, once those are there; throws BadModel
//     planes, values, spacing, scale_rows, skip, staged, unit
//     read, gather, write   a stage of r from a stream and back (tile.h)
//     price, symbols, quantise
//
// Includes the kinds and the standard library; must not include Python.
#ifndef LIC_KINDS_H
#define LIC_KINDS_H

#include <variant>
#include <vector>

#include "gaussian.h"
#include "kind.h"
#include "mixture.h"
#include "trellis.h"

namespace lic {

// A model is of the first of them that holds its arrays; the last one holds any.
using Residual = std::variant<Mixture, Trellis, Gaussian>;

// How a model's residuals are coded, as its arrays tell before bank and map are made.
struct Planned {
    KindSizes sizes;
    Residual (*make)(const KindParts& parts);
};

template <std::size_t I = 0>
Planned planned(const Tables& tables, const Numbers& numbers) {
    using Kind = std::variant_alternative_t<I, Residual>;
    if constexpr (I + 1 < std::variant_size_v<Residual>) {
        if (!Kind::holds(tables)) return planned<I + 1>(tables, numbers);
    }
    return {Kind::sizes(tables, numbers), [](const KindParts& parts) -> Residual { return Kind::made(parts); }};
}

// The arrays that are some kind's own.
template <std::size_t I = 0>
std::vector<const char*> residual_arrays() {
    std::vector<const char*> names;
    if constexpr (I < std::variant_size_v<Residual>) {
        using Kind = std::variant_alternative_t<I, Residual>;
        names = residual_arrays<I + 1>();
        for (const char* name : Kind::kArrays) names.push_back(name);
    }
    return names;
}

}  // namespace lic

#endif

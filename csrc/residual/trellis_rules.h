// The rules of dependent quantisation, one symbol at a time (FORMAT 7.9). Static functions alone, see cpu.h.
#ifndef LIC_TRELLIS_RULES_H
#define LIC_TRELLIS_RULES_H

#include <cstdint>

#include "../lic_constants.h"

namespace lic {

constexpr unsigned kTrellisStates = LIC_TRELLIS_STATES;
constexpr unsigned kOddState = LIC_TRELLIS_CHECK >> 1, kOddSymbol = LIC_TRELLIS_PATH >> 1;
static_assert(kOddState >= kTrellisStates / 2 && kOddState < kTrellisStates && kOddSymbol < kTrellisStates / 2,
              "`search` finds the two ways into a state by this");

static inline unsigned next_state(unsigned state, std::int32_t symbol) {
    return (state >> 1) ^ ((0u - (state & 1)) & kOddState) ^ ((0u - (static_cast<unsigned>(symbol) & 1)) & kOddSymbol);
}

// The level of a symbol: where the index is below `trellis`, and in an even or odd state.
static inline std::int32_t plain_level(std::int32_t symbol) { return LIC_LEVEL_PLAIN * symbol; }
static inline std::int32_t trellis_level(std::int32_t symbol, std::int32_t odd) {
    return LIC_LEVEL_TRELLIS * symbol - LIC_LEVEL_TRELLIS / 2 * odd * ((symbol > 0) - (symbol < 0));
}

}  // namespace lic

#endif

// The search with AVX-512. See cpu.h for what such a file may include.
#include "../intrinsics.h"
#include "trellis_block.h"

namespace lic {
namespace {

struct Forward512 {  // all positions in one register
    LIC_OWN void operator()(const float* from, float* to, const float* cost, const std::uint8_t* in,
                            std::uint8_t* parity) const {
        static_assert(kTogether == 16, "floats of a register");
        const __mmask16 inside =
            _mm_test_epi8_mask(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in)), _mm_set1_epi8(1));
        for (std::size_t odd = 0; odd < 2; ++odd) {
            const __m512 even_cost = _mm512_loadu_ps(cost + odd * 2 * kTogether),
                         odd_cost = _mm512_loadu_ps(cost + (odd * 2 + 1) * kTogether);
            for (std::size_t u = 0; u < kTrellisStates / 2; ++u) {
                const std::size_t target = odd ? u ^ kOddState : u;
                const __m512 even = _mm512_add_ps(_mm512_loadu_ps(from + (2 * u + odd) * kTogether), even_cost);
                const __m512 other =
                    _mm512_add_ps(_mm512_loadu_ps(from + (2 * (u ^ kOddSymbol) + odd) * kTogether), odd_cost);
                const __mmask16 chosen = _mm512_cmp_ps_mask(other, even, _CMP_LT_OQ);
                const __m512 least = _mm512_mask_mov_ps(even, chosen, other);
                _mm512_storeu_ps(to + target * kTogether,
                                 _mm512_mask_mov_ps(_mm512_loadu_ps(from + target * kTogether), inside, least));
                _mm_storeu_si128(reinterpret_cast<__m128i*>(parity + target * kTogether), _mm_movm_epi8(chosen));
            }
        }
    }
};

}  // namespace

void search_block_avx512(const Sought& t, std::size_t first, const Paths& work) {
    search_block(t, first, work, Forward512{});
}

}  // namespace lic

// The search with AVX2: the compiler's own vectors. See cpu.h for what such a file may include.
#include "trellis_block.h"

namespace lic {

void search_block_avx2(const Sought& t, std::size_t first, const Paths& work) {
    search_block(t, first, work, Forward{});
}

}  // namespace lic

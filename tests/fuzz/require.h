// What fuzzers hold to: an invariant that is broken ends the process, whatever the build.
#ifndef LIC_FUZZ_REQUIRE_H
#define LIC_FUZZ_REQUIRE_H

#include <cstdio>
#include <cstdlib>

#define REQUIRE(condition)                                                                 \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            std::fprintf(stderr, "line %d: invariant broken: %s\n", __LINE__, #condition); \
            std::abort();                                                                  \
        }                                                                                  \
    } while (0)

#endif

#!/usr/bin/env bash
# tests/fuzz/run.sh PYTHON SECONDS: each fuzzer for so many seconds by clang++ with libFuzzer (Debian: clang,
# libclang-rt-14-dev), for a quarter of them by g++'s sanitizers and in threads under g++'s ThreadSanitizer; and a
# hundred million mixtures (a minute or two).
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${1:-python3}
seconds=${2:-600}
clang=${CLANGXX:-$(command -v clang++ || command -v clang++-14 || true)}
gcc=${GXX:-$(command -v g++ || true)}
flags=(-O1 -g -fno-sanitize-recover=all)
mkdir -p build/corpus build/corpus_fuzz_nn
corpus_of() { [ "$1" = fuzz_tile ] && echo build/corpus || echo "build/corpus_$1"; }

# driven FOLDER THREADS SANITIZERS: g++ has no libFuzzer; drive.cpp takes its place.
driven() {
    csrc/compile.sh "build/$1" "$gcc" "${flags[@]}" "-fsanitize=$3"
    for target in fuzz_tile fuzz_nn; do
        "$gcc" "${flags[@]}" -std=c++17 "-fsanitize=$3" -Icsrc "tests/fuzz/$target.cpp" tests/fuzz/drive.cpp \
            build/"$1"/*.o -o "build/$1/$target"
        echo "$target, g++ -fsanitize=$3, $2 threads:"
        find "$(corpus_of "$target")" -type f -print0 | head -z -n 2000 |
            xargs -0 "build/$1/$target" "$((seconds / 4 + 1))" "$2"
    done
}

if [ -n "$clang" ]; then
    csrc/compile.sh build/fuzz "$clang" "${flags[@]}" -fsanitize=fuzzer-no-link,address,undefined
    for target in fuzz_tile fuzz_nn; do
        "$clang" "${flags[@]}" -std=c++17 -fsanitize=fuzzer,address,undefined -Icsrc \
            "tests/fuzz/$target.cpp" build/fuzz/*.o -o "build/$target"
        "build/$target" -max_len=4096 -rss_limit_mb=2048 -max_total_time="$seconds" -print_final_stats=1 \
            "$(corpus_of "$target")" 2>&1 | tail -n 12
    done
else
    echo "no clang++ found: libFuzzer is skipped; set CLANGXX or install clang" >&2
fi
if [ -n "$gcc" ]; then
    driven fuzz-gcc 1 address,undefined
    driven fuzz-threads 4 thread
else
    echo "no g++ found: its sanitizers are skipped; set GXX or install g++" >&2
fi
"$python" tests/fuzz/fuzz_format.py "$seconds"
"$python" tests/support/mixture_sets.py 1e8

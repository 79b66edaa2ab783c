#!/usr/bin/env bash
# tests/fuzz/run.sh PYTHON SECONDS: each fuzzer for so many seconds, and a hundred million mixtures (a minute or two). Needs clang++ with libFuzzer (Debian: clang, libclang-rt-14-dev).
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${1:-python3}
seconds=${2:-600}
clang=${CLANGXX:-$(command -v clang++ || command -v clang++-14 || true)}
mkdir -p build/corpus
if [ -n "$clang" ]; then
    flags=(-O1 -g -fno-sanitize-recover=all)
    csrc/compile.sh build/fuzz "$clang" "${flags[@]}" -fsanitize=fuzzer-no-link,address,undefined
    for target in fuzz_tile fuzz_nn; do
        "$clang" "${flags[@]}" -std=c++17 -fsanitize=fuzzer,address,undefined -Icsrc \
            "tests/fuzz/$target.cpp" build/fuzz/*.o -o "build/$target"
        corpus=build/corpus
        [ "$target" = fuzz_tile ] || corpus=build/corpus_$target
        mkdir -p "$corpus"
        "build/$target" -max_len=4096 -rss_limit_mb=2048 -max_total_time="$seconds" -print_final_stats=1 "$corpus" 2>&1 | tail -n 12
    done
else
    echo "no clang++ found: the C++ fuzzer is skipped; set CLANGXX or install clang" >&2
fi
"$python" tests/fuzz/fuzz_format.py "$seconds"
"$python" tests/support/mixture_sets.py 1e8

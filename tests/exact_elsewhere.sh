#!/usr/bin/env bash
# tests/exact_elsewhere.sh: the native engine's integers by every compiler and machine that can be had here, each in a folder of its own under
# build/exact: g++, with threads and without, clang++, and 64-bit ARM under qemu. Prints what each gives; fails unless all hashes are one.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=()
try() {  # NAME COMPILER RUNNER...
    local name=$1 compiler=$2
    shift 2
    command -v "$compiler" > /dev/null || { echo "$name: no $compiler here, left out"; return; }
    csrc/compile.sh "build/exact/$name" "$compiler" -O2 $more
    "$compiler" -O2 $more -std=c++17 -ffp-contract=off -Icsrc csrc/test/exact.cpp "build/exact/$name"/*.o -static -pthread -o "build/exact/$name/exact"
    runs+=("$("$@" "build/exact/$name/exact" | sed "s/\$/, $name/")")
    echo "${runs[-1]}"
}
more=
try g++ g++ env
more=-DLIC_THREADS=0  # as machines without threads have it
try g++-without-threads g++ env
more=
try clang++ clang++ env
try aarch64 aarch64-linux-gnu-g++ qemu-aarch64
different=$(printf '%s\n' "${runs[@]}" | cut -d' ' -f1 | sort -u | wc -l)
[ "$different" = 1 ] || { echo "$different different hashes"; exit 1; }

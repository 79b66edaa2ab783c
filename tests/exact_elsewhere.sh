#!/usr/bin/env bash
# tests/exact_elsewhere.sh: the native engine's integers by every compiler and machine that can be had here, each in a
# folder of its own under build/exact: g++, with threads and without, clang++, 64-bit ARM under qemu, and by zig
# Windows under wine and WebAssembly in node. Prints what each gives; fails unless all hashes are one. ZIG: the Python
# that has ziglang (make exact-elsewhere installs it).
set -euo pipefail
cd "$(dirname "$0")/.."
zig=${ZIG:-build/zig/bin/python}
export WINEDEBUG=-all WINEPREFIX=$PWD/build/exact/wine NODE_NO_WARNINGS=1
runs=()
there() {  # NAME PROGRAMS...: whether all of them are here
    local name=$1 program
    shift
    for program in "$@"; do
        command -v "$program" > /dev/null || { echo "$name: no $program here, left out"; return 1; }
    done
}
try() {  # NAME COMPILER RUNNER...
    local name=$1 compiler=$2 folder=build/exact/$1 made=build/exact/$1/exact$ending
    shift 2
    csrc/compile.sh "$folder" "$compiler" -O2 $more
    # shellcheck disable=SC2086  # several words each
    $compiler -O2 $more -std=c++17 -ffp-contract=off -Icsrc csrc/test/exact.cpp $sources "$folder"/*.o $link -o "$made"
    runs+=("$("$@" "$made" | tr -d '\r' | sed "s/\$/, $name/")")
    echo "${runs[-1]}"
}
more= ending= sources= link="-static -pthread"
there g++ g++ && try g++ g++ env
more=-DLIC_THREADS=0  # as machines without threads have it
there g++-without-threads g++ && try g++-without-threads g++ env
more=
there clang++ clang++ && try clang++ clang++ env
there aarch64 aarch64-linux-gnu-g++ qemu-aarch64 && try aarch64 aarch64-linux-gnu-g++ qemu-aarch64
wine=$(command -v wine64 || command -v wine || echo /usr/lib/wine/wine64)  # where Debian hides it
link= ending=.exe
there windows "$zig" "$wine" && try windows "$zig -m ziglang c++ -target x86_64-windows-gnu" "$wine"
more=-msimd128 ending=.wasm sources=browser/exceptions.cpp
there webassembly "$zig" node && try webassembly "$zig -m ziglang c++ -target wasm32-wasi" node tests/browser/wasi.mjs
different=$(printf '%s\n' "${runs[@]}" | cut -d' ' -f1 | sort -u | wc -l)
[ "$different" = 1 ] || { echo "$different different hashes"; exit 1; }

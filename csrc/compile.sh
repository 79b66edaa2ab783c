#!/usr/bin/env bash
# csrc/compile.sh FOLDER COMPILER [FLAGS...]: the core without CMake and without Python, as FOLDER/*.o, each file with
# the flags of its instruction set (instruction_sets.txt). For fuzzers, other programs, and machines with a compiler
# alone. Link the files that it makes. COMPILER may be several words: "python -m ziglang c++ -target wasm32-wasi".
# LIC_ONLY in the environment, an extended regular expression, chooses files by their names in csrc/.
set -euo pipefail
folder=$1
read -ra compiler <<< "$2"
shift 2
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$folder"
flags=(-std=c++17 -ffp-contract=off -fPIC "-I$here" "$@")
"${compiler[@]}" --version | grep -qi clang && gnu= || gnu=-fno-tree-pre  # see CMakeLists.txt
x86=$(echo | "${compiler[@]}" -E -dM -x c++ - | grep -cE '__x86_64__' || true)
running=()
while IFS= read -r source; do
    name=${source#"$here/"}
    name=${name%.cpp}
    [[ $name =~ ${LIC_ONLY:-.} ]] || continue
    own=$(awk -F'|' -v set="${name##*_}" '$1 == set { print $2 }' "$here/instruction_sets.txt")
    [ -z "$own" ] || [ "$x86" != 0 ] || continue
    [ -z "$own" ] || own+=" $gnu"
    # shellcheck disable=SC2086  # `own` holds several flags
    "${compiler[@]}" "${flags[@]}" $own -c "$source" -o "$folder/${name//\//-}.o" &
    running+=($!)
done < <(find "$here" -name '*.cpp' -not -name 'bind*.cpp' -not -path '*/test/*' | sort)
for job in "${running[@]}"; do wait "$job"; done

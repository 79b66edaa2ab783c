#!/usr/bin/env bash
# csrc/tidy.sh BIN [BUILD]: clang-tidy (.clang-tidy) over the core, a file for each CPU at a time. A file is checked
# again when it, a header or the checks have changed: BUILD, by default build/tidy, keeps marks of what was clean.
set -euo pipefail
bin=$1 build=${2:-build/tidy}
cd "$(dirname "$0")/.."
export bin build PATH="$PWD/$bin:$PATH"
cmake -S . -B "$build" -DCMAKE_EXPORT_COMPILE_COMMANDS=ON -DLIC_BUILD_TESTS=ON \
    -Dpybind11_DIR="$("$bin/python" -c 'import pybind11; print(pybind11.get_cmake_dir())')" \
    -DPython_EXECUTABLE="$bin/python" > "$build.log" 2>&1 || { cat "$build.log"; exit 1; }
# A file that two targets compile is checked once.
"$bin/python" - "$build/compile_commands.json" << 'EOF'
import json, sys
from pathlib import Path
commands = Path(sys.argv[1])
once = {command["file"]: command for command in json.loads(commands.read_text())}
commands.write_text(json.dumps(list(once.values()), indent=1))
EOF
common=$( (cat .clang-tidy CMakeLists.txt csrc/instruction_sets.txt csrc/*.h csrc/*/*.h csrc/*/*.inl
    "$bin/clang-tidy" --version) | sha256sum)
export common
check() {
    mark=$build/clean/$( (echo "$common"; echo "$1"; cat "$1") | sha256sum | cut -c1-32)
    [ -e "$mark" ] && return
    "$bin/clang-tidy" -p "$build" --quiet "$1" 2> "$mark.log" || { cat "$mark.log"; return 1; }
    mv "$mark.log" "$mark"
}
export -f check
mkdir -p "$build/clean"
# Files of other machines have no command to be compiled with.
grep -o '"file": "[^"]*/csrc/[^"]*"' "$build/compile_commands.json" | sed 's#.*/\(csrc/[^"]*\)"#\1#' | sort -u |
    xargs -P "$(nproc 2> /dev/null || echo 2)" -I {} bash -c 'check {}'

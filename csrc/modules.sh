#!/bin/sh
# csrc/modules.sh PYTHON COMPILER [FOLDER]: _core and _core_test into FOLDER, by default pillow_lic/, without CMake and
# without a network. pybind11's headers come with PyTorch. COMPILER may be several words, as of compile.sh.
set -e
python=$1 compiler=$2 folder=${3:-pillow_lic}
csrc/compile.sh build/core "$compiler" -O3 -fvisibility=hidden
ask() { "$python" -c "import os, sysconfig; $1"; }
include=$(ask 'print(sysconfig.get_path("include"))')
torch=$(ask 'import torch; print(os.path.join(os.path.dirname(torch.__file__), "include"))')
suffix=$(ask 'print(sysconfig.get_config_var("EXT_SUFFIX"))')
module() {
    out=$1
    shift
    $compiler -O3 -std=c++17 -ffp-contract=off -fvisibility=hidden -shared -fPIC -Icsrc "-I$include" "-I$torch" \
        "$@" build/core/*.o -o "$folder/$out$suffix"
}
module _core csrc/bind.cpp csrc/bind_nn.cpp csrc/bind_jpeg.cpp
module _core_test csrc/test/bind_test.cpp csrc/bind_nn.cpp

# The one home of commands. `make help` lists them.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
# $(call extra,NAME): what an extra of pyproject.toml wants, without building the package once more.
wanted  = import sys, tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	print(*project["optional-dependencies"][sys.argv[1]])
extra   = $(PIP) install -q -c constraints.txt $$($(BIN)/python -c '$(wanted)' $(1))
STAMP  := $(VENV)/.installed
SOURCES := $(shell find pillow_lic csrc kernels autoload -type f -not -name '*.pyc' 2>/dev/null) \
	CMakeLists.txt pyproject.toml constraints.txt
GPU_PYTHON ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))
FUZZ_SECONDS ?= 600
IMAGES ?= ../shared/data/kodak
PHOTOS ?= ../shared/data/photos
GPU_IMAGES ?= $(wildcard $(IMAGES))
MINUTES ?= 9
MODEL ?= photo
ZIG    := build/zig/bin/python
# A worker for each core, four at most; networks with a thread each. Files whose tests share fixtures stay together.
WORKERS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n logical --maxprocesses 4
unexport PYTHONDONTWRITEBYTECODE  # tests start hundreds of interpreters

.PHONY: help install quick test lint docs dist exact-elsewhere demo browser fuzz gpu train-gpu bench bench-rd \
	bench-speed bench-coder bench-exact bench-large toy clean

help:            ## this list
	@grep -E '^[a-z-]+: .*##|^[a-z-]+:  *##' $(MAKEFILE_LIST) | sed 's/:.*##/  -/'

$(STAMP): $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -q --upgrade pip
	$(PIP) install -q -c constraints.txt torch numpy
	$(PIP) install -q -c constraints.txt -C cmake.define.LIC_BUILD_TESTS=ON -e ".[imageio,train,test]"
	touch $@

install: $(STAMP) ## environment in .venv with the package and what the tests need

quick: $(STAMP)  ## seconds: format, coder, layers, golden errors, documents; no network is run
	$(WORKERS) --dist worksteal -m quick

test: $(STAMP)   ## everything that needs neither a GPU nor outside data
	$(WORKERS) --dist loadfile --no-loadscope-reorder tests

lint: $(STAMP)   ## formatters and checkers of Python and C++, types of the package and of the compiled modules
	$(call extra,lint)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest pillow_lic._core --ignore-disjoint-bases 2>/dev/null || \
	    $(BIN)/python -m mypy.stubtest pillow_lic._core
	$(BIN)/clang-format --dry-run -Werror $$(git ls-files csrc kernels tests browser | grep -E '\.(h|cpp|inl|cu|cuh)$$')
	csrc/tidy.sh $(BIN)
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

docs: $(STAMP)   ## the site in build/site: guide, API, format, decisions; a warning is an error
	$(call extra,docs)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

dist: $(STAMP)   ## sdist and wheel in dist/, checked as PyPI will, installed into a clean environment and tried there
	$(PIP) install -q -c constraints.txt build twine check-wheel-contents auditwheel
	rm -rf dist build/clean
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl
	test "$$(uname)" != Linux || $(BIN)/auditwheel show dist/*.whl
	$(PYTHON) -m venv build/clean
	build/clean/bin/python -m pip install -q dist/*.whl
	build/clean/bin/python tests/install/wheel_check.py

demo: $(STAMP)   ## a real photograph to .lic and back: figures and a side-by-side picture in demo/
	$(BIN)/lic demo -o demo/side-by-side.png --force
	$(BIN)/lic encode -q 60 --force -o demo/photograph.lic \
	    "$$($(BIN)/python -c 'from pillow_lic.cli.demo import installed_photograph as f; print(f())')"
	$(BIN)/lic info demo/photograph.lic
	$(BIN)/lic decode --force -o demo/decoded.png demo/photograph.lic

exact-elsewhere: ## one hash of the engine's integers: g++, clang++, ARM (qemu), Windows (wine), WebAssembly (node)
	-apt-get install -y -q --no-install-recommends g++ clang g++-aarch64-linux-gnu qemu-user wine64
	-command -v node > /dev/null || apt-get install -y -q --no-install-recommends nodejs
	-$(MAKE) $(ZIG)
	ZIG=$(ZIG) tests/exact_elsewhere.sh

$(ZIG):
	$(PYTHON) -m venv build/zig
	$@ -m pip --disable-pip-version-check install -q ziglang==0.17.1 || { rm -rf build/zig; exit 1; }

browser: $(STAMP) $(ZIG) ## the decoder for browsers and node: browser/lic.wasm and browser/models/; then serve browser/
	ZIG=$(ZIG) $(BIN)/python browser/build.py

fuzz: $(STAMP)   ## FUZZ_SECONDS for each fuzzer (clang++ with libFuzzer for the C++ one)
	tests/fuzz/run.sh $(BIN)/python $(FUZZ_SECONDS)

# Fetches nothing: on a machine without a network, the Python that holds torch, CuPy and pytest will do.
# GPU_PYTHON has torch, CuPy, pytest, hypothesis, tqdm, and compressai, if its rows are wanted.
gpu:             ## tests, then benches that need a CUDA device: GPU_PYTHON=python GPU_IMAGES=folder GPU_RESULTS=folder
	$(GPU_PYTHON) -c "import pillow_lic._core_test" 2>/dev/null || csrc/modules.sh $(GPU_PYTHON) "$(CXX)"
	failed=0; \
	workers=$$($(GPU_PYTHON) -c "import xdist; print('-n 8')" 2>/dev/null); \
	OMP_NUM_THREADS=2 $(GPU_PYTHON) -m pytest -q -m gpu tests/gpu $$workers || failed=1; \
	$(GPU_PYTHON) bench/gpu.py $(if $(GPU_IMAGES),--images $(GPU_IMAGES)) \
	    $(if $(GPU_RESULTS),--results $(GPU_RESULTS)) || failed=1; \
	exit $$failed

# RUN/checkpoint.part-* are what to carry to the next machine: the same command there goes on exactly.
train-gpu:       ## MINUTES of training on one GPU, from its weights or where RUN stopped; PHOTOS=folder RUN=folder
	@test -n "$(RUN)" || { echo "say where: make train-gpu PHOTOS=folder RUN=folder"; exit 2; }
	test ! $(RUN)/checkpoint.part-aa -nt $(RUN)/checkpoint.pt || cat $(RUN)/checkpoint.part-* > $(RUN)/checkpoint.pt
	$(GPU_PYTHON) -m train.train train/configs/$(MODEL).toml --over train/configs/gpu.toml \
	    --data $(PHOTOS) --out $(RUN) --start pillow_lic/models/$(MODEL) --minutes $(MINUTES)
	rm -f $(RUN)/checkpoint.part-*
	split -b 15M $(RUN)/checkpoint.pt $(RUN)/checkpoint.part-

bench: bench-coder bench-speed bench-rd ## all benches; IMAGES=folder of test images

bench-rd: $(STAMP) ## rate-distortion against live codecs and published curves
	$(PIP) install -q -c constraints.txt -r bench/requirements.txt
	$(BIN)/python bench/rd.py $(IMAGES) --set kodak
	$(BIN)/python bench/figures.py --set kodak
	$(BIN)/python bench/cards.py

bench-speed: $(STAMP) ## encode and decode times against peers in the same run
	$(PIP) install -q -c constraints.txt -r bench/requirements.txt
	$(PIP) install -q --no-deps compressai==1.2.8
	$(BIN)/python bench/speed.py $(IMAGES) --limit 3

bench-coder: $(STAMP) ## symbols per second of the entropy coder
	$(BIN)/python bench/coder.py $(IMAGES)

bench-exact: $(STAMP) ## the same symbols under every thread count, code path and precision
	$(BIN)/python bench/exactness.py $(IMAGES)

bench-large: $(STAMP) ## time and memory from 1 to 100 megapixels
	$(BIN)/python bench/large.py

toy: $(STAMP)    ## train and export the tests' model again (a minute); PHOTOS=folder
	$(BIN)/python -m train.train train/configs/toy.toml --data $(PHOTOS) --out runs/toy
	$(BIN)/python -m train.export runs/toy/checkpoint.pt --data $(PHOTOS) --out runs/toy-model

clean:           ## remove everything that was built
	rm -rf $(VENV) build dist demo runs .pytest_cache

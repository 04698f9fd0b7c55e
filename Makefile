# Everything runs from .venv/, which `make setup` makes; every other target depends on it.
#
#   make demo    read the text in a picture with two models compiled by Neo
#   make test    lint, IR tests (lit), unit and whole-model tests (pytest); test-fast: without whole models, other CPUs
#                and the pages that are followed
#   make bench   Neo beside its peers, one core, interleaved; bench-layers: single layers beside the machine's roofs;
#                bench-scaling: two threads; bench-streams: what moves data beside copies of as many bytes;
#                bench-indexed: scatters, running sums and sorts beside the peers;
#                bench-forest: decision trees; bench-compile: time to the first result, and memory;
#                bench-int8: quantised models; bench-weights: weights as integers; bench-bf16: whole models in bf16
#   make docs    write the generated reference pages under docs/

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.neo-setup
JOBS ?= 2

.DEFAULT_GOAL := test
.PHONY: setup demo test test-fast lint bench bench-layers bench-scaling bench-streams bench-indexed bench-forest bench-compile bench-int8 bench-weights bench-bf16 docs emulators

setup: $(STAMP)

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[onnx,torch,report,dev,bench]'
	touch $@

demo: setup
	$(BIN)/python examples/read_text.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Programs for other CPUs run in QEMU's user mode. Where it is not and cannot be installed, their tests are skipped.
emulators:
	@command -v qemu-aarch64-static >/dev/null || \
	  { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get -qq update && \
	    apt-get -qq install --yes --no-install-recommends qemu-user-static >/dev/null; } || \
	  echo "no qemu-user-static: tests on other CPUs will be skipped (Debian: apt-get install qemu-user-static)"

# One OpenMP thread a process: the tests already run two at a time.
test: lint emulators
	OMP_NUM_THREADS=1 $(BIN)/lit -j$(JOBS) --order=smart test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS)

test-fast: lint
	OMP_NUM_THREADS=1 $(BIN)/lit -j$(JOBS) --order=smart test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -m "not long"

bench: setup
	$(BIN)/python benchmarks/models.py

bench-layers: setup
	$(BIN)/python benchmarks/roofline.py

bench-scaling: setup
	$(BIN)/python benchmarks/scaling.py

bench-streams: setup
	$(BIN)/python benchmarks/streams.py

bench-indexed: setup
	$(BIN)/python benchmarks/indexed.py

bench-forest: setup
	$(BIN)/python benchmarks/forest.py

bench-compile: setup
	$(BIN)/python benchmarks/compile.py

bench-int8: setup
	$(BIN)/python benchmarks/int8.py

bench-bf16: setup
	$(BIN)/python benchmarks/models.py --precision bf16 --against openvino

bench-weights: setup
	$(BIN)/python benchmarks/weight_only.py --models

docs: setup
	$(BIN)/python -m neomlir.tools.docs docs

# make demo: set up, build the demo world, run the whole pipeline.   make test: set up, run all tests.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PROFILE ?= configs/qwen3-vl-8b.yaml
CONSTRAINTS := requirements/constraints.txt

.PHONY: help setup demo test lint format compile bench-data bench-eval bench-sft clean

help:
	@echo "make setup    create $(VENV) with everything that is needed (other targets do it when missing)"
	@echo "make demo     a general model becomes a domain expert, on this machine; results in build/demo"
	@echo "make test     all tests"
	@echo "make lint     ruff and mypy"
	@echo "make compile  write build/post_training.yaml for Kubeflow; PROFILE=configs/... chooses the settings"
	@echo "make bench-data  measure the data stages; one JSON line each, kept in build/bench (about an hour)"
	@echo "make bench-eval  measure evaluation and promotion, likewise (minutes; wants a finished make demo)"
	@echo "make bench-sft   measure packed training against TRL's trainer (minutes)"
	@echo "make clean    delete build/"

setup: $(STAMP)

# torch comes first: everything else accepts the build that is there. On a machine without a GPU, point
# PIP_EXTRA_INDEX_URL at an index with CPU builds of torch: that saves gigabytes.
$(STAMP): $(CONSTRAINTS) pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"Python 3.11 or newer is needed, $(PYTHON) is {v.major}.{v.minor}")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[data,train,export,pipelines,demo,bench,dev]'
	touch $@

demo: setup
	$(BIN)/python -m demo.run

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

compile: setup
	$(BIN)/python -m pipelines compile --profile $(PROFILE) --output build/post_training.yaml

BENCH_DATA := ingest matching dawid_skene voting evolution faults kills information_density
BENCH_EVAL := scoring_speed throughput coverage gate quantisation

bench-data: setup
	set -e; for name in $(BENCH_DATA); do $(BIN)/python -m benchmarks.data.$$name; done

bench-eval: setup
	set -e; for name in $(BENCH_EVAL); do $(BIN)/python -m benchmarks.evaluation.$$name; done

bench-sft: setup
	$(BIN)/python -m benchmarks.training.packing

clean:
	rm -rf build

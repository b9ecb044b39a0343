# make demo: set up, build the demo world, run the whole pipeline.   make test: set up, run all tests.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PROFILE ?= configs/qwen3-vl-8b.yaml
CONSTRAINTS := requirements/constraints.txt

.PHONY: help setup demo base-model chat test models vllm test-vllm lint format compile images sbom locks test-containers cluster cluster-down bench-demo bench-ablations bench-data bench-eval bench-vllm bench-sft bench-rl bench-teacher bench-gpu bench-storage clean

help:
	@echo "make setup    create $(VENV) with everything that is needed (other targets do it when missing)"
	@echo "make demo     a general model becomes a domain expert, on this machine; results in build/demo"
	@echo "make chat     ask the demo's base model and its expert about a picture, in the browser (after make demo)"
	@echo "make base-model  train the demo's base model again, into build/base_model (about an hour; MINI=1: seconds)"
	@echo "make test     all tests"
	@echo "make vllm     vLLM for CPUs in an environment of its own (3 GB); VLM_VLLM_VENV names another folder than build/vllm-venv"
	@echo "make test-vllm  tests against a real vLLM on this machine (minutes; wants make vllm)"
	@echo "make lint     ruff and mypy"
	@echo "make compile  write build/post_training.yaml for Kubeflow; PROFILE=configs/... chooses the settings"
	@echo "make images   build all stage images; IMAGES='ids_scoring ...' ARGS='--gpu --push ...' (docs/images.md)"
	@echo "make sbom     likewise, and a bill of materials of each in build/sbom"
	@echo "make locks    write requirements/*.lock anew after a change of dependencies; needs uv"
	@echo "make test-containers  the miniature pipeline in real containers (podman, debootstrap, root)"
	@echo "make cluster  a Kubeflow on this machine (Docker, kind), with everything, and a user's day on it; not tried yet"
	@echo "make cluster-down  delete it"
	@echo "make bench-demo  the demo's stages against their targets, three worlds, two arithmetics (an hour)"
	@echo "make bench-ablations  the data without each of its parts, and recipes of restoration, in the same worlds (three hours; wants make bench-demo)"
	@echo "make bench-data  measure the data stages; one JSON line each, kept in build/bench (about an hour)"
	@echo "make bench-eval  measure evaluation and promotion, likewise (minutes; wants a finished make demo)"
	@echo "make bench-vllm  greedy answers of a real vLLM against transformers', item by item (minutes; wants make vllm)"
	@echo "make bench-sft   packing against TRL's trainer, forgetting, alignment, Muon against AdamW (four hours; wants make demo)"
	@echo "make bench-rl    hybrid rewards against plain GRPO, each reward alone, three seeds, and what a step costs besides the policy (six hours; wants make demo and make bench-demo)"
	@echo "make bench-teacher  a teacher three times as large against hybrid rewards, three seeds (an hour; wants a finished make demo; MINI=1: minutes)"
	@echo "make bench-gpu   a model of 2 B parameters on a GPU: tokens/s, MFU, memory (minutes; needs a GPU)"
	@echo "make bench-storage  transfers to an S3 server of this machine (needs Swift, see .ci/run)"
	@echo "make clean    delete build/"

setup: $(STAMP)

# torch comes first: everything else accepts the build that is there. On a machine without a GPU, point
# PIP_EXTRA_INDEX_URL at an index with CPU builds of torch: that saves gigabytes.
$(STAMP): $(CONSTRAINTS) pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"Python 3.11 or newer is needed, $(PYTHON) is {v.major}.{v.minor}")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[data,train,export,pipelines,serve,demo,bench,dev]'
	touch $@

demo: setup
	$(BIN)/python -m demo.run

base-model: setup
	$(BIN)/python -m demo.base $(if $(MINI),--mini --out build/base_model_mini)

# One worker more than cores: one of three waits for a disk, a server or a process that it has killed.
TEST_WORKERS ?= 3

# Gradio needs an older Pillow than the stages: the page has an environment of its own, over that of the stages.
CHAT := $(VENV)-chat
CHAT_STAMP := $(CHAT)/.installed

$(CHAT_STAMP): $(STAMP)
	$(PYTHON) -m venv --clear $(CHAT)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > \
		"$$($(CHAT)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/stages.pth"
	grep -vi '^pillow==' $(CONSTRAINTS) > $(CHAT)/constraints.txt
	$(CHAT)/bin/python -m pip install --quiet --constraint $(CHAT)/constraints.txt --editable '.[chat]'
	touch $@

chat: $(CHAT_STAMP)
	$(CHAT)/bin/python -m pipelines chat $(ARGS)

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

models: setup
	OMP_NUM_THREADS=1 VLM_WRITE_MODELS=1 $(BIN)/python -m pytest tests/families/test_matrix.py -m "matrix or not matrix" --deselect tests/families/test_matrix.py::test_the_docs_have_the_matrix_that_families_state_and_cells_prove

VLM_VLLM_VENV ?= build/vllm-venv
VLLM_STAMP := $(VLM_VLLM_VENV)/.installed

vllm: $(VLLM_STAMP)

$(VLLM_STAMP): requirements/vllm/build.sh requirements/vllm/torchvision_cpu.py $(CONSTRAINTS) pyproject.toml
	requirements/vllm/build.sh $(PYTHON) $(VLM_VLLM_VENV)
	touch $@

test-vllm: setup
	VLM_VLLM_VENV=$(abspath $(VLM_VLLM_VENV)) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 0 tests/vllm

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

compile: setup
	$(BIN)/python -m pipelines compile --profile $(PROFILE) --output build/post_training.yaml

# Build what is not built yet. IMAGES: which, all by default. ARGS: options of `python -m images.build`.
images: setup
	$(BIN)/python -m images.build $(IMAGES) $(ARGS)

sbom: setup
	$(BIN)/python -m images.build $(IMAGES) $(ARGS) --sbom build/sbom

# Complete, with hashes, one file a dependency group. FIND_LINKS: a directory with wheels that no index has.
UV ?= uv
LOCK := $(UV) pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-package vlm-posttrain \
	$(addprefix --find-links ,$(FIND_LINKS)) pyproject.toml
LOCK_3_11 := $(LOCK) --python-version 3.11 --python-platform x86_64-manylinux_2_28 --constraint $(CONSTRAINTS)

locks:
	set -e; for group in core data train; do $(LOCK_3_11) --extra $$group --output-file requirements/$$group.lock; done
	$(LOCK_3_11) requirements/cli.in --extra pipelines --output-file requirements/cli.lock
	$(LOCK) requirements/gpu.in --python-version 3.12 --python-platform x86_64-manylinux_2_39 --extra data --extra train --output-file requirements/gpu.lock

test-containers: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/containers

cluster: setup
	PYTHON=$(BIN)/python tests/cluster/kind.sh up

cluster-down:
	tests/cluster/kind.sh down

BENCH_DATA := ingest matching dawid_skene voting evolution faults kills information_density
BENCH_EVAL := scoring_speed throughput coverage gate quantisation

bench-demo: setup
	$(BIN)/python -m benchmarks.demo.targets --arithmetic native,default

bench-ablations: setup
	$(BIN)/python -m benchmarks.demo.ablations
	$(BIN)/python -m benchmarks.training.restoration

bench-data: setup
	set -e; for name in $(BENCH_DATA); do $(BIN)/python -m benchmarks.data.$$name; done

bench-eval: setup
	set -e; for name in $(BENCH_EVAL); do $(BIN)/python -m benchmarks.evaluation.$$name; done

bench-vllm: setup
	$(BIN)/python -m demo.build --out build/demo/world
	VLM_VLLM_VENV=$(abspath $(VLM_VLLM_VENV)) $(BIN)/python -m benchmarks.evaluation.engines $(ARGS)

bench-sft: setup
	set -e; for name in packing general_data forgetting alignment optimizers muon_step; do $(BIN)/python -m benchmarks.training.$$name; done

bench-gpu: setup
	$(BIN)/python -m benchmarks.training.gpu
	$(BIN)/python -m benchmarks.rl.overhead --model 2b --prompts 16 --tokens 256

bench-storage: setup
	$(BIN)/python -m benchmarks.storage.transfer

bench-teacher: setup
	$(BIN)/python -m benchmarks.rl.teacher $(if $(MINI),--mini)

bench-rl: setup
	$(BIN)/python -m benchmarks.rl.hybrid
	$(BIN)/python -m benchmarks.rl.rewards
	$(BIN)/python -m benchmarks.rl.rewards --start demo --arms "plain,probes,perception,pass@k only,pass@k unguessed"
	$(BIN)/python -m benchmarks.rl.overhead

clean:
	rm -rf build

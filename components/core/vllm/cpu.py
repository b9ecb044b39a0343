"""vLLM on a CPU: arguments without which it fails, and layers whose weights a trainer can replace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from components.core.vllm.arguments import context_tokens

BATCHED_TOKENS = 4096
"""Least tokens of one pass, in which a prompt is read whole."""


def on_cpu() -> bool:
    """Whether vLLM runs on this machine's CPU."""
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())


def for_the_platform(checkpoint: Path, max_model_tokens: int | None) -> dict[str, Any]:
    """Arguments that this machine needs: none with a GPU.

    On a CPU a sampled answer with a seed kills an engine that reads prompts in chunks, and kernels are not
    captured in graphs.
    """
    if not on_cpu():
        return {}
    context = max_model_tokens or context_tokens(checkpoint) or 0
    return {
        "enforce_eager": True,
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(BATCHED_TOKENS, context),
    }


@contextmanager
def replaceable_weights() -> Iterator[None]:
    """While open, an engine on a CPU keeps its layers' weights as they are.

    It would pack them for its own kernels, and drop or copy them. New weights of a trainer then find no
    place, or do not count.
    """
    if not on_cpu():
        yield
        return
    from vllm.model_executor.layers import utils

    pack = utils.dispatch_cpu_unquantized_gemm

    def plain(layer: Any, remove_weight: bool) -> None:
        if layer.weight.ndim != 2:  # a convolution, which has kernels of its own
            pack(layer, remove_weight)
        else:
            layer.cpu_linear = torch.nn.functional.linear

    utils.dispatch_cpu_unquantized_gemm = plain
    try:
        yield
    finally:
        utils.dispatch_cpu_unquantized_gemm = pack

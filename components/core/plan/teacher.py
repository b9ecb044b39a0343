"""What a teacher adds to reinforcement learning: weights, passes and hours of a checkpoint, or requests.

A checkpoint lies beside the policy and scores every generation once, by a forward pass over prompts and
responses. Under ZeRO-3 its weights are shared out; otherwise every GPU holds them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from components.core.plan.memory import FRAGMENTATION, Memory, Training, layer_activations
from components.core.plan.sizes import ModelSizes

BYTES = {"auto": 2, "bfloat16": 2, "float16": 2, "float32": 4}
"""Of a weight by `teacher.dtype`; `auto` is bfloat16 on a GPU."""


def checkpoint_of(config: Any) -> str:
    """Address of the checkpoint that a run loads as teacher; "" where it loads none."""
    return "" if config is None or config.objective == "rl" else str(config.teacher.checkpoint)


def serves(config: Any) -> bool:
    """Whether a server is the teacher."""
    return config.objective != "rl" and config.teacher.server is not None


def weights(config: Any, sizes: ModelSizes, how: Training) -> float:
    """Bytes of the teacher's weights on one GPU."""
    shared = how.gpus if how.sharding == "zero3" else 1
    return sizes.total * float(BYTES[config.teacher.dtype]) / shared


def beside(memory: Memory, config: Any, sizes: ModelSizes, how: Training) -> Memory:
    """Memory of one GPU with the teacher on it.

    Its pass and the policy's come one after the other, so the larger one counts.

    Args:
        memory: of the policy's training.
        config: settings of the stage.
        sizes: of the teacher.
        how: the policy's training; the teacher reads as many tokens at once.
    """
    held = weights(config, sizes, how)
    a = BYTES[config.teacher.dtype]
    layer = how.tokens * layer_activations(sizes, replace(how, activation_bytes=a))
    passing = layer + (how.scored_tokens or how.tokens) * sizes.vocabulary * (4 + a)
    more = max(0.0, passing - memory.activations)
    return memory.changed(
        teacher=held,
        activations=memory.activations + more,
        overhead=memory.overhead + FRAGMENTATION * (held + more),
    )


def flops(sizes: ModelSizes, tokens: float) -> float:
    """FLOPs of its forward passes: 2 a parameter and token (arXiv 2001.08361, section 2.1)."""
    return 2.0 * sizes.active * tokens


def advice(config: Any) -> tuple[str, ...]:
    """Settings of the teacher that need less memory."""
    half = ("teacher.dtype: bfloat16",) if config.teacher.dtype == "float32" else ()
    return (*half, "teacher.server in place of teacher.checkpoint")

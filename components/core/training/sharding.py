"""Sharding by DeepSpeed's ZeRO (arXiv 1910.02054), as transformers' trainer takes it."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from components.core.stage.errors import ConfigError
from components.core.training.launch import gpus, world_size
from components.core.training.settings import Sharding


def deepspeed_config(sharding: Sharding, stage: str) -> dict[str, Any] | None:
    """DeepSpeed's settings, None without sharding; the trainer fills in every `auto`.

    Stage 2 shards optimizer states and gradients, stage 3 the weights as well. With passes in bfloat16 the
    weights are bfloat16, and each process keeps its share of them in float32 too.

    Args:
        sharding: the stage's setting.
        stage: names the setting in an error.

    Raises:
        ConfigError: deepspeed is not installed.
    """
    if sharding == "none":
        return None
    if importlib.util.find_spec("deepspeed") is None:
        raise ConfigError(f"{stage}.sharding: needs the package deepspeed; install it, or set none")
    zero: dict[str, Any] = {"stage": 2 if sharding == "zero2" else 3, "overlap_comm": True}
    if sharding == "zero3":
        zero["stage3_gather_16bit_weights_on_model_save"] = True  # float32 weights too
    return {
        "zero_optimization": zero,
        "bf16": {"enabled": "auto"},
        "gradient_clipping": "auto",
        "gradient_accumulation_steps": "auto",
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
    }


def check_processes(sharding: Sharding, stage: str) -> None:
    """Refuse sharding over one process.

    Raises:
        ConfigError: there is one process.
    """
    if sharding != "none" and world_size() == 1:
        raise ConfigError(f"{stage}.sharding: needs several processes; set processes, or sharding to none")


def join_processes(sharding: Sharding) -> bool:
    """Join DeepSpeed's processes on CPUs, which the trainer does not do; returns whether it was done.

    accelerate chooses a backend by device and finds none there. On GPUs the trainer does all of it.
    """
    if sharding == "none" or gpus(os.environ) or world_size() == 1:
        return False
    from accelerate import PartialState

    os.environ.pop("ACCELERATE_USE_CPU", None)
    os.environ["DS_ACCELERATOR"] = "cpu"
    os.environ["ACCELERATE_USE_DEEPSPEED"] = "true"
    import deepspeed.ops

    # Else a machine's first training compiles for a minute what inference alone uses.
    deepspeed.ops.__compatible_ops__ = {}
    PartialState(backend="gloo")
    return True


@contextmanager
def uncounted_passes(engine: Any) -> Iterator[None]:
    """Let each process make as many forward passes inside the block as it likes.

    At every pass of the whole model ZeRO-3 compares the order of its layers among the processes. With unequal
    numbers of passes, as sampled answers of unequal length need, they would wait for each other forever.

    Args:
        engine: the wrapped model; its weights have to be gathered. Anything but ZeRO-3's changes nothing.
    """
    offload = getattr(getattr(engine, "optimizer", None), "parameter_offload", None)
    if offload is None:
        yield
        return
    hooks, key = offload.module._forward_pre_hooks, offload.fwd_pre_hook.id
    compare = hooks.pop(key)
    try:
        yield
    finally:
        hooks[key] = compare

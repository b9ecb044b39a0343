"""Training over several processes: DeepSpeed's settings, and what must not change when a run is continued."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

from components.core.data.manifest import MANIFEST_NAME
from components.core.stage.errors import ConfigError
from components.core.training.launch import gpus, world_size
from components.curriculum_sft.config import Config

SAMPLES_PER_STEP = "samples_per_step"


def deepspeed_config(config: Config) -> dict[str, Any] | None:
    """DeepSpeed's settings for `config.sharding`, None without; what is `auto` the trainer fills in.

    ZeRO (arXiv 1910.02054): stage 2 shards optimizer states and gradients, stage 3 the weights as well.

    Raises:
        ConfigError: deepspeed is not installed.
    """
    if config.sharding == "none":
        return None
    if importlib.util.find_spec("deepspeed") is None:
        raise ConfigError("curriculum_sft.sharding: needs the package deepspeed; install it, or set none")
    zero: dict[str, Any] = {"stage": 2 if config.sharding == "zero2" else 3, "overlap_comm": True}
    if config.sharding == "zero3":
        zero["stage3_gather_16bit_weights_on_model_save"] = True  # float32 too, where that is trained
    return {
        "zero_optimization": zero,
        "bf16": {"enabled": "auto"},
        "gradient_clipping": "auto",
        "gradient_accumulation_steps": "auto",
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
    }


def join_processes(config: Config) -> bool:
    """Join DeepSpeed's processes on CPUs, where the trainer itself would not; whether it has been done.

    accelerate chooses a backend by device and finds none there. On GPUs the trainer does all of it.
    """
    if config.sharding == "none" or gpus(os.environ) or world_size() == 1:
        return False
    from accelerate import PartialState

    os.environ.pop("ACCELERATE_USE_CPU", None)
    os.environ["DS_ACCELERATOR"] = "cpu"
    os.environ["ACCELERATE_USE_DEEPSPEED"] = "true"
    PartialState(backend="gloo")
    return True


def samples_per_step(config: Config) -> int:
    """Samples (or packs, or pairs) in one optimizer step, over all processes."""
    return config.batch_samples * config.accumulation_steps * world_size()


def check_same_run(checkpoint: Path, provenance: dict[str, Any], per_step: int) -> None:
    """Refuse to continue another run's checkpoint, or this one's with another global batch.

    Args:
        checkpoint: a committed checkpoint of a trainer.
        provenance: of the present run.
        per_step: see `samples_per_step`.

    Raises:
        ConfigError: naming what differs.
    """
    manifest = json.loads((checkpoint / MANIFEST_NAME).read_text(encoding="utf-8"))
    written = manifest["provenance"]
    differs = sorted(k for k in written.keys() | provenance.keys() if written.get(k) != provenance.get(k))
    if differs:
        raise ConfigError(
            f"{checkpoint} was written by another run ({', '.join(differs)} differ); remove it to start anew, "
            "or restore that run's settings and inputs to continue it"
        )
    then = manifest["extra"].get(SAMPLES_PER_STEP, per_step)
    if then != per_step:
        raise ConfigError(
            f"{checkpoint} was trained with {then} samples a step, this run has {per_step}: the number of "
            "processes changed; use as many as before, or remove the checkpoint to start anew"
        )

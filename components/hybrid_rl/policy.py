"""The policy: loaded as the settings say, frozen by parts, with the configuration of its adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.core.training import adapters
from components.core.training.parts import freeze, within
from components.core.vlm import load_model
from components.core.vlm.families import family_of
from components.core.vlm.family import Part
from components.hybrid_rl.config import Config


def load_policy(path: Path, config: Config) -> Any:
    """Load the policy in the weights' number format, with its vision tower frozen if that is wanted.

    Where the trainer's settings say ZeRO-3, each process keeps its share of the weights alone.
    """
    model = load_model(path, config.weight_type, attn=config.attention)
    freeze(model, frozen_parts(config), "hybrid_rl.freeze_vision")
    return model


def frozen_parts(config: Config) -> set[Part]:
    """The parts that are not trained: the projector goes with the tower."""
    return {"vision", "projector"} if config.freeze_vision else set()


def adapter_config(model: Any, config: Config) -> Any:
    """The peft configuration of `config.lora`, None without one; frozen parts get no adapters.

    Raises:
        ConfigError: peft is not installed, or no module has one of the names.
    """
    frozen = within(model, frozen_parts(config))
    return adapters.adapter_config(config.lora, model, frozen, "hybrid_rl", family_of(model).experts)

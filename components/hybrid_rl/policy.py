"""The policy: loaded as the settings say, frozen by parts, with the configuration of its adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.core.training import adapters
from components.core.vlm import load_model
from components.core.vlm.families import family_of
from components.hybrid_rl.config import Config


def load_policy(path: Path, config: Config) -> Any:
    """Load the policy in the weights' number format, with its vision tower frozen if that is wanted.

    Where the trainer's settings say ZeRO-3, each process keeps its share of the weights alone.
    """
    model = load_model(path, config.weight_type, attn=config.attention)
    if config.freeze_vision:
        family = family_of(model)
        for name, parameter in model.named_parameters():
            if family.part_of(name) != "language":
                parameter.requires_grad_(False)
    return model


def adapter_config(model: Any, config: Config) -> Any:
    """The peft configuration of `config.lora`, None without one.

    Raises:
        ConfigError: peft is not installed, or no module has one of the names.
    """

    family = family_of(model)

    def frozen(name: str) -> bool:
        return config.freeze_vision and family.part_of(f"{name}.") != "language"

    return adapters.adapter_config(config.lora, model, frozen, "hybrid_rl", family.experts)

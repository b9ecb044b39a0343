"""The policy: loaded as the settings say, frozen by parts, with the configuration of its adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.core.training import adapters
from components.core.vlm import load_model
from components.hybrid_rl.config import Config

_VISION = ".visual."


def load_policy(path: Path, config: Config) -> Any:
    """Load the policy in the weights' number format, with its vision tower frozen if that is wanted.

    Where the trainer's settings say ZeRO-3, each process keeps its share of the weights alone.
    """
    model = load_model(path, config.weight_type, attn=config.attention)
    if config.freeze_vision:
        for name, parameter in model.named_parameters():
            if _of_vision(name):
                parameter.requires_grad_(False)
    return model


def adapter_config(model: Any, config: Config) -> Any:
    """The peft configuration of `config.lora`, None without one.

    Raises:
        ConfigError: peft is not installed, or no module has one of the names.
    """

    def frozen(name: str) -> bool:
        return config.freeze_vision and _of_vision(f"{name}.")

    return adapters.adapter_config(config.lora, model, frozen, "hybrid_rl")


def _of_vision(name: str) -> bool:
    return _VISION in f".{name}"

"""The model to train: loaded, frozen by parts, with adapters, and saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from components.core.stage.errors import ConfigError
from components.core.vlm import load_model
from components.curriculum_sft.config import Config
from components.curriculum_sft.training.optimizer import part_of


def trainable_model(path: Path, config: Config) -> nn.Module:
    """Load a checkpoint for training, in float32, with the configured parts frozen."""
    model = load_model(path, dtype="float32", attn=config.attention)
    for name, parameter in model.named_parameters():
        if getattr(config.freeze, part_of(name)):
            parameter.requires_grad_(False)
    return model


def adapter_config(config: Config) -> Any:
    """The peft configuration of `config.lora`, None without one.

    Raises:
        ConfigError: adapters are configured but peft is not installed.
    """
    if config.lora is None:
        return None
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise ConfigError(
            "curriculum_sft.lora: needs the package peft; install it or remove the setting"
        ) from error
    lora = config.lora
    return LoraConfig(r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout,
                      target_modules=list(lora.target_modules), task_type="CAUSAL_LM")  # fmt: skip


def save_model(trainer: Any, processor: Any, output: Path) -> None:
    """Write trained weights (adapters merged), processor and tokenizer; every rank has to call it."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    # Weights that are spread over the ranks have to be brought together first.
    whole = (
        trainer.accelerator.get_state_dict(trainer.model_wrapped) if trainer.is_deepspeed_enabled else None
    )
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()
    model.save_pretrained(output, state_dict=whole)
    processor.save_pretrained(output)

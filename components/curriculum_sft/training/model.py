"""The model to train: loaded, frozen by parts, with adapters, and saved."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from torch import nn

from components.core.stage.errors import ConfigError
from components.core.vlm import load_model
from components.core.vlm.families import family_of
from components.curriculum_sft.config import Config


def trainable_model(path: Path, config: Config) -> nn.Module:
    """Load a checkpoint for training, in float32, with the configured parts frozen."""
    model = load_model(path, dtype="float32", attn=config.attention)
    family, frozen = family_of(model), _frozen(config)
    seen: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        part = family.part_of(name)
        seen[part] += 1
        if part in frozen:
            parameter.requires_grad_(False)
    if missing := frozen - set(seen):
        raise ConfigError(f"curriculum_sft.freeze: {family.name} has no part {', '.join(sorted(missing))}")
    return model


def _frozen(config: Config) -> set[str]:
    return {part for part, kept in config.freeze.model_dump().items() if kept}


def adapter_config(model: nn.Module, config: Config) -> Any:
    """The peft configuration of `config.lora`, None without one.

    Frozen parts get no adapters. A mixture's experts get them wherever `target_modules` names a projection
    that their fused weights hold.

    Raises:
        ConfigError: adapters are configured but peft is not installed, or the experts cannot have them.
    """
    if config.lora is None:
        return None
    family = family_of(model)
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise ConfigError(
            "curriculum_sft.lora: needs the package peft; install it or remove the setting"
        ) from error
    lora = config.lora
    # Gate and up are one weight there.
    wanted = {"gate_up_proj" if name in ("gate_proj", "up_proj") else name for name in lora.target_modules}
    fused = [name for name in family.experts if name.rsplit(".", 1)[-1] in wanted]
    if fused and lora.dropout:
        raise ConfigError(
            f"curriculum_sft.lora.dropout: {family.name} has fused experts, whose adapters take no dropout; "
            "set it to 0"
        )
    kept = [name for name in _modules(model) if family.part_of(name) in _frozen(config)]
    return LoraConfig(r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout,
                      target_modules=list(lora.target_modules), target_parameters=fused or None,
                      exclude_modules=kept or None, task_type="CAUSAL_LM")  # fmt: skip


def _modules(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]


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

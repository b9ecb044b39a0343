"""The model to train: loaded, frozen by parts, with the configuration of its adapters."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, get_args

import torch
from torch import nn

from components.core.stage.errors import ConfigError
from components.core.training import adapters
from components.core.training.parts import freeze, within
from components.core.vlm import load_model
from components.core.vlm.families import family_for, family_of, model_type_of
from components.core.vlm.family import Part
from components.core.vlm.patches import project_patches
from components.curriculum_sft.config import Config


def trainable_model(path: Path, config: Config) -> nn.Module:
    """Load a checkpoint for training, in the weights' number format, with the configured parts frozen.

    Raises:
        ConfigError: 4-bit weights are configured, and the machine or the environment cannot hold them.
    """
    if config.lora is not None and config.lora.four_bit:
        return _four_bit_model(path, config)
    model = load_model(path, config.weight_type, attn=config.attention)
    freeze(model, frozen_parts(config), "curriculum_sft.freeze")
    return model


def frozen_parts(config: Config) -> set[Part]:
    """The parts that are not trained."""
    return {part for part in get_args(Part) if getattr(config.freeze, part)}


def _four_bit_model(path: Path, config: Config) -> nn.Module:
    """The model with its language part's matrices in 4-bit NormalFloat (arXiv 2305.14314, section 3)."""
    missing = []
    if not torch.cuda.is_available():
        missing.append("an NVIDIA GPU")
    if importlib.util.find_spec("bitsandbytes") is None:
        missing.append("the package bitsandbytes")
    if missing:
        raise ConfigError(f"curriculum_sft.lora.four_bit: needs {' and '.join(missing)}; unset four_bit")
    from accelerate import PartialState
    from transformers import AutoModelForImageTextToText, BitsAndBytesConfig

    family = family_for(model_type_of(path))
    quantised = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=["lm_head", *family.vision, *family.projector],
    )
    model = AutoModelForImageTextToText.from_pretrained(
        path,
        dtype=torch.bfloat16,
        attn_implementation=config.attention,
        quantization_config=quantised,
        device_map={"": PartialState().local_process_index},
    )
    return project_patches(model)


def adapter_config(model: nn.Module, config: Config) -> Any:
    """The peft configuration of `config.lora`, None without one; frozen parts get no adapters.

    A mixture's experts get them wherever `target_modules` names a projection that their fused weights hold.

    Raises:
        ConfigError: peft is not installed, no module has one of the names, or the experts can have none.
    """
    frozen = within(model, frozen_parts(config))
    return adapters.adapter_config(config.lora, model, frozen, "curriculum_sft", family_of(model).experts)

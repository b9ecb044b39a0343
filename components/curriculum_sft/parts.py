"""The parts of a vision-language model that are frozen, or trained at a rate of their own."""

from __future__ import annotations

from typing import Literal

from torch import nn

from components.curriculum_sft.config import Freeze

Part = Literal["vision", "projector", "language"]


def part_of(name: str) -> Part:
    """The part of the model that a parameter belongs to."""
    if ".visual." not in f".{name}":
        return "language"
    return "projector" if "merger" in name else "vision"


def freeze_parts(model: nn.Module, freeze: Freeze) -> None:
    """Stop gradients of the parameters of the frozen parts."""
    for name, parameter in model.named_parameters():
        if getattr(freeze, part_of(name)):
            parameter.requires_grad_(False)

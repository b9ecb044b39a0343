"""Parts of a model that keep their weights: found by name, as the model's family says."""

from __future__ import annotations

from collections.abc import Callable, Collection

from torch import nn

from components.core.stage.errors import ConfigError
from components.core.vlm.families import family_of
from components.core.vlm.family import Part


def within(model: nn.Module, parts: Collection[Part]) -> Callable[[str], bool]:
    """Whether a parameter or a module of the model, by its name, belongs to one of the parts."""
    family = family_of(model)
    return lambda name: family.part_of(name) in parts


def freeze(model: nn.Module, parts: Collection[Part], setting: str) -> None:
    """Take the gradients of the parts' parameters away.

    Args:
        model: of a known family.
        parts: to freeze.
        setting: names the setting in an error.

    Raises:
        ConfigError: the model has no parameter in one of the parts.
    """
    family, seen = family_of(model), set[Part]()
    for name, parameter in model.named_parameters():
        part = family.part_of(name)
        seen.add(part)
        if part in parts:
            parameter.requires_grad_(False)
    if missing := set(parts) - seen:
        raise ConfigError(f"{setting}: {family.name} has no part {', '.join(sorted(missing))}")

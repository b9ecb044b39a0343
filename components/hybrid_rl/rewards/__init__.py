"""Rewards: the registry of the built-in ones, one file each, and the types that a reward function sees.

A function registered by `rollout_reward` or `group_reward` is a reward by the name of its file. It is found
by being in this folder, weighted in the settings by its name (`weights`), normalised within its group, and
reported. Its scale does not matter, only the order within the group. `users.py` holds the rewards of the
user's own.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple, TypeVar

from pydantic import Field, model_validator

from components.core.stage.settings import Settings
from components.hybrid_rl.rollouts.rollout import Rollout

__all__ = ["Group", "Ramp", "Rollout", "Score", "Weight", "built_in", "group_reward", "rollout_reward"]

F = TypeVar("F", bound=Callable[..., Any])


class Ramp(Settings):
    """A weight that changes over training: `start` before `begin`, `end` after `finish`, linear between."""

    start: float = 0.0
    """Weight at the beginning of training."""
    end: float = 1.0
    """Weight at the end of the ramp."""
    begin: float = Field(default=0.0, ge=0, le=1)
    """Share of the steps after which the weight starts to change."""
    finish: float = Field(default=1.0, ge=0, le=1)
    """Share of the steps after which the weight stays at `end`."""

    @model_validator(mode="after")
    def _ordered(self) -> Ramp:
        if self.finish < self.begin:
            raise ValueError("finish must not lie before begin")
        return self


Weight = float | Ramp


class Score(NamedTuple):
    """One rollout's reward."""

    value: float
    """NaN where the reward does not apply or the function failed."""
    error: str = ""
    """Why the function failed. The rollout then carries no weight in the update."""

    @classmethod
    def of(cls, function: Callable[..., float | None], *arguments: Any) -> Score:
        """Call a reward function; never raises, since one odd response must not end a run."""
        try:
            value = function(*arguments)
            if value is None:
                return cls(math.nan)
            if isinstance(value, Real) and math.isfinite(value):
                return cls(float(value))
            return cls(math.nan, f"returned {value!r}, expected a finite number or None")
        except Exception as error:  # noqa: BLE001 - a function may raise anything; it is counted and logged
            return cls(math.nan, f"{type(error).__name__}: {error}")


@dataclass(frozen=True)
class RolloutReward:
    """A reward that needs one rollout alone."""

    weight: Weight
    function: Callable[[Rollout, Any], float | None]

    def score(self, rollouts: Sequence[Rollout], config: Any) -> list[Score]:
        """One score a rollout."""
        return [Score.of(self.function, rollout, config) for rollout in rollouts]


@dataclass(frozen=True)
class Group:
    """All rollouts of one question."""

    rollouts: Sequence[Rollout]
    right: Sequence[bool]
    meanings: Sequence[int]
    """Number of each response's cluster: responses in one cluster mean the same."""


@dataclass(frozen=True)
class GroupReward:
    """A reward that compares the rollouts of a group."""

    weight: Weight
    function: Callable[[Group], list[float]]
    order: int
    share: Callable[[Group, Any], float] | None = None
    """`share(group, config)`: how much of its normalised advantages a group takes, in [0, 1]; None is all."""


_REGISTRY: dict[str, RolloutReward | GroupReward] = {}


def rollout_reward(weight: Weight) -> Callable[[F], F]:
    """Register `function(rollout, config)`, which returns a number, or None where the reward does not apply.

    Args:
        weight: in the advantage, unless the settings say otherwise.
    """
    return lambda function: _register(function, RolloutReward(weight, function))


def group_reward(
    weight: Weight, order: int = 0, share: Callable[[Group, Any], float] | None = None
) -> Callable[[F], F]:
    """Register `function(group)`, which returns one number a rollout.

    Args:
        weight: in the advantage, unless the settings say otherwise.
        order: of summation among group rewards, then by name. It decides the last bit of an advantage.
        share: of a group's normalised advantages that count; normalising leaves nothing of a reward's scale.
    """
    return lambda function: _register(function, GroupReward(weight, function, order, share))


def _register(function: F, reward: RolloutReward | GroupReward) -> F:
    _REGISTRY[function.__module__.rpartition(".")[2]] = reward
    return function


def built_in() -> dict[str, RolloutReward | GroupReward]:
    """Every built-in reward by name: those of one rollout, then those of a group."""
    for module in pkgutil.iter_modules(__path__):
        if not module.ispkg:  # `asked` loads what the check of the settings does not need
            importlib.import_module(f"{__name__}.{module.name}")
    return dict(sorted(_REGISTRY.items(), key=lambda item: (getattr(item[1], "order", -1), item[0])))

"""Rewards of the user's own: loaded by name, run beside the training thread, never able to stop it."""

from __future__ import annotations

import importlib
import inspect
import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.core.errors import ConfigError

from .config import ExtraReward
from .rewards import Rollout

RewardFunction = Callable[[Rollout], float | None]
_WORKERS = 4


@dataclass(frozen=True)
class ExtraScores:
    """Scores of one batch by one function: NaN where it does not apply or failed."""

    values: list[float]
    failed: list[bool]
    """Raised, returned no finite number, or was not done in time."""
    first_error: str | None


def load_function(path: str, where: str, arguments: int = 1) -> Callable[..., Any]:
    """The object that `module:function` names.

    Raises:
        ConfigError: no such module or function, not callable, or not with so many arguments.
    """
    module, _, name = path.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{where}: cannot load '{path}' ({error})") from error
    if not callable(function):
        raise ConfigError(f"{where}: '{path}' is not a function")
    try:
        inspect.signature(function).bind(*[None] * arguments)
    except TypeError as error:
        raise ConfigError(f"{where}: '{path}' has to take {arguments} argument(s) ({error})") from error
    except ValueError:
        return function  # a builtin that tells no signature
    return function


class ExtraRewards:
    """The user's reward functions, called rollout by rollout on daemon threads under a time limit a batch.

    Python cannot stop a thread, so one that is late is abandoned (it does not hold up the process's end) and the next
    batch gets fresh workers.
    """

    def __init__(self, settings: Sequence[ExtraReward]) -> None:
        """Load every function.

        Raises:
            ConfigError: one cannot be loaded.
        """
        self.settings = {extra.name: extra for extra in settings}
        self._functions: dict[str, RewardFunction] = {
            extra.name: load_function(extra.function, f"extra_rewards.{extra.name}") for extra in settings
        }

    def score(self, rollouts: Sequence[Rollout]) -> dict[str, ExtraScores]:
        """Scores of all rollouts by every function."""
        return {
            name: run_limited(function, rollouts, self.settings[name].timeout_s)
            for name, function in self._functions.items()
        }


def run_limited(function: RewardFunction, rollouts: Sequence[Rollout], timeout_s: float) -> ExtraScores:
    """Call `function` for every rollout on a few threads; what is not done after `timeout_s` counts as failed."""
    values = [math.nan] * len(rollouts)
    failed = [True] * len(rollouts)
    errors: dict[int, str] = {}
    tasks: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, float | None, str | None]] = queue.SimpleQueue()
    closed = threading.Event()
    for index in range(len(rollouts)):
        tasks.put(index)

    def work() -> None:
        while not closed.is_set():
            try:
                index = tasks.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((index, function(rollouts[index]), None))
            except Exception as error:  # noqa: BLE001 - a user's function may raise anything; it is counted and logged
                done.put((index, None, f"{type(error).__name__}: {error}"))

    for _ in range(min(_WORKERS, len(rollouts))):
        threading.Thread(target=work, daemon=True).start()
    deadline = time.monotonic() + timeout_s
    for _ in rollouts:
        try:
            index, value, error = done.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            closed.set()
            break
        if error is None and value is not None:
            error = _problem(value)
        if error is None:
            failed[index] = False
            values[index] = math.nan if value is None else float(value)
        else:
            errors[index] = error
    late = sum(failed) - len(errors)
    first = next(
        iter(errors.values()), f"{late} rollouts not scored within {timeout_s:g} s" if late else None
    )
    return ExtraScores(values, failed, first)


def _problem(value: object) -> str | None:
    if isinstance(value, (int, float, np.number)) and math.isfinite(value):
        return None
    return f"returned {value!r}, expected a finite number or None"

"""Rewards of the user's own: loaded by name, run in processes of their own, never able to stop training."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import math
import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.pool import Pool
from typing import Any

import numpy as np

from components.core.stage.errors import ConfigError

from .config import ExtraReward
from .rewards import Rollout

RewardFunction = Callable[[Rollout], float | None]
_WORKERS = 2
_START_S = 120.0


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
    """The user's reward functions, called rollout by rollout under a time limit a batch."""

    def __init__(self, settings: Sequence[ExtraReward]) -> None:
        """Load every function.

        Raises:
            ConfigError: one cannot be loaded.
        """
        self.settings = {extra.name: extra for extra in settings}
        for extra in settings:
            load_function(extra.function, f"extra_rewards.{extra.name}")
        self._calls = {extra.name: LimitedCalls(extra.function, extra.timeout_s) for extra in settings}

    def score(self, rollouts: Sequence[Rollout]) -> dict[str, ExtraScores]:
        """Scores of all rollouts by every function."""
        return {name: call(rollouts) for name, call in self._calls.items()}

    def close(self) -> None:
        """End the processes."""
        for call in self._calls.values():
            call.close()


class LimitedCalls:
    """One function in processes of its own, which are killed when a batch is late.

    A thread could not be killed, and a function that keeps the interpreter to itself (a runaway regular expression)
    would stop training with it. The processes are started when first needed and live from batch to batch, so a
    function may keep what it loads; there are two, each with its own copy.
    """

    def __init__(self, path: str, timeout_s: float) -> None:
        """Args:
        path: `module:function`.
        timeout_s: for one batch.
        """
        self.path, self.timeout_s = path, timeout_s
        self._pool: Pool | None = None

    def __call__(self, rollouts: Sequence[Rollout]) -> ExtraScores:
        """Scores of rollouts; what is not done in time, or dies, counts as failed."""
        pool = self._started()
        jobs = [pool.apply_async(_call, (rollout,)) for rollout in rollouts]
        deadline = time.monotonic() + self.timeout_s
        values, errors, late = [math.nan] * len(jobs), dict[int, str](), 0
        failed = [True] * len(jobs)
        for index, job in enumerate(jobs):
            job.wait(max(0.0, deadline - time.monotonic()))
            if not job.ready():
                late += 1
                continue
            value, error = job.get()
            failed[index] = error is not None
            if error is not None:
                errors[index] = error
            elif value is not None:
                values[index] = value
        if late:
            self.close()
        first = next(
            iter(errors.values()), f"{late} rollouts not scored within {self.timeout_s:g} s" if late else None
        )
        return ExtraScores(values, failed, first)

    def _started(self) -> Pool:
        if self._pool is None:
            # Not forked: a process that has used a GPU or threads must not be.
            self._pool = multiprocessing.get_context("spawn").Pool(_WORKERS, _load, (self.path,))
            # Importing the function's module does not count against the limit.
            for ready in [self._pool.apply_async(_is_loaded) for _ in range(_WORKERS)]:
                ready.wait(_START_S)
        return self._pool

    def close(self) -> None:
        """Kill the processes; the next batch gets new ones."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool.join()
            self._pool = None


_function: RewardFunction | None = None
"""In a worker process: what it calls."""


def _load(path: str) -> None:
    global _function
    # A process that ends here would be replaced without end.
    with contextlib.suppress(ConfigError):
        _function = load_function(path, "extra_rewards")


def _is_loaded() -> bool:
    return _function is not None


def _call(rollout: Rollout) -> tuple[float | None, str | None]:
    """Value and error of one call; never raises, for not every exception can travel between processes."""
    if _function is None:
        return None, "cannot be loaded in a process of its own"
    try:
        value = _function(rollout)
    except Exception as error:  # noqa: BLE001 - a user's function may raise anything; it is counted and logged
        return None, f"{type(error).__name__}: {error}"
    problem = None if value is None else _problem(value)
    return (None, problem) if problem or value is None else (float(value), None)


def _problem(value: object) -> str | None:
    if isinstance(value, (int, float, np.number)) and math.isfinite(value):
        return None
    return f"returned {value!r}, expected a finite number or None"

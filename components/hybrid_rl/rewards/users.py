"""Rewards of the user's own (`extra_rewards`), in processes of their own: they never stop training."""

from __future__ import annotations

import contextlib
import inspect
import math
import multiprocessing
import pkgutil
import time
from collections.abc import Callable, Sequence
from multiprocessing.pool import Pool
from typing import Any

from components.core.stage.errors import ConfigError
from components.hybrid_rl.rewards import Rollout, Score
from components.hybrid_rl.settings import ExtraReward

_WORKERS = 2
_START_S = 120.0


class UserReward:
    """One function in processes of its own, called rollout by rollout, killed when a batch is late.

    A thread could not be killed, and a function that keeps the interpreter to itself (a runaway regular
    expression) would stop training with it. The two processes start when first needed and live from batch to
    batch, each with its own copy of the module, so a function may keep what it loads.
    """

    def __init__(self, settings: ExtraReward) -> None:
        """Check the function.

        Raises:
            ConfigError: it cannot be loaded.
        """
        load_function(settings.function, f"extra_rewards.{settings.name}")
        self.path, self.weight, self.timeout_s = settings.function, settings.weight, settings.timeout_s
        self._pool: Pool | None = None

    def score(self, rollouts: Sequence[Rollout], config: Any = None) -> list[Score]:
        """One score a rollout; one that is not done in time, or whose process dies, has an error."""
        pool = self._started()
        jobs = [pool.apply_async(_call, (rollout,)) for rollout in rollouts]
        deadline = time.monotonic() + self.timeout_s
        late = Score(math.nan, f"not scored within {self.timeout_s:g} s")
        scores = []
        for job in jobs:
            job.wait(max(0.0, deadline - time.monotonic()))
            scores.append(job.get() if job.ready() else late)
        if late in scores:
            self.close()
        return scores

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


def load_function(path: str, where: str, arguments: int = 1) -> Callable[..., Any]:
    """The object that `module:function` names.

    Raises:
        ConfigError: no such module or function, not callable, or not with so many arguments.
    """
    try:
        function: Callable[..., Any] = pkgutil.resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{where}: cannot load '{path}' ({error})") from error
    with contextlib.suppress(ValueError):  # a builtin that tells no signature
        try:
            inspect.signature(function).bind(*[None] * arguments)
        except TypeError as error:
            raise ConfigError(f"{where}: '{path}' has to take {arguments} argument(s) ({error})") from error
    return function


_function: Callable[[Rollout], float | None] | None = None
"""In a worker process: the user's function."""


def _load(path: str) -> None:
    global _function
    # A process that ends here would be replaced without end.
    with contextlib.suppress(ConfigError):
        _function = load_function(path, "extra_rewards")


def _is_loaded() -> bool:
    return _function is not None


def _call(rollout: Rollout) -> Score:
    if _function is None:
        return Score(math.nan, "cannot be loaded in a process of its own")
    return Score.of(_function, rollout)

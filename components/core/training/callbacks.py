"""Callbacks of a training loop: progress, an orderly stop on a signal, random numbers tied to the step."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import reduce
from transformers import TrainerCallback, set_seed

from components.core.data.hashing import seed_for
from components.core.stage.errors import StageError
from components.core.stage.log import ProgressBar
from components.core.training.signals import handling


class SeedEachStep(TrainerCallback):
    """Ties random numbers to (seed, step, process): a resumed step draws as an uninterrupted one."""

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        set_seed(seed_for(args.seed, "step", state.global_step, args.process_index) % 2**32)


class Progress(TrainerCallback):
    """A progress bar with loss and speed.

    Args:
        tokens: returns the tokens trained on so far by this process; None shows no speed.
    """

    def __init__(self, desc: str, log: logging.Logger, tokens: Callable[[], int] | None = None) -> None:
        self._desc, self._log, self._tokens = desc, log, tokens
        self._shown: dict[str, Any] = {}
        self.seconds = self._started = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._started = time.monotonic()
        self._bar = ProgressBar(state.max_steps, self._desc, self._log)
        if state.global_step:
            self._bar.update(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seconds = time.monotonic() - self._started
        if self._tokens is not None:
            self._shown["tokens/s"] = round(self._tokens() / max(self.seconds, 1e-9))
        self._bar.update(1, **self._shown)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self._shown["loss"] = round(logs["loss"], 4)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._bar.__exit__()


class StopOnSignal(TrainerCallback):
    """On SIGTERM or SIGINT: finish the step, save a checkpoint, end the loop. A second signal acts at once.

    Args:
        every_steps: stop after a multiple of so many steps only, for updates that belong together.
    """

    def __init__(self, log: logging.Logger, every_steps: int = 1) -> None:
        self._log, self._every_steps = log, every_steps
        self.received: int | None = None

    def installed(self) -> AbstractContextManager[None]:
        """Note a signal inside the block; a second one is left to the handlers from before."""
        return handling(self._note, once=True)

    def _note(self, number: int) -> None:
        self.received = number
        self._log.warning("received %s: saving a checkpoint after this step", signal.Signals(number).name)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if any_rank(self.received is not None):
            self.received = self.received or signal.SIGTERM
            if state.global_step % self._every_steps == 0:
                control.should_save = True
                control.should_training_stop = True
        return control

    def raise_if_early(self, state: Any) -> None:
        """Say that a signal ended the training before its last step.

        Raises:
            StageError: it did. Progress is saved, and the same command continues.
        """
        if self.received is not None and state.global_step < state.max_steps:
            name, done = signal.Signals(self.received).name, f"step {state.global_step} of {state.max_steps}"
            raise StageError(f"stopped by {name} after {done}; run again to continue")


def any_rank(flag: bool) -> bool:
    """Whether the flag is set on any rank. Every rank has to ask: signals reach them in different steps."""
    state = PartialState()
    if state.num_processes == 1:
        return flag
    return bool(reduce(torch.tensor(float(flag), device=state.device), "sum") > 0)

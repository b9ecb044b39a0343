"""What happens around a training loop: progress, committed checkpoints, an orderly stop on a signal."""

from __future__ import annotations

import logging
import math
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from components.core.data.checkpoint import commit_checkpoint, open_checkpoint
from components.core.stage.errors import DataError
from components.core.stage.log import ProgressBar
from components.core.training.launch import any_rank
from components.curriculum_sft.training.order import LengthGroupedOrder


class CommitCheckpoints(TrainerCallback):
    """Seals each checkpoint that the trainer has written, so that a torn one is never continued from.

    Args:
        provenance: of the run.
        extra: what its manifest says beside the step.
    """

    def __init__(self, provenance: dict[str, Any], extra: dict[str, Any]) -> None:
        self._provenance, self._extra = provenance, extra

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        PartialState().wait_for_everyone()  # every rank has written its random state
        if state.is_world_process_zero:
            path = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
            commit_checkpoint(
                path, provenance=self._provenance, extra=self._extra | {"step": state.global_step}
            )


def newest_committed(directory: Path, log: logging.Logger) -> Path | None:
    """The newest checkpoint that was sealed and is whole; torn ones are removed."""
    found = sorted(
        directory.glob(f"{PREFIX_CHECKPOINT_DIR}-*"), key=lambda p: -int(p.name.rpartition("-")[2])
    )
    newest = None
    for path in found:
        try:
            open_checkpoint(path, verify=newest is None)
        except DataError as error:
            log.warning("removed a torn checkpoint: %s", error)
            shutil.rmtree(path, ignore_errors=True)  # another rank may be at it too
            continue
        newest = newest or path
    return newest


class FollowEpoch(TrainerCallback):
    """Tells the order which epoch begins, or goes on after a resumption: the one that the step lies in."""

    def __init__(self, order: LengthGroupedOrder) -> None:
        self._order = order

    def on_epoch_begin(
        self, args: Any, state: Any, control: Any, train_dataloader: Any = None, **kwargs: Any
    ) -> None:
        steps = max(1, math.ceil(len(train_dataloader) / args.gradient_accumulation_steps))
        self._order.epoch = state.global_step // steps


class Progress(TrainerCallback):
    """A progress bar with loss and speed.

    Args:
        tokens: returns the tokens trained on so far by this process.
    """

    def __init__(self, desc: str, log: logging.Logger, tokens: Callable[[], int]) -> None:
        self._desc, self._log, self._tokens = desc, log, tokens
        self._bar: ProgressBar | None = None
        self._shown: dict[str, Any] = {}
        self.seconds = 0.0
        self._started = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._started = time.monotonic()
        self._bar = ProgressBar(state.max_steps, self._desc, self._log)
        if state.global_step:
            self._bar.update(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seconds = time.monotonic() - self._started
        self._shown["tokens/s"] = round(self._tokens() / max(self.seconds, 1e-9))
        if self._bar is not None:
            self._bar.update(1, **self._shown)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any
    ) -> None:
        if logs and "loss" in logs:
            self._shown["loss"] = round(logs["loss"], 4)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.__exit__()


class StopOnSignal(TrainerCallback):
    """On SIGTERM or SIGINT: finish the step, save a checkpoint, end the loop. A second signal acts at once."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self.received: int | None = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals inside the block (in the main thread; elsewhere Python allows no handlers)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

        def handle(number: int, frame: Any) -> None:
            self.received = number
            self._log.warning("received %s: saving a checkpoint after this step", signal.Signals(number).name)
            for each, handler in before.items():
                signal.signal(each, handler)

        try:
            for number in before:
                signal.signal(number, handle)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if any_rank(self.received is not None):
            self.received = self.received or signal.SIGTERM
            control.should_save = True
            control.should_training_stop = True
        return control

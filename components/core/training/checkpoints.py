"""Checkpoints of a training loop: sealed when they are whole, found again after a kill."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from components.core.data.checkpoint import commit_checkpoint, open_checkpoint
from components.core.stage.errors import DataError


class CommitCheckpoints(TrainerCallback):
    """Seals each checkpoint that the trainer has written, so that a torn one is never continued from.

    Args:
        provenance: of the run.
        extra: what the checkpoint's manifest says beside the step.
        add: writes the state that the trainer does not know into the checkpoint, before it is sealed.
        keep: newest checkpoints that stay; 0 leaves the removal to the trainer.
    """

    def __init__(
        self,
        provenance: dict[str, Any],
        extra: dict[str, Any],
        add: Callable[[Path], None] | None = None,
        keep: int = 0,
    ) -> None:
        self._provenance, self._extra, self._add, self._keep = provenance, extra, add, keep

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        PartialState().wait_for_everyone()  # every rank has written its random state
        if not state.is_world_process_zero:
            return
        directory = Path(args.output_dir)
        path = directory / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        if self._add is not None:
            self._add(path)
        commit_checkpoint(path, provenance=self._provenance, extra=self._extra | {"step": state.global_step})
        if self._keep:
            for old in _newest_first(directory)[self._keep :]:
                shutil.rmtree(old)


def newest_committed(directory: Path, log: logging.Logger) -> Path | None:
    """The newest checkpoint that is sealed and whole, None without one. Torn ones are removed."""
    newest = None
    for path in _newest_first(directory):
        try:
            open_checkpoint(path, verify=newest is None)
        except DataError as error:
            log.warning("removed a torn checkpoint: %s", error)
            shutil.rmtree(path, ignore_errors=True)  # another rank may be at it too
            continue
        newest = newest or path
    return newest


def _newest_first(directory: Path) -> list[Path]:
    found = directory.glob(f"{PREFIX_CHECKPOINT_DIR}-*")
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)


@cache  # torch cannot order two of them
def cpu_ranks_load() -> None:
    """Let torch load optimizer states that ranks without GPUs saved.

    accelerate calls their devices `cpu:0`, `cpu:1`; torch knows `cpu` alone.
    """
    torch.serialization.register_package(
        0, lambda storage: None, lambda storage, location: storage if location.startswith("cpu:") else None
    )

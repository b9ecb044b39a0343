"""The training loop that survives a kill: checkpoints to go on from, phases, an orderly stop on a signal."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import PrinterCallback, TrainerState
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from components.core.data.checkpoint import commit_checkpoint, open_checkpoint
from components.core.data.manifest import MANIFEST_NAME
from components.core.stage.context import StageContext
from components.core.stage.errors import ConfigError, DataError
from components.core.training.callbacks import Progress, StopOnSignal
from components.core.training.checkpoints import CommitCheckpoints, cpu_ranks_load, newest_committed
from components.core.training.launch import rank
from components.core.training.result import write_result
from components.curriculum_sft.config import Config
from components.curriculum_sft.data.samples import Row
from components.curriculum_sft.training.trainer import samples_per_step

SAMPLES_PER_STEP = "samples_per_step"
_CHECKPOINTS, _PHASES = "checkpoints", "phases"


@dataclass(frozen=True)
class Fitted:
    """A finished training run."""

    history: list[dict[str, float]]
    """The trainer's log, one entry every `log_steps`, from the first step on, over all resumptions."""
    steps: int
    tokens_per_s: float
    """Tokens trained on in a second by this process; 0 for a finished run that was only reloaded."""
    tokens: int = 0
    """Tokens that this process trained on since it began or continued."""
    checkpoint: Path | None = None
    """The sealed checkpoint of the last step."""
    start: Path | None = None
    """The model that its training began from."""


Train = Callable[[Config, Path, Path, list[Row]], tuple[Any, Fitted]]


def train_phases(
    phases: Sequence[Config], rows: list[Row], start: Path, processor: Any, train: Train, ctx: StageContext
) -> tuple[Any, Fitted]:
    """Train every phase that is not done; returns the last one's trainer, and all curves as one.

    The first phase starts from `start`, each other from the weights of the one before. Those are kept until
    the stage has ended. A phase takes the samples that are not too long for it.

    Args:
        phases: settings of each.
        train: trains one phase: (its settings, where it starts, its checkpoints' directory, its samples).

    Raises:
        DataError: a phase has no samples.
    """
    trainer: Any = None
    done: list[Fitted] = []
    several = len(phases) > 1
    for number, phase in enumerate(phases):
        name, longest = f"{number:02d}", phase.max_length_tokens
        own = [row for row in rows if row["length"] <= longest] if several else rows
        if not own:
            raise DataError(
                f"phase {number + 1}: no sample has at most {longest} tokens (phases.max_length_tokens)"
            )
        last = number == len(phases) - 1
        kept = ctx.work.dir(_PHASES, sealed_by=MANIFEST_NAME) / name
        if not last and (kept / MANIFEST_NAME).is_file():
            sealed = open_checkpoint(kept)
            done.append(Fitted(sealed.extra["history"], sealed.extra["steps"], 0.0))
            start = kept
            continue
        if several:
            ctx.log.info("phase", extra={"number": number + 1, "of": len(phases), "samples": len(own)})
        trainer = None  # one model at a time
        folder = f"{_CHECKPOINTS}-{name}" if several else _CHECKPOINTS
        checkpoints = ctx.work.dir(folder, sealed_by=MANIFEST_NAME)
        trainer, fitted = train(phase, start, checkpoints, own)
        done.append(replace(fitted, start=start))
        if not last:
            if not rank():
                shutil.rmtree(kept, ignore_errors=True)  # leftovers of a killed attempt
                write_result(fitted.checkpoint, start, processor, kept, phase.weight_type)
                extra = {"history": fitted.history, "steps": fitted.steps}
                commit_checkpoint(kept, provenance=ctx.provenance, extra=extra)
                shutil.rmtree(checkpoints)
            trainer.accelerator.wait_for_everyone()
            start = kept
    return trainer, joined(done)


def joined(done: Sequence[Fitted]) -> Fitted:
    """One training of several phases: steps go on counting."""
    history: list[dict[str, float]] = []
    steps = 0
    for fitted in done:
        history += [{**entry, "step": entry["step"] + steps} for entry in fitted.history]
        steps += fitted.steps
    last = done[-1]
    tokens = sum(fitted.tokens for fitted in done)
    return Fitted(history, steps, last.tokens_per_s, tokens, last.checkpoint, last.start)


def forget(ctx: StageContext) -> None:
    """Remove the files that only an interrupted stage needs, or one that waits for this one's result."""
    if rank() or ctx.work.awaited():
        return
    for path in [ctx.work.path / _PHASES, *ctx.work.path.glob(f"{_CHECKPOINTS}*")]:
        shutil.rmtree(path, ignore_errors=True)


def fit(
    trainer: Any, directory: Path, config: Config, provenance: dict[str, Any], log: logging.Logger
) -> Fitted:
    """Train to the end, from the newest committed checkpoint in `directory` if there is one.

    Raises:
        StageError: a signal stopped the run; it was saved, and the same command continues it.
        DataError: the loss is not finite, or exploded; the message names the samples.
        ConfigError: the checkpoint is another run's, or another global batch's.
    """
    if config.sharding != "none" and not trainer.is_deepspeed_enabled:
        raise ConfigError(
            "curriculum_sft.sharding: the trainer runs without DeepSpeed; see accelerate's settings"
        )
    per_step = samples_per_step(config)
    cpu_ranks_load()
    newest = newest_committed(directory, log)
    if newest is not None:
        check_same_run(newest, provenance, per_step)
        state = TrainerState.load_from_json(str(newest / TRAINER_STATE_NAME))
        log.info("continuing", extra={"step": state.global_step, "of": state.max_steps})
        if state.global_step >= state.max_steps:
            if config.sharding == "none":  # for the answers after training
                trainer._load_from_checkpoint(str(newest))
            return Fitted(state.log_history, state.global_step, 0.0, checkpoint=newest)
    stop = StopOnSignal(log)
    progress = Progress(config.objective, log, lambda: trainer.tokens_seen)
    trainer.remove_callback(PrinterCallback)
    for callback in (CommitCheckpoints(provenance, {SAMPLES_PER_STEP: per_step}), progress, stop):
        trainer.add_callback(callback)
    with stop.installed():
        trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    state = trainer.state
    stop.raise_if_early(state)
    speed = trainer.tokens_seen / max(progress.seconds, 1e-9)
    trainer.accelerator.wait_for_everyone()  # the last checkpoint is sealed by then
    last = directory / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
    return Fitted(state.log_history, state.global_step, speed, trainer.tokens_seen, last)


def check_same_run(checkpoint: Path, provenance: dict[str, Any], per_step: int) -> None:
    """Refuse to continue another run's checkpoint, or this one's with another global batch.

    Raises:
        ConfigError: naming the parts of `provenance`, or the `samples_per_step`, that differ.
    """
    manifest = json.loads((checkpoint / MANIFEST_NAME).read_text(encoding="utf-8"))
    written = manifest["provenance"]
    differs = sorted(k for k in written.keys() | provenance.keys() if written.get(k) != provenance.get(k))
    if differs:
        raise ConfigError(
            f"{checkpoint} was written by another run ({', '.join(differs)} differ); remove it to start "
            "anew, or restore that run's settings and inputs to continue it"
        )
    then = manifest["extra"].get(SAMPLES_PER_STEP, per_step)
    if then != per_step:
        raise ConfigError(
            f"{checkpoint} was trained with {then} samples a step, this run has {per_step}: the number of "
            "processes changed; use as many as before, or remove the checkpoint to start anew"
        )

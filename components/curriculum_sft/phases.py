"""Training in phases: each starts from the weights of the one before, which are kept until the stage has ended."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from components.core.data.checkpoint import commit_checkpoint, open_checkpoint
from components.core.data.manifest import MANIFEST_NAME
from components.core.stage.context import StageContext
from components.core.stage.errors import DataError
from components.core.training.launch import rank
from components.curriculum_sft.config import Config
from components.curriculum_sft.samples import Row
from components.curriculum_sft.training import Fitted, save_model

Train = Callable[[Config, Path, Path, list[Row]], tuple[Any, Fitted]]
_CHECKPOINTS, _PHASES = "checkpoints", "phases"


def train_phases(
    phases: Sequence[Config],
    rows: list[Row],
    start: Path,
    processor: Any,
    train: Train,
    ctx: StageContext,
) -> tuple[Any, Fitted]:
    """Train every phase that is not done; returns the last one's trainer, and the curves of all of them as one.

    Args:
        phases: settings of each.
        rows: checked samples; a phase takes those that are not too long for it.
        start: checkpoint of the first phase.
        processor: of the model.
        train: trains one phase: (its settings, where it starts, its checkpoints' directory, its samples).
        ctx: of the stage.

    Raises:
        DataError: a phase has no samples.
    """
    trainer: Any = None
    done: list[Fitted] = []
    for number, phase in enumerate(phases):
        name = f"{number:02d}"
        own = [row for row in rows if row["length"] <= phase.max_length_tokens] if len(phases) > 1 else rows
        if not own:
            raise DataError(
                f"phase {number + 1}: no sample has at most {phase.max_length_tokens} tokens (phases.max_length_tokens)"
            )
        last = number == len(phases) - 1
        kept = ctx.work.dir(_PHASES, sealed_by=MANIFEST_NAME) / name
        if not last and (kept / MANIFEST_NAME).is_file():
            sealed = open_checkpoint(kept)
            done.append(Fitted(sealed.extra["history"], sealed.extra["steps"], 0.0))
            start = kept
            continue
        if len(phases) > 1:
            ctx.log.info("phase", extra={"number": number + 1, "of": len(phases), "samples": len(own)})
        trainer = None  # one model at a time
        folder = f"{_CHECKPOINTS}-{name}" if len(phases) > 1 else _CHECKPOINTS
        checkpoints = ctx.work.dir(folder, sealed_by=MANIFEST_NAME)
        trainer, fitted = train(phase, start, checkpoints, own)
        done.append(fitted)
        if not last:
            save_model(trainer, processor, ctx.work.own / _PHASES / name if rank() else kept)
            if not rank():
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
    return Fitted(history, steps, done[-1].tokens_per_s, sum(fitted.tokens for fitted in done))


def forget(ctx: StageContext) -> None:
    """Remove what only an interrupted stage needs."""
    for path in [ctx.work.path / _PHASES, *ctx.work.path.glob(f"{_CHECKPOINTS}*")]:
        shutil.rmtree(path, ignore_errors=True)

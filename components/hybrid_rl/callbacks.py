"""What happens around the training steps: seeds, progress, committed checkpoints, an orderly stop on SIGTERM."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments, set_seed

from components.core.data.hashing import seed_for
from components.core.data.manifest import write_json_atomic
from components.core.resume.journal import Journal
from components.core.stage.log import ProgressBar
from components.core.training.launch import any_rank

from .prompts import Prompt, select
from .sampler import PromptSampler
from .scoring import Scored

COMMITTED = "COMMITTED.json"
"""What a whole checkpoint holds: its files with their bytes."""
_SAMPLER = "prompt_sampler.json"


class SeedEachStep(TrainerCallback):
    """Ties every step's random numbers to (seed, step, process), so that a resumed step draws what it would have."""

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Seed all generators."""
        set_seed(seed_for(args.seed, "step", state.global_step, args.process_index) % 2**32)


class Checkpoints(TrainerCallback):
    """Commits what the trainer saves: adds the sampler's state, then a marker that lists every file and its size."""

    def __init__(self, sampler: PromptSampler, keep: int) -> None:
        self.sampler, self.keep = sampler, keep

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Commit the checkpoint just written and remove old ones."""
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            root = Path(str(args.output_dir))
            commit(root / f"checkpoint-{state.global_step}", self.sampler)
            for path in sorted(root.glob("checkpoint-*"), key=_step)[: -self.keep]:
                shutil.rmtree(path)


class StopOnSigterm(TrainerCallback):
    """On SIGTERM: finish the updates of this generation, save, stop. Use as a context manager around training."""

    def __init__(self, updates_per_generation: int = 1) -> None:
        self.received = False
        self.updates_per_generation = updates_per_generation
        self._previous: Any = None

    def __enter__(self) -> StopOnSigterm:
        self._previous = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *exc: object) -> None:
        signal.signal(signal.SIGTERM, self._previous)

    def _note(self, number: int, frame: object) -> None:
        self.received = True

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Ask the trainer to save and stop when the signal has come."""
        self.received = any_rank(self.received)
        if self.received and state.global_step % self.updates_per_generation == 0:
            control.should_save = True
            control.should_training_stop = True


class RefreshPassRates(TrainerCallback):
    """Measures the present policy's pass rates anew every so many steps, before the step's checkpoint is saved, and
    closes the questions that the policy by now always or never solves (`select`).

    A draw that the data loader has fetched ahead was made before; the draws after it follow the new rates.

    Args:
        sampler: gets the rates; its settings say which questions stay open.
        prompts: the questions, in the sampler's order.
        every: steps between two measurements; 0 makes none.
        measure: the questions with their rates at a step.
        at_least: questions to keep open.
    """

    def __init__(
        self,
        sampler: PromptSampler,
        prompts: Sequence[Prompt],
        every: int,
        measure: Callable[[int, Sequence[Prompt]], Sequence[Prompt]],
        at_least: int = 1,
    ) -> None:
        self.sampler, self.prompts, self.every, self.measure = sampler, list(prompts), every, measure
        self.at_least = at_least

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure, where it is time."""
        if self.every and state.global_step % self.every == 0 and state.global_step < state.max_steps:
            rated = self.measure(state.global_step, self.prompts)
            rates = {prompt.prompt_id: prompt.pass_rate for prompt in rated}
            # However few they are, a run that is under way goes on with the nearest.
            fill = self.sampler.settings.model_copy(update={"on_too_few": "fill"})
            kept = [prompt.prompt_id for prompt in select(rated, fill, self.at_least)]
            self.sampler.refresh(rates, [prompt.hardness for prompt in rated], kept)


class Progress(TrainerCallback):
    """Moves a progress bar by one a step."""

    def __init__(self, bar: ProgressBar) -> None:
        self.bar = bar

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Advance."""
        self.bar.update(1)


class RolloutRecorder:
    """Keeps some rollouts of some steps in a journal: an observer of scored batches."""

    def __init__(self, journal: Journal, every: int, count: int, max_steps: int) -> None:
        self.journal, self.every, self.count, self.max_steps = journal, every, count, max_steps

    def __call__(self, scored: Scored, step: int) -> None:
        """Keep the first rollouts of a batch, beginning with another group each time."""
        if not PartialState().is_main_process or not self.count:
            return
        if step % self.every and step != self.max_steps - 1:
            return
        groups = len(scored.clusters)
        start = (step // self.every) % groups * scored.group_size
        total = len(scored.rollouts)
        chosen = [(start + i) % total for i in range(min(self.count, total))]
        self.journal.put(f"{step:08d}", [self._row(scored, i) for i in chosen])

    @staticmethod
    def _row(scored: Scored, i: int) -> dict[str, Any]:
        rollout = scored.rollouts[i]
        return {
            "prompt_id": rollout.prompt_id,
            "image_id": rollout.image_id,
            "question": rollout.question,
            "reference": rollout.reference,
            "answer_type": rollout.answer_type,
            "sample_no": i % scored.group_size,
            "response": rollout.response,
            "answer": rollout.answer,
            "tokens": rollout.tokens,
            "advantage": round(float(scored.advantages[i]), 4),
            "correct": float(scored.rewards["correctness"][i]) == 1.0,
        }


def commit(path: Path, sampler: PromptSampler) -> None:
    """Make a saved checkpoint one that a resumed run trusts."""
    write_json_atomic(path / _SAMPLER, sampler.state_dict())
    write_json_atomic(path / COMMITTED, {"step": _step(path), "files": _sizes(path)})


def newest(root: Path) -> Path | None:
    """The newest committed checkpoint in a directory, None when there is none; uncommitted ones are passed over."""
    for path in sorted(root.glob("checkpoint-*"), key=_step, reverse=True):
        marker = path / COMMITTED
        if marker.is_file() and json.loads(marker.read_text(encoding="utf-8"))["files"] == _sizes(path):
            return path
    return None


def restore_sampler(path: Path, sampler: PromptSampler) -> None:
    """Bring a sampler to the state that a checkpoint holds."""
    sampler.load_state_dict(json.loads((path / _SAMPLER).read_text(encoding="utf-8")))


def _step(path: Path) -> int:
    return int(path.name.rpartition("-")[2])


def _sizes(path: Path) -> dict[str, int]:
    files = (item for item in sorted(path.rglob("*")) if item.is_file() and item.name != COMMITTED)
    return {item.relative_to(path).as_posix(): item.stat().st_size for item in files}

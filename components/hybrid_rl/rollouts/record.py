"""Record of rollouts: some of every few steps, journalled in training, written as table predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from accelerate import PartialState

from components.core.data.dataset import DatasetWriter
from components.core.resume.journal import Journal
from components.hybrid_rl.config import Config
from components.hybrid_rl.scoring import Scored

Steps = Sequence[tuple[int, list[dict[str, Any]]]]
"""The recorded rollouts: (step, rows) in order."""

_FIELDS = ("prompt_id", "image_id", "question", "reference", "answer_type", "response", "answer", "tokens")
"""A rollout's part of a recorded row."""


class RolloutRecorder:
    """Keeps some rollouts of some steps in a journal: an observer of scored batches."""

    def __init__(self, journal: Journal, config: Config) -> None:
        self._journal, self._config = journal, config

    def __call__(self, scored: Scored, step: int) -> None:
        """Keep the first rollouts of a batch, beginning with another group each time."""
        every, count = self._config.rollouts_every_steps, self._config.rollouts_kept_per_step
        due = not step % every or step == self._config.max_steps - 1
        if not (PartialState().is_main_process and count and due):
            return
        start = (step // every) % len(scored.clusters) * scored.group_size
        total = len(scored.rollouts)
        chosen = [(start + i) % total for i in range(min(count, total))]
        self._journal.put(f"{step:08d}", [_row(scored, i) for i in chosen])

    def steps(self) -> Steps:
        """Everything kept so far, by earlier attempts too."""
        found = ((step, self._journal.get(f"{step:08d}")) for step in range(self._config.max_steps))
        return [(step, rows) for step, rows in found if rows is not None]


def _row(scored: Scored, i: int) -> dict[str, Any]:
    return {name: getattr(scored.rollouts[i], name) for name in _FIELDS} | {
        "sample_no": i % scored.group_size,
        "advantage": round(float(scored.advantages[i]), 4),
        "correct": float(scored.rewards["correctness"][i]) == 1.0,
    }


def write_rollouts(steps: Steps, writer: DatasetWriter) -> None:
    """Write recorded rollouts as table predictions; `model` tells the step."""
    for step, rows in steps:
        writer.write(
            [
                {
                    "benchmark": "rollouts",
                    "item_id": row["prompt_id"],
                    "group": row["prompt_id"],
                    "image_group": row["image_id"],
                    "category": row["answer_type"],
                    "model": f"step-{step}",
                    "sample_no": row["sample_no"],
                    "response": row["response"],
                    "extracted": row["answer"],
                    "stage": "rules",
                    "score": float(row["correct"]),
                    "response_tokens": row["tokens"],
                }
                for row in rows
            ]
        )

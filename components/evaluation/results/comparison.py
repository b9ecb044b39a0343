"""A run against another run of the same items: differences with intervals and tests, items that flipped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from components.core.benchmarks.rules import UNREAD, Item, Scored
from components.core.data.dataset import Dataset
from components.core.stage.errors import DataError
from components.core.stats import Bootstrap, PairedComparison, paired_comparison
from components.evaluation.results.summary import (
    RIGHT,
    accuracies,
    cluster_of,
    hallucinations,
    probe_indices,
    to_json,
)
from components.evaluation.scoring import Unit, aggregate

_COLUMNS = ("benchmark", "item_id", "model", "sample_no", "response", "extracted", "stage", "score")


class OtherRun(NamedTuple):
    """The scored answers of the run that is compared with, on this run's items."""

    label: str
    answers: dict[int, tuple[str, Scored]]
    """Response and score by item index."""


class RunComparison(NamedTuple):
    """This run minus the other."""

    label: str
    """The other run's model."""
    metrics: dict[str, PairedComparison]
    by_category: dict[str, dict[str, PairedComparison]]
    """By benchmark and category."""
    better: list[int]
    """Items that only this run has right."""
    worse: list[int]
    """Items that only the other run has right."""
    items: int
    """Items that both runs answered."""

    def to_json(self) -> dict[str, Any]:
        """As recorded in the scores."""
        return {
            "with": self.label,
            "items": self.items,
            "metrics": to_json(self.metrics),
            "by_category": {name: to_json(categories) for name, categories in self.by_category.items()},
        }


def read_other(predictions: Dataset, items: Sequence[Item]) -> OtherRun:
    """The greedy answers of another run to these items.

    Raises:
        DataError: it answered none of them.
    """
    index = {(item.benchmark, item.item_id): i for i, item in enumerate(items)}
    label, answers = "", {}
    for row in predictions.rows_iter(columns=_COLUMNS):
        i = index.get((row["benchmark"], row["item_id"]))
        if row["sample_no"] == 0 and i is not None:
            label = row["model"]
            answers[i] = (row["response"], Scored(row["extracted"], row["stage"], row["score"]))
    if not answers:
        raise DataError(
            f"{predictions.path}: answers none of this run's items; compare with a run of the same benchmarks"
        )
    return OtherRun(label, answers)


def compare(
    items: Sequence[Item], scored: Sequence[Scored], other: OtherRun, bootstrap: Bootstrap
) -> RunComparison:
    """Compare on the items that both runs answered; a circular group takes part if all its rotations do."""
    theirs = [other.answers[i][1] if i in other.answers else UNREAD for i in range(len(items))]
    before = {unit.indices: unit.score for unit in aggregate(items, theirs)}

    def change(units: Sequence[Unit]) -> PairedComparison:
        # Predictions hold scores as float32; both runs' scores are rounded alike.
        old = np.array([before[unit.indices] for unit in units], dtype=np.float32)
        new = np.array([unit.score for unit in units], dtype=np.float32)
        return paired_comparison(old, new, [cluster_of(unit.item) for unit in units], bootstrap)

    both = [unit for unit in aggregate(items, scored) if all(i in other.answers for i in unit.indices)]
    metrics, by_category = accuracies(both, change)
    probes = [i for i in probe_indices(items) if i in other.answers]
    if now := hallucinations(items, scored, probes):
        then = hallucinations(items, theirs, list(now))
        metrics["hallucination_rate"] = paired_comparison(
            [then[i] for i in now], list(now.values()), [cluster_of(items[i]) for i in now], bootstrap
        )
    right = {i: (scored[i].score >= RIGHT, theirs[i].score >= RIGHT) for i in other.answers}
    better = sorted(i for i, (new, old) in right.items() if new and not old)
    worse = sorted(i for i, (new, old) in right.items() if old and not new)
    return RunComparison(other.label, metrics, by_category, better, worse, len(other.answers))

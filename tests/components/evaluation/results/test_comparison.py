"""A run against another run of the same items."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.core.data.dataset import Dataset, DatasetWriter
from components.core.stage.errors import DataError
from components.core.stats import Bootstrap
from components.evaluation.items import Item
from components.evaluation.results.comparison import OtherRun, compare, read_other
from components.evaluation.scoring import Scored

BOOTSTRAP = Bootstrap(resamples=200)


def scored(*scores: float) -> list[Scored]:
    return [Scored("yes", "exact", score) for score in scores]


def other_run(*scores: float | None) -> OtherRun:
    """Answers to items 0, 1, ...; None where the other run did not ask."""
    answers = {i: ("yes", Scored("yes", "exact", s)) for i, s in enumerate(scores) if s is not None}
    return OtherRun("before", answers)


def test_gains_losses_and_categories(make_item):
    items = [make_item(n, category="xy"[n // 3]) for n in range(6)]
    found = compare(items, scored(1, 1, 0, 1, 0, 1), other_run(0, 1, 1, 0, 0, 0), BOOTSTRAP)
    overall = found.metrics["domain_accuracy"]
    assert (overall.gained, overall.lost, overall.difference.n) == (3, 1, 6)
    assert overall.difference.value == pytest.approx(2 / 6)
    assert (found.better, found.worse) == ([0, 3, 5], [2])
    values = {name: paired.difference.value for name, paired in found.by_category["b"].items()}
    assert values == pytest.approx({"x": 0.0, "y": 2 / 3})


def test_only_items_that_both_asked_are_compared(make_item):
    items = [make_item(n, group=f"q{n // 2}") for n in range(4)]  # two circular groups, the second half asked
    found = compare(items, scored(1, 1, 1, 1), other_run(1, 0, 1, None), BOOTSTRAP)
    assert found.items == 3
    assert found.metrics["domain_accuracy"].difference.n == 1
    assert found.better == [1]


def test_hallucinations_are_compared_on_absent_things(make_item):
    items = [
        make_item(n, role="hallucination", answers=(answer,)) for n, answer in enumerate(("no", "no", "yes"))
    ]
    now = [Scored("no", "exact", 1.0), Scored("no", "exact", 1.0), Scored("yes", "exact", 1.0)]
    before = OtherRun("before", {i: ("yes", Scored("yes", "exact", float(i == 2))) for i in range(3)})
    difference = compare(items, now, before, BOOTSTRAP).metrics["hallucination_rate"].difference
    assert (difference.value, difference.n) == (-1.0, 2)


def test_scores_are_compared_as_predictions_hold_them(make_item):
    # 1/3 is rounded to float32 in the other run's predictions; the same answer is no difference.
    import numpy as np

    items = [make_item(0), make_item(1)]
    found = compare(items, scored(1 / 3, 0.7), other_run(float(np.float32(1 / 3)), 0.7), BOOTSTRAP)
    assert found.metrics["domain_accuracy"].difference.value == 0


def predictions(path: Path, items: list[Item]) -> Dataset:
    with DatasetWriter(path, "predictions") as writer:
        writer.write(
            [
                {
                    "benchmark": item.benchmark, "item_id": item.item_id, "group": item.item_id,
                    "image_group": "p", "category": "c", "model": "before", "sample_no": sample,
                    "response": f"{sample}", "extracted": "", "stage": "none",
                    "score": float(sample), "response_tokens": 1,
                }
                for item in items
                for sample in (0, 1)
            ]
        )  # fmt: skip
    return Dataset.open(path, "predictions")


def test_the_other_runs_greedy_answers_are_read(make_item, tmp_path):
    items = [make_item(0), make_item(1)]
    read = read_other(predictions(tmp_path / "other", [items[1], make_item(7)]), items)
    assert read == OtherRun("before", {1: ("0", Scored("", "none", 0.0))})


def test_runs_without_common_items_are_refused(make_item, tmp_path):
    with pytest.raises(DataError, match="none of this run's items"):
        read_other(predictions(tmp_path / "other", [make_item(7)]), [make_item(0)])

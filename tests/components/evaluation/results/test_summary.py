"""Metrics of a run against counts by hand."""

from __future__ import annotations

import pytest

from components.core.stats import Bootstrap
from components.evaluation.engines import Response
from components.evaluation.items import Item
from components.evaluation.results.summary import summarise
from components.evaluation.scoring import Scored

BOOTSTRAP = Bootstrap(resamples=200)


def test_every_metric_is_what_was_counted(make_item, answered):
    items = [
        make_item(0, category="x"),
        make_item(1, category="y"),
        make_item(2, benchmark="g", role="general"),
        make_item(3, benchmark="h", role="hallucination", answers=("no",)),
        make_item(4, benchmark="h", role="hallucination", answers=("no",)),
        make_item(5, benchmark="h", role="hallucination", answers=("yes",)),
    ]
    greedy = [
        answered("yes", 1.0, tokens=2),
        answered("no", 0.0, tokens=6, finished=False),
        answered("yes", 1.0),
        answered("yes", 0.0),  # a hallucination
        answered("no", 1.0),
        answered("yes", 1.0),
    ]
    samples = {
        0: [Scored("yes", "exact", 1.0), Scored("no", "exact", 0.0)],
        1: [Scored("no", "exact", 0.0), Scored("no", "exact", 0.0)],
    }
    results = summarise(items, greedy, samples, pass_k=(1, 2), bootstrap=BOOTSTRAP)
    # Probes: said yes, no, yes where no, no, yes is true: precision 1/2, recall 1, f1 = 2/3.
    assert {name: (e.value, e.n) for name, e in results.metrics.items()} == {
        "domain_accuracy": (0.5, 2),
        "general_accuracy": (1.0, 1),
        "hallucination_rate": (0.5, 2),
        "probe_accuracy": (pytest.approx(2 / 3), 3),
        "probe_yes_ratio": (pytest.approx(2 / 3), 3),
        "probe_present_accuracy": (1.0, 1),
        "probe_recall": (1.0, 1),
        "probe_precision": (0.5, 2),
        "probe_f1": (pytest.approx(2 / 3), 3),
        "pass_at_1": (0.25, 2),
        "pass_at_2": (0.5, 2),
        "mean_response_tokens": (4.0, 2),
    }
    assert {name: set(found) for name, found in results.by_category.items()} == {
        "b": {"x", "y"}, "g": {"c"}, "h": {"c"},
    }  # fmt: skip
    assert {c: (e.value, e.n) for c, e in results.by_category["b"].items()} == {"x": (1.0, 1), "y": (0.0, 1)}
    assert results.by_benchmark["h"].value == pytest.approx(2 / 3)
    assert results.details["cut_responses"] == pytest.approx(1 / 6)
    assert results.details["response_tokens"] == {"p50": 2.0, "p90": 6.0, "p99": 6.0, "max": 6.0}
    assert results.details["extraction"] == {"exact": 1.0}


def test_metrics_without_items_are_absent(make_item, answered):
    results = summarise(
        [make_item(0, role="general")], [answered("yes", 1.0)], {}, pass_k=(1,), bootstrap=BOOTSTRAP
    )
    assert set(results.metrics) == {"general_accuracy"}


def test_rotations_count_once_and_only_if_all_are_right(make_item, answered):
    items = [make_item(n, group=f"question {n // 2}") for n in range(4)]
    greedy = [answered("yes", score) for score in (1.0, 0.0, 1.0, 1.0)]
    accuracy = summarise(items, greedy, {}, pass_k=(), bootstrap=BOOTSTRAP).metrics["domain_accuracy"]
    assert (accuracy.value, accuracy.n) == (0.5, 2)


def test_pictures_of_two_benchmarks_are_different_pictures(make_item, answered):
    # Both benchmarks number their pictures from 0: ten clusters, not five.
    items = [
        make_item(n, benchmark=benchmark, image_group=str(n)) for benchmark in ("b", "c") for n in range(5)
    ]
    greedy = [answered("yes", 1.0)] * 10
    accuracy = summarise(items, greedy, {}, pass_k=(), bootstrap=BOOTSTRAP).metrics["domain_accuracy"]
    assert accuracy.low == pytest.approx(0.025 ** (1 / 10))


def test_needles_are_tabled(make_item, answered):
    items: list[Item] = [
        make_item(n, grid=(100 * (1 + n // 2), n % 2 * 1.0), kind="needle_text") for n in range(4)
    ]
    greedy = [answered("yes", score) for score in (1.0, 0.0, 1.0, 1.0)]
    table = summarise(items, greedy, {}, pass_k=(), bootstrap=BOOTSTRAP).details["needle"]["b"]
    assert [list(row) for row in table["accuracy"]] == [[1.0, 0.0], [1.0, 1.0]]


def test_a_response_is_counted_with_its_end(make_item):
    greedy = [(Response("yes", 2, True), Scored("yes", "rules", 1.0))]
    details = summarise([make_item(0)], greedy, {}, pass_k=(), bootstrap=BOOTSTRAP).details
    assert details["cut_responses"] == 0
    assert details["extraction"] == {"rules": 1.0}

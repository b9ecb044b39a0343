"""Numbers of a run: metrics with intervals, by benchmark and category, and their details. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import numpy as np

from components.core.answers import normalise
from components.core.benchmarks.rules import Item, Scored
from components.core.stats import (
    Bootstrap,
    Estimate,
    PairedComparison,
    mean_estimate,
    pass_at_k,
    percentiles,
    probe_scores,
)
from components.evaluation.engines import Response
from components.evaluation.scoring import Unit, aggregate

T = TypeVar("T")

RIGHT = 0.5
"""From this score on an answer counts as right where right and wrong are counted."""

Answered = Sequence[tuple[Response, Scored]]
"""Responses with their scores."""


class Results(NamedTuple):
    """All numbers of a run."""

    metrics: dict[str, Estimate]
    """The run's headline metrics; one that has no items is absent."""
    by_benchmark: dict[str, Estimate]
    """Accuracy by benchmark."""
    by_category: dict[str, dict[str, Estimate]]
    """Accuracy by benchmark and category."""
    details: dict[str, Any]
    """Probe scores, response lengths, stages of extraction, share of cut responses, needle tables."""

    def to_json(self) -> dict[str, Any]:
        """As recorded in the scores."""
        return {
            "metrics": to_json(self.metrics),
            "by_benchmark": to_json(self.by_benchmark),
            "by_category": {name: to_json(categories) for name, categories in self.by_category.items()},
            "details": self.details,
        }


def to_json(estimates: Mapping[str, Estimate | PairedComparison]) -> dict[str, Any]:
    """Estimates or comparisons by name, as dictionaries."""
    return {name: estimate.to_json() for name, estimate in estimates.items()}


def summarise(
    items: Sequence[Item],
    greedy: Answered,
    samples: Mapping[int, Sequence[Scored]],
    *,
    pass_k: Sequence[int],
    bootstrap: Bootstrap,
) -> Results:
    """Metrics of a run. Accuracy counts units: a circular group of rotations is one, right if all are.

    Args:
        items: all items.
        greedy: the greedy response and score of each.
        samples: scores of the sampled responses of some domain items, by item index, equally many each.
        pass_k: the k of pass@k.
    """

    def accuracy(units: Sequence[Unit]) -> Estimate:
        return _mean([unit.item for unit in units], [unit.score for unit in units], bootstrap)

    scored = [found for _, found in greedy]
    units = aggregate(items, scored)
    metrics, by_category = accuracies(units, accuracy)
    stages = Counter(found.stage for found in scored)
    details: dict[str, Any] = {
        "extraction": {stage: stages[stage] / len(scored) for stage in sorted(stages)},
        "cut_responses": float(np.mean([not response.finished for response, _ in greedy])),
    }
    if probes := probe_indices(items):
        found, details["probes"] = _probe_metrics(items, scored, probes, bootstrap)
        metrics |= found
    if samples:
        sampled = sorted(samples)
        count = len(samples[sampled[0]])
        correct = [sum(drawn.score >= RIGHT for drawn in samples[i]) for i in sampled]
        asked = [items[i] for i in sampled]
        metrics |= {f"pass_at_{k}": _mean(asked, pass_at_k(count, correct, k), bootstrap) for k in pass_k}
    if domain := [i for i, item in enumerate(items) if item.role == "domain"]:
        tokens = [greedy[i][0].tokens for i in domain]
        metrics["mean_response_tokens"] = _mean([items[i] for i in domain], tokens, bootstrap, bounds=None)
        details["response_tokens"] = {**percentiles(tokens), "max": float(max(tokens))}
    by_benchmark = {name: accuracy([u for u in units if u.item.benchmark == name]) for name in by_category}
    tables = {name: needle_table(items, scored, name) for name in by_category}
    if needles := {name: table for name, table in tables.items() if table["lengths"]}:
        details["needle"] = needles
    return Results(metrics, by_benchmark, by_category, details)


def accuracies(
    units: Sequence[Unit], value: Callable[[list[Unit]], T]
) -> tuple[dict[str, T], dict[str, dict[str, T]]]:
    """`value` of the units of role domain and role general, and of those of each benchmark and category."""
    metrics, by_category = {}, {}
    for role in ("domain", "general"):
        if chosen := [unit for unit in units if unit.item.role == role]:
            metrics[f"{role}_accuracy"] = value(chosen)
    for name in dict.fromkeys(unit.item.benchmark for unit in units):
        own = [unit for unit in units if unit.item.benchmark == name]
        categories = sorted({unit.item.category for unit in own})
        by_category[name] = {c: value([unit for unit in own if unit.item.category == c]) for c in categories}
    return metrics, by_category


def _mean(items: Sequence[Item], values: Any, bootstrap: Bootstrap, **bounds: Any) -> Estimate:
    return mean_estimate(values, [cluster_of(item) for item in items], bootstrap, **bounds)


def cluster_of(item: Item) -> str:
    """The picture an item is about; two benchmarks may name theirs alike."""
    return f"{item.benchmark}\x1f{item.image_group}"


def probe_indices(items: Sequence[Item]) -> list[int]:
    """Yes/no items of benchmarks about hallucination."""
    return [
        i for i, item in enumerate(items) if item.role == "hallucination" and item.answer_type == "yes_no"
    ]


def hallucinations(
    items: Sequence[Item], scored: Sequence[Scored], probes: Sequence[int]
) -> dict[int, float]:
    """1 for each probe about something absent that was affirmed, else 0, by item index."""
    absent = [i for i in probes if normalise(items[i].reference, "yes_no") == "no"]
    return {i: float(normalise(scored[i].extracted, "yes_no") == "yes") for i in absent}


def _probe_metrics(
    items: Sequence[Item], scored: Sequence[Scored], probes: Sequence[int], bootstrap: Bootstrap
) -> tuple[dict[str, Estimate], dict[str, Any]]:
    said = np.array([normalise(scored[i].extracted, "yes_no") for i in probes])
    truth = np.array([normalise(items[i].reference, "yes_no") == "yes" for i in probes])
    yes, no = said == "yes", said == "no"
    counted = {"n": len(probes), **probe_scores(yes, no, truth)}

    def of(chosen: Any, values: Any) -> Estimate:
        return _mean([items[probes[n]] for n in chosen], np.asarray(values, dtype=float), bootstrap)

    every = np.arange(len(probes))
    metrics = {"probe_accuracy": of(every, np.where(truth, yes, no)), "probe_yes_ratio": of(every, yes)}
    if absent := hallucinations(items, scored, probes):
        asked = [items[i] for i in absent]
        metrics["hallucination_rate"] = _mean(asked, list(absent.values()), bootstrap)
    if truth.any():
        metrics["probe_present_accuracy"] = of(np.flatnonzero(truth), yes[truth])
    if "f1" in counted:
        metrics["probe_recall"] = metrics["probe_present_accuracy"]
        if yes.any():
            metrics["probe_precision"] = of(np.flatnonzero(yes), truth[yes])
        # F1 = 2 TP / (2 TP + FP + FN): a ratio of sums over items, so a mean where a hit counts twice.
        parts = np.concatenate([np.flatnonzero(yes & truth)] * 2 + [np.flatnonzero(truth != yes)])
        f1 = of(parts, (yes & truth)[parts])
        metrics["probe_f1"] = replace(f1, n=len(probes))
    return metrics, counted


def needle_table(items: Sequence[Item], scored: Sequence[Scored], benchmark: str) -> dict[str, Any]:
    """Accuracy and number of a benchmark's items, by length (rows) and depth (columns) of the needle.

    Lengths (words, or pictures) and depths (0 at the start, 1 at the end) ascend. A cell without items has
    accuracy None. Items without a place in the grid are left out.
    """
    cells: dict[tuple[int, float], list[float]] = {}
    for item, found in zip(items, scored, strict=True):
        if item.benchmark == benchmark and item.grid is not None:
            cells.setdefault(item.grid, []).append(found.score)
    lengths, depths = sorted({length for length, _ in cells}), sorted({depth for _, depth in cells})
    table = [[cells.get((length, depth), []) for depth in depths] for length in lengths]
    return {
        "lengths": lengths,
        "depths": depths,
        "accuracy": [[sum(cell) / len(cell) if cell else None for cell in row] for row in table],
        "counts": [[len(cell) for cell in row] for row in table],
    }

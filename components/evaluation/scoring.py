"""From responses to scores: each response against its item's answer, then the metrics of the run. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from components.core.answers import agree, anls, extract_staged, normalise, relaxed_accuracy
from components.evaluation.benchmarks import Item
from components.evaluation.inference import Response
from components.evaluation.stats import (
    Bootstrap,
    Estimate,
    estimates_by,
    mean_estimate,
    pass_at_k,
    percentiles,
    probe_scores,
)


class Scored(NamedTuple):
    """A response's extracted answer, how it was found, and its score in [0, 1]."""

    extracted: str
    stage: str
    score: float


def score(response: str, item: Item) -> Scored:
    """Score a response by the item's scorer; no extracted answer scores 0."""
    answer, stage = extract_staged(response, item.answer_type, item.choices)
    if not answer:
        return Scored("", stage, 0.0)
    if item.scorer == "anls":
        return Scored(answer, stage, anls(answer, [item.answer]))
    if item.scorer == "relaxed_accuracy":
        return Scored(answer, stage, relaxed_accuracy(answer, item.answer))
    return Scored(answer, stage, float(agree(answer, item.answer, item.answer_type, item.choices)))


class Results(NamedTuple):
    """All numbers of a run."""

    metrics: dict[str, Estimate]
    """The run's headline metrics; one that has no items is absent."""
    by_category: dict[str, dict[str, Estimate]]
    """Accuracy by benchmark and category."""
    details: dict[str, Any]
    """Probe scores, percentiles of response length, stages of extraction, share of cut responses."""


def summarise(
    items: Sequence[Item],
    greedy: Sequence[tuple[Response, Scored]],
    samples: Mapping[int, Sequence[Scored]],
    *,
    pass_k: Sequence[int],
    bootstrap: Bootstrap,
) -> Results:
    """Metrics of a run.

    Args:
        items: all items; greedy: the greedy response and score of each.
        samples: scores of the sampled responses of some domain items, by item index, equally many each.
        pass_k: the k of pass@k.
    """
    scores = np.array([scored.score for _, scored in greedy])
    groups = [item.image_group for item in items]
    metrics: dict[str, Estimate] = {}

    def of(indices: Sequence[int], values: Any, **bounds: Any) -> Estimate:
        return mean_estimate(values, [groups[i] for i in indices], bootstrap, **bounds)

    by_role: dict[str, list[int]] = {}
    for index, item in enumerate(items):
        by_role.setdefault(item.role, []).append(index)
    for role in ("domain", "general"):
        if indices := by_role.get(role):
            metrics[f"{role}_accuracy"] = of(indices, scores[indices])
    details: dict[str, Any] = {
        "extraction": _shares([scored.stage for _, scored in greedy]),
        "cut_responses": float(np.mean([not response.finished for response, _ in greedy])),
    }
    if probes := [i for i in by_role.get("hallucination", []) if items[i].answer_type == "yes_no"]:
        said = [normalise(greedy[i][1].extracted, "yes_no") for i in probes]
        truth = [normalise(items[i].answer, "yes_no") for i in probes]
        absent = [n for n, true in enumerate(truth) if true == "no"]
        if absent:
            metrics["hallucination_rate"] = of(
                [probes[n] for n in absent], [float(said[n] == "yes") for n in absent]
            )
        yes, no = [s == "yes" for s in said], [s == "no" for s in said]
        details["probes"] = {"n": len(probes), **probe_scores(yes, no, [t == "yes" for t in truth])}
    if samples:
        sampled = sorted(samples)
        count = len(samples[sampled[0]])
        correct = [sum(scored.score >= 0.5 for scored in samples[i]) for i in sampled]
        for k in pass_k:
            metrics[f"pass_at_{k}"] = of(sampled, pass_at_k(count, correct, k))
    if indices := by_role.get("domain"):
        tokens = [greedy[i][0].tokens for i in indices]
        metrics["mean_response_tokens"] = of(indices, tokens, bounds=None)
        details["response_tokens"] = percentiles(tokens)
    by_category = {}
    for name in dict.fromkeys(item.benchmark for item in items):
        own = [i for i, item in enumerate(items) if item.benchmark == name]
        by_category[name] = dict(
            estimates_by([items[i].category for i in own], scores[own], [groups[i] for i in own], bootstrap)
        )
    return Results(metrics, by_category, details)


def _shares(values: Sequence[str]) -> dict[str, float]:
    return {value: values.count(value) / len(values) for value in sorted(set(values))}

"""Evaluations of several seeds as one estimate a measure, with an interval over pictures and seeds.

The items of one picture, in all seeds, form a cluster: seeds do not make a picture count more than once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.stages import DEMO, Finished
from components.core.data.dataset import Dataset
from components.core.stats import Estimate, mean_estimate, paired_comparison, pass_at_k

Row = dict[str, Any]
K = 8


@dataclass(frozen=True)
class Values:
    """One measure's value of every item, with the picture it belongs to."""

    by_item: Mapping[str, float]
    clusters: Mapping[str, str]
    bounded: bool = True
    """Whether all values lie in [0, 1]."""


Measures = Mapping[str, Callable[[list[Row]], Values]]


def by_item(
    rows: Iterable[Row],
    value: Callable[[list[Row]], float],
    *,
    item: str = "item_id",
    cluster: str = "image_group",
    bounded: bool = True,
) -> Values:
    """A value of the rows that share column `item`, in their order; `cluster` names the picture's column."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[item]].append(row)
    return Values(
        {name: value(own) for name, own in found.items()},
        {name: own[0][cluster] for name, own in found.items()},
        bounded,
    )


def predictions(evaluation: Finished, world: Path = DEMO / "world") -> list[Row]:
    """The rows of an evaluation's answers; `absent` says whether a probe is about a light that is off."""
    return answers(evaluation.output("predictions"), world)


def answers(path: Path, world: Path) -> list[Row]:
    """The rows of the dataset `predictions` at `path`, whose benchmarks are those of `world`."""
    absent = _absent(world)
    rows = Dataset.open(path, "predictions").rows_iter()
    return [{**row, "absent": row["item_id"] in absent} for row in rows]


@lru_cache
def _absent(world: Path) -> frozenset[str]:
    """Ids of the probes about lights that are off."""
    rows = Dataset.open(world / "benchmarks/hallucination", "benchmark").rows_iter(["item_id", "answer"])
    return frozenset(row["item_id"] for row in rows if row["answer"] == "no")


def _greedy(benchmark: str) -> Callable[[list[Row]], Values]:
    return lambda rows: by_item(
        [r for r in rows if r["benchmark"] == benchmark and r["sample_no"] == 0], lambda own: own[0]["score"]
    )


def _hallucination(rows: list[Row]) -> Values:
    probes = [r for r in rows if r["benchmark"] == "hallucination" and r["absent"]]
    return by_item(probes, lambda own: float(own[0]["extracted"] == "yes"))


def _probe_accuracy(rows: list[Row]) -> Values:
    return _greedy("hallucination")(rows)


def _sampled(rows: list[Row], measure: Callable[[list[Row]], float], *, bounded: bool = True) -> Values:
    own = [r for r in rows if r["benchmark"] == "domain" and r["sample_no"] > 0]
    return by_item(sorted(own, key=lambda r: r["sample_no"]), measure, bounded=bounded)


def _pass_1(rows: list[Row]) -> Values:
    return _sampled(rows, lambda own: float(np.mean([r["score"] for r in own])))


def _pass_k(rows: list[Row]) -> Values:
    """Estimated from all samples of an item: more than K make it surer."""
    return _sampled(rows, lambda own: float(pass_at_k(len(own), [sum(r["score"] == 1 for r in own)], K)[0]))


def _distinct(rows: list[Row]) -> Values:
    """Different answers among the samples of questions whose answer is a word or phrase."""
    return _sampled(
        [r for r in rows if r["category"] in OPEN],
        lambda own: len({r["extracted"].casefold() for r in own[:K]}),
        bounded=False,
    )


def _tokens(rows: list[Row]) -> Values:
    greedy = [r for r in rows if r["benchmark"] == "domain" and r["sample_no"] == 0]
    return by_item(greedy, lambda own: float(own[0]["response_tokens"]), bounded=False)


OPEN = frozenset({"meaning", "action", "end_action", "end_meaning", "next_right", "end"})
"""Categories of the domain benchmark whose answers are words or phrases."""
MEASURES: Measures = {
    "domain": _greedy("domain"),
    "general": _greedy("general"),
    "pass@1": _pass_1,
    f"pass@{K}": _pass_k,
    "distinct": _distinct,
    "tokens": _tokens,
    "hallucination": _hallucination,
    "probe accuracy": _probe_accuracy,
}


def over_seeds(runs: Sequence[list[Row]], measure: str, measures: Measures = MEASURES) -> Estimate:
    """A measure's mean over the items of all seeds' runs."""
    found = [measures[measure](rows) for rows in runs]
    values = [value for one in found for value in one.by_item.values()]
    clusters = [cluster for one in found for cluster in one.clusters.values()]
    return mean_estimate(values, clusters, bounds=(0.0, 1.0) if found[0].bounded else None)


def difference(
    incumbent: Sequence[list[Row]],
    candidate: Sequence[list[Row]],
    measure: str,
    measures: Measures = MEASURES,
) -> Estimate:
    """Candidate minus incumbent on the same items of the same seeds."""
    of = measures[measure]
    pairs = [(of(rows), of(others)) for rows, others in zip(incumbent, candidate, strict=True)]
    before = [value for own, _ in pairs for value in own.by_item.values()]
    after = [other.by_item[item] for own, other in pairs for item in own.by_item]
    clusters = [own.clusters[item] for own, _ in pairs for item in own.by_item]
    if pairs[0][0].bounded:
        return paired_comparison(before, after, clusters).difference
    return mean_estimate(np.subtract(after, before), clusters, bounds=None)


def markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    rows = [list(head), ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def shown(estimate: Estimate, *, percent: bool = True) -> str:
    """`value [low, high]`."""
    scale, digits = (100, 1) if percent else (1, 2)
    value, low, high = (f"{x * scale:.{digits}f}" for x in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def by_arm(estimates: Mapping[str, Mapping[str, Estimate]], plain: Collection[str] = ()) -> str:
    """A Markdown table, a line an arm: every measure in percent, but for those in `plain`."""
    measures = list(next(iter(estimates.values()), {}))
    lines = [
        [arm, *(shown(own[m], percent=m not in plain) for m in measures)] for arm, own in estimates.items()
    ]
    return markdown(["arm", *(m if m in plain else f"{m} %" for m in measures)], lines)


def recorded(estimates: Mapping[str, Mapping[str, Estimate]]) -> dict[str, dict[str, Any]]:
    """The same as JSON."""
    return {arm: {m: estimate.to_json() for m, estimate in own.items()} for arm, own in estimates.items()}

"""Precision and recall of voting against the demo world's truth, with image-independent questions planted.

A simulated teacher proposes eight questions about each of 250 instrument clusters; a reasoning step has
evolved half of them. It answers with a stated error rate of 10, 20, 30 or 40 %. One in ten is replaced by a
question of the same type of answer that needs no picture (`simulated/facts.py`). Five voters answer all of
them, seeing and blind. Errors are plausible ones and independent between models. Panels of voters, by their
error rates:

    equal                    15 % each
    differing                3, 6, 12, 22 and 32 % (15 % on average)
    as_teacher               each errs as often as the teacher
    as_teacher_differing     0.3, 0.6, 1, 1.4 and 1.7 times as often as the teacher

Collecting, ballots, methods and the test for independence are the stage's own code, in one process, without
HTTP.

Definitions. An item is *right* if its proposed answer equals the truth, and *usable* if it is right and was
not planted. With blind votes off, precision and recall are about right items; with blind votes on, about
usable ones.

- `usable_precision` is reported for both.
- `planted_found` is the share that is stopped of the planted items that the votes confirm. Only blind votes
  stop those.
- `usable_lost` is the share of confirmed usable items that blind votes stop.
- `majority` asks for two thirds of the votes, the stage's default; `majority_half` for more than half.

Figures are means over the seeds with 95 % t-intervals over the seeds; differences are paired by seed.

    python -m benchmarks.data.voting [--scale 1.0] [--seeds 4] [--workers 2]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from scipy.stats import t as student

from benchmarks.data.simulated.panel import Item, World
from benchmarks.harness import result, timed
from components.core.stage.settings import Endpoint
from components.voting_filter.ballot import Decision
from components.voting_filter.config import Config
from components.voting_filter.stage import decide

IMAGES, QUESTIONS_PER_IMAGE, PLANTED_SHARE = 250, 8, 0.1
TEACHER_ERRORS = (0.1, 0.2, 0.3, 0.4)
FIXED = {"equal": (0.15,) * 5, "differing": (0.03, 0.06, 0.12, 0.22, 0.32)}
RELATIVE = {"as_teacher": (1.0,) * 5, "as_teacher_differing": (0.3, 0.6, 1.0, 1.4, 1.7)}
METHODS: dict[str, dict[str, Any]] = {
    "majority": {"method": "majority"},
    "majority_half": {"method": "majority", "agreement_threshold": 0.501},
    "dawid_skene": {"method": "dawid_skene"},
}
Figures = dict[str, float]


def voter_errors(panel: str, teacher_error: float) -> list[float]:
    """Error rates of a panel's voters."""
    if panel in FIXED:
        return list(FIXED[panel])
    return [factor * teacher_error for factor in RELATIVE[panel]]


def run_cell(cell: tuple[float, str, int], n_images: int) -> Figures:
    """One teacher, one panel, one seed: every figure by its dotted name."""
    teacher_error, panel, seed = cell
    world = World(n_images, seed)
    items = world.items(world.speaker(f"teacher-{seed}", teacher_error), QUESTIONS_PER_IMAGE, PLANTED_SHARE)
    rates = voter_errors(panel, teacher_error)
    voters = [world.speaker(f"voter-{seed}-{number}", rate) for number, rate in enumerate(rates)]
    ballots = world.ballots(items, voters, blind=True)
    figures: Figures = {
        "items": len(items),
        "planted": sum(item.planted for item in items),
        "right": sum(item.right for item in items),
    }
    everything = [Decision(1.0, "")] * len(items)
    figures |= _named("no_filter.blind_off", _score(items, everything, blind=False))
    figures |= _named("no_filter.blind_on", _score(items, everything, blind=True))
    endpoints = [Endpoint(base_url="http://localhost/v1", model=voter.model.name) for voter in voters]
    for name, settings in METHODS.items():
        config = Config(voters=endpoints, **settings)
        off = decide([replace(ballot, blind=()) for ballot in ballots], config).decisions
        on = decide(ballots, config).decisions
        figures |= _named(f"{name}.blind_off", _score(items, off, blind=False))
        figures |= _named(f"{name}.blind_on", _score(items, on, blind=True))
        stopped = [d.reason == "image_independent" for d in on]
        for group in (True, False):
            hits = [
                s
                for item, d, s in zip(items, off, stopped, strict=True)
                if item.right and not d.reason and item.planted == group
            ]
            figures[f"{name}.{'planted_found' if group else 'usable_lost'}"] = float(np.mean(hits))
    return figures


def _named(prefix: str, figures: Figures) -> Figures:
    return {f"{prefix}.{name}": value for name, value in figures.items()}


def _score(items: Sequence[Item], decisions: Sequence[Decision], blind: bool) -> Figures:
    """Precision, recall and F1 of the kept items by the module's definitions."""
    kept = np.array([not decision.reason for decision in decisions])
    usable = np.array([item.right and not item.planted for item in items])
    good = usable if blind else np.array([item.right for item in items])
    precision, recall = (kept & good).sum() / max(kept.sum(), 1), (kept & good).sum() / good.sum()
    return {
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(2 * precision * recall / max(precision + recall, 1e-12)),
        "usable_precision": float((kept & usable).sum() / max(kept.sum(), 1)),
        "kept": float(kept.sum()),
    }


def interval(values: Sequence[float]) -> list[float]:
    """[mean, lower, upper] of the 95 % t-interval."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return [round(mean, 4)] * 3
    half = student.ppf(0.975, len(values) - 1) * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return [round(mean, 4), round(mean - half, 4), round(mean + half, 4)]


def summarise(runs: Sequence[Figures]) -> dict[str, Any]:
    """Means with intervals over the seeds of one teacher and panel, and paired differences in F1."""
    table: dict[str, Any] = {
        name: interval([run[name] for run in runs]) for name in runs[0] if name.count(".")
    }
    for name in ("items", "planted", "right"):
        table[name] = round(float(np.mean([run[name] for run in runs])), 1)
    for other, blind in product(("majority", "majority_half"), ("blind_off", "blind_on")):
        table[f"f1_gain_over_{other}.{blind}"] = interval(
            [run[f"dawid_skene.{blind}.f1"] - run[f"{other}.{blind}.f1"] for run in runs]
        )
    return table


def targets(tables: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Whether each target holds in every table, and in which it does not."""

    def gains(table: dict[str, Any]) -> list[list[float]]:
        return [value for name, value in table.items() if name.startswith("f1_gain_over")]

    at_least = {name: all(gain[0] >= 0 for gain in gains(table)) for name, table in tables.items()}
    better = {
        name: all(gain[1] > 0 for gain in gains(table))
        for name, table in tables.items()
        if "differing" in name
    }
    kept = {
        f"{name}.{blind}": table[f"dawid_skene.{blind}.precision"][0] >= 0.95
        and table[f"dawid_skene.{blind}.recall"][0] >= 0.7
        for name, table in tables.items()
        if name.startswith("0.3 ")
        for blind in ("blind_off", "blind_on")
    }
    found = {name: table["dawid_skene.planted_found"][0] >= 0.95 for name, table in tables.items()}
    checks = {
        "f1_at_least_majority": at_least,
        "f1_better_where_voters_differ": better,
        "precision_95_recall_70_at_30": kept,
        "planted_found_95": found,
    }
    return {
        name: {
            "holds_in": sum(check.values()),
            "of": len(check),
            "not_in": [k for k, v in check.items() if not v],
        }
        for name, check in checks.items()
    }


def main() -> None:
    """Run all cells and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="share of the images")
    parser.add_argument("--seeds", type=int, default=4, help="worlds, each with its own errors")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    args = parser.parse_args()
    n_images = max(10, int(IMAGES * args.scale))
    panels = list(product(TEACHER_ERRORS, (*FIXED, *RELATIVE)))
    cells = [(error, panel, seed) for error, panel in panels for seed in range(args.seeds)]
    with ProcessPoolExecutor(args.workers) as pool:
        runs, seconds = timed(lambda: list(pool.map(partial(run_cell, n_images=n_images), cells)))
    tables = {
        f"{error} {panel}": summarise(
            [run for run, cell in zip(runs, cells, strict=True) if cell[:2] == (error, panel)]
        )
        for error, panel in panels
    }
    result(
        "voting",
        images=n_images,
        questions_per_image=QUESTIONS_PER_IMAGE,
        planted_share=PLANTED_SHARE,
        seeds=args.seeds,
        voter_error_rates={f"{error} {panel}": voter_errors(panel, error) for error, panel in panels},
        targets=targets(tables),
        tables=tables,
        seconds=round(seconds, 1),
    )


if __name__ == "__main__":
    main()

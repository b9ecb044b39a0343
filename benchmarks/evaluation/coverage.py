"""Do 95 % intervals hold the truth in 95 % of samples, and do tests reject in 5 % when nothing differs?

Simulated evaluations with known truth: pictures (clusters) with one or several items. Difficulty differs
between pictures by an intra-class correlation (ICC): beta-binomial for accuracy, Dirichlet-multinomial for
pairs of models. Measured for each design:

- how often `mean_estimate` and `paired_comparison` cover;
- how often the naive interval covers, which takes items as independent;
- how often McNemar's exact test and exact sign flips of pictures reject a true "neither is better" at 5 %.

Target: 93 to 97 % for ours, with the naive interval shown failing on clustered data.

    python -m benchmarks.evaluation.coverage [--scale 1.0]

Scale 1 takes 2,000 samples a design (standard error of a coverage: half a point); the seed is fixed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from benchmarks.harness import result, timed
from components.core.stats import Bootstrap, mean_estimate, paired_comparison

TRIALS = 2000
RESAMPLES = 1000
TARGET = (0.93, 0.97)
ALPHA = 0.05


class Mean(NamedTuple):
    """An evaluation: pictures, most items a picture (1 to this many), true accuracy, ICC."""

    pictures: int
    most_items: int
    accuracy: float
    icc: float


class Pair(NamedTuple):
    """Two models: pictures, most items a picture, true shares of items lost and gained, ICC."""

    pictures: int
    most_items: int
    lost: float
    gained: float
    icc: float


MEANS = [
    Mean(pictures, most_items, accuracy, icc)
    for pictures, most_items, icc in (
        (20, 1, 0.0), (50, 1, 0.0), (200, 1, 0.0), (1000, 1, 0.0),
        (10, 19, 0.3), (20, 9, 0.3), (50, 9, 0.05), (50, 9, 0.3), (50, 9, 0.6), (200, 9, 0.3), (500, 7, 0.6),
    )
    for accuracy in (0.5, 0.8, 0.95)
]  # fmt: skip
PAIRS = [
    Pair(pictures, most_items, lost, gained, icc)
    for pictures, most_items, icc in ((30, 1, 0.0), (200, 1, 0.0), (30, 9, 0.3), (100, 9, 0.3), (300, 7, 0.5))
    for lost, gained in ((0.02, 0.02), (0.1, 0.1), (0.05, 0.15))
]


def cover_mean(design: Mean, trials: int, resamples: int = RESAMPLES) -> dict[str, float]:
    """Shares of samples whose interval holds the true accuracy."""
    rng = np.random.default_rng([7, design.pictures, design.most_items, round(100 * design.accuracy)])
    ours = naive = 0
    for trial in range(trials):
        sizes = rng.integers(1, design.most_items + 1, size=design.pictures)
        chance = np.full(design.pictures, design.accuracy)
        if design.icc:
            strength = (1 - design.icc) / design.icc
            chance = rng.beta(design.accuracy * strength, (1 - design.accuracy) * strength, design.pictures)
        values = (rng.random(sizes.sum()) < np.repeat(chance, sizes)).astype(float)
        settings = Bootstrap(resamples=resamples, seed=trial)
        ours += _holds(mean_estimate(values, _names(sizes), settings), design.accuracy)
        naive += _holds(mean_estimate(values, None, settings), design.accuracy)
    return {"covers": ours / trials, "naive_covers": naive / trials}


def cover_pair(design: Pair, trials: int, resamples: int = RESAMPLES) -> dict[str, float]:
    """Shares of samples whose interval holds the true difference, and in which each test rejects at 5 %."""
    rng = np.random.default_rng([8, design.pictures, design.most_items, round(1000 * design.gained)])
    shares = np.array([design.lost, design.gained, 1 - design.lost - design.gained])
    truth = design.gained - design.lost
    ours = naive = mcnemar = flips = 0
    for trial in range(trials):
        sizes = rng.integers(1, design.most_items + 1, size=design.pictures)
        chances = np.tile(shares, (design.pictures, 1))
        if design.icc:
            chances = rng.dirichlet(shares * (1 - design.icc) / design.icc, design.pictures)
        drawn = rng.random(sizes.sum())[:, None]
        outcome = (drawn > np.repeat(np.cumsum(chances, axis=1)[:, :2], sizes, axis=0)).sum(axis=1)
        before, after = (outcome == 0).astype(float), (outcome == 1).astype(float)
        settings = Bootstrap(resamples=resamples, seed=trial)
        paired = paired_comparison(before, after, _names(sizes), settings)
        ours += _holds(paired.difference, truth)
        naive += _holds(paired_comparison(before, after, None, settings).difference, truth)
        mcnemar += paired.p_value < ALPHA
        flips += paired.p_value_clustered < ALPHA
    figures = {"covers": ours / trials, "naive_covers": naive / trials}
    return {**figures, "mcnemar_rejects": mcnemar / trials, "sign_flip_rejects": flips / trials}


def _names(sizes: Any) -> list[str]:
    return np.repeat([f"{i:04d}" for i in range(len(sizes))], sizes).tolist()


def _holds(estimate: Any, truth: float) -> bool:
    return bool(estimate.low <= truth <= estimate.high)


def _run(task: tuple[Mean | Pair, int]) -> dict[str, Any]:
    design, trials = task
    measured = cover_mean(design, trials) if isinstance(design, Mean) else cover_pair(design, trials)
    return {**design._asdict(), **{name: round(value, 4) for name, value in measured.items()}}


def _outside(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if not TARGET[0] <= row["covers"] <= TARGET[1]]


def main() -> None:
    """Simulate every design and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the 2,000 samples a design")
    trials = max(20, round(TRIALS * parser.parse_args().scale))
    with ProcessPoolExecutor() as pool:
        tasks = [(design, trials) for design in (*MEANS, *PAIRS)]
        rows, seconds = timed(lambda: list(pool.map(_run, tasks)))
    means, pairs = rows[: len(MEANS)], rows[len(MEANS) :]
    null = [row for row in pairs if row["lost"] == row["gained"]]
    clustered = [row for row in means if row["icc"] >= 0.3]
    result(
        "evaluation_coverage",
        trials=trials,
        seconds=round(seconds, 1),
        mean_designs=len(means),
        mean_within_target=len(means) - len(_outside(means)),
        mean_outside=_outside(means),
        naive_clustered_highest=max(row["naive_covers"] for row in clustered),
        pair_designs=len(pairs),
        pair_within_target=len(pairs) - len(_outside(pairs)),
        pair_outside=_outside(pairs),
        mcnemar_highest_type_1=max(row["mcnemar_rejects"] for row in null),
        sign_flip_highest_type_1=max(row["sign_flip_rejects"] for row in null),
        means=means,
        pairs=pairs,
    )


if __name__ == "__main__":
    main()

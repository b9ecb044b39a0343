"""How often the gate promotes what it should not, and how often it promotes what it should.

    python -m benchmarks.evaluation.gate [--scale 1.0]

Simulated candidates are judged by the promotion stage's own `judge` with its default criteria. Items come
three a picture. A picture's difficulty (a normal deviate, variance 1) is shared by its items and by both
models. With chance `AGREE` the two models share an item's luck too, as a fine-tuned model and its base do. So
outcomes are clustered, paired and correlated. Margins of the true rates are set exactly by the thresholds of
the latent variable.

False promotion (target: at most 5 %) is that of candidates equal to the incumbent. Others are far better in
the domain and lose exactly the margin in general accuracy, or hallucinate exactly the margin more. Power is
the share of candidates promoted against an incumbent, by true gain and benchmark size, everything else equal.
Seeds are fixed.
"""

from __future__ import annotations

import argparse
import math
from concurrent.futures import ProcessPoolExecutor
from statistics import NormalDist

import numpy as np

from benchmarks.harness import result, timed
from components.core.cores import usable_cores
from components.promotion.config import Criteria
from components.promotion.criteria import judge, passes
from components.promotion.paired import PairedScores, ReferenceComparison

SIZES = (200, 500, 1000, 2000, 5000)
GAINS = (1, 2, 3, 5, 10)
ITEMS_A_PICTURE = 3
AGREE = 0.7
FALSE_TRIALS, POWER_TRIALS = 1000, 60
CRITERIA = Criteria(resamples=300)
Case = tuple[str, int, float, float, float, int, int]


def pairs(rng: np.random.Generator, n: int, before: float, after: float) -> PairedScores:
    """Outcomes of two models with true rates `before` and `after` on the same n items."""
    picture = np.arange(n) // ITEMS_A_PICTURE
    difficulty = rng.standard_normal(picture[-1] + 1)[picture]
    shared, own = rng.standard_normal(n), rng.standard_normal(n)
    luck = np.where(rng.random(n) < AGREE, shared, own)
    # Latent variance 2: an outcome is right where difficulty + luck lies below the quantile of the rate.
    below = [math.sqrt(2) * NormalDist().inv_cdf(rate) for rate in (before, after)]
    old, new = (difficulty + shared < below[0]), (difficulty + luck < below[1])
    return PairedScores(old.astype(float), new.astype(float), [f"g{i}" for i in picture])


def promoted(case: Case) -> int:
    """Promotions among a case's trials.

    A case is (name, size, domain gain, general loss, rise of hallucination, trials, seed).
    """
    _, n, gain, loss, rise, trials, seed = case
    rng, count = np.random.default_rng(seed), 0
    for _ in range(trials):
        comparison = ReferenceComparison(
            "incumbent",
            "incumbent",
            domain=pairs(rng, n, 0.6, 0.6 + gain),
            general=pairs(rng, n, 0.8, 0.8 - loss),
            absent=pairs(rng, n, 0.2, 0.2 + rise),
        )
        count += passes(judge([comparison], {}, CRITERIA))
    return count


def upper(count: int, trials: int) -> float:
    """Upper end of Wilson's 95 % interval of a share."""
    z, share = 1.96, count / trials
    centre = share + z * z / (2 * trials)
    reach = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return (centre + reach) / (1 + z * z / trials)


def main() -> None:
    """Run the simulation and report it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the trials")
    scale = parser.parse_args().scale
    many, few = max(20, int(FALSE_TRIALS * scale)), max(10, int(POWER_TRIALS * scale))
    general = CRITERIA.general_margin_points / 100
    probes = CRITERIA.hallucination_margin_points / 100
    cases: list[Case] = []
    for n in (500, 2000):
        cases += [
            ("equal", n, 0.0, 0.0, 0.0, many, 1),
            ("worse in the domain by 1 point", n, -0.01, 0.0, 0.0, many, 2),
            ("general worse by the margin", n, 0.15, general, 0.0, many, 3),
            ("hallucination worse by the margin", n, 0.15, 0.0, probes, many, 4),
        ]
    false_cases = len(cases)
    cases += [("power", n, gain / 100, 0.0, 0.0, few, 5) for n in SIZES for gain in GAINS]
    with ProcessPoolExecutor(usable_cores()) as pool:
        counts, seconds = timed(lambda: list(pool.map(promoted, cases)))
    rates = {
        f"{case[0]}, n={case[1]}": {
            "rate": round(count / case[5], 4),
            "upper_95": round(upper(count, case[5]), 4),
            "trials": case[5],
        }
        for case, count in zip(cases[:false_cases], counts, strict=False)
    }
    power: dict[str, dict[str, float]] = {}
    for case, count in zip(cases[false_cases:], counts[false_cases:], strict=True):
        row = power.setdefault(f"n={case[1]}", {})
        row[f"+{round(100 * case[2])} points"] = round(count / case[5], 3)
    result(
        "evaluation_gate",
        false_promotion=rates,
        worst_rate=max(entry["rate"] for entry in rates.values()),
        power=power,
        power_trials=few,
        seconds=round(seconds, 1),
    )


if __name__ == "__main__":
    main()

"""Intervals against SciPy, limits and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from components.core.stats import Bootstrap, mean_estimate
from components.core.stats.intervals import effective_clusters, student_quantile


@pytest.mark.parametrize(
    ("degrees", "tolerance"), [(1, 1e-9), (2, 1e-9), (3, 1e-2), (5, 1e-3), (10, 1e-4), (300, 1e-8)]
)
def test_student_quantile(degrees: int, tolerance: float):
    assert student_quantile(0.975, degrees) == pytest.approx(scipy_stats.t.ppf(0.975, degrees), rel=tolerance)


def test_all_right_and_all_wrong_have_exact_intervals():
    # No resample of 0/20 differs from 0, yet the rate may be up to 1 - 0.025^(1/20) (Clopper-Pearson).
    none = mean_estimate([0.0] * 20)
    assert (none.value, none.low, none.n) == (0, 0, 20)
    assert none.high == pytest.approx(scipy_stats.beta.ppf(0.975, 1, 20))
    every = mean_estimate([1.0] * 20)
    assert every.low == pytest.approx(1 - none.high)


def test_one_picture_says_nothing_about_others():
    alone = mean_estimate([1, 0, 1], ["a", "a", "a"])
    assert (alone.low, alone.high, alone.n) == (0, 1, 3)


def test_order_of_items_does_not_matter():
    rng = np.random.default_rng(1)
    values, clusters = rng.random(50), [f"picture {i % 7}" for i in range(50)]
    order = rng.permutation(50)
    shuffled = mean_estimate(values[order], [clusters[i] for i in order])
    assert shuffled.low == pytest.approx(mean_estimate(values, clusters).low)


def test_equal_seeds_give_equal_intervals():
    values = np.random.default_rng(2).random(100)
    assert mean_estimate(values) == mean_estimate(values)
    assert mean_estimate(values).low != mean_estimate(values, bootstrap=Bootstrap(seed=1)).low


def test_bootstrap_matches_the_normal_interval_of_many_independent_items():
    values = (np.random.default_rng(3).random(2000) < 0.3).astype(float)
    estimate = mean_estimate(values, bootstrap=Bootstrap(resamples=4000))
    reach = 1.96 * math.sqrt(estimate.value * (1 - estimate.value) / 2000)
    assert estimate.high - estimate.value == pytest.approx(reach, rel=0.08)
    assert estimate.value - estimate.low == pytest.approx(reach, rel=0.08)


@pytest.mark.parametrize("values", [[], [[1.0]]])
def test_no_items(values):
    with pytest.raises(ValueError, match="non-empty vector"):
        mean_estimate(values)


def _samples(pictures: int, most_items: int, accuracy: float, icc: float, trials: int):
    """Scores and picture names of simulated evaluations: pictures differ in difficulty and size."""
    rng = np.random.default_rng([4, pictures, most_items])
    strength = (1 - icc) / icc
    for _ in range(trials):
        sizes = rng.integers(1, most_items + 1, size=pictures)
        chance = rng.beta(accuracy * strength, (1 - accuracy) * strength, pictures)
        values = (rng.random(sizes.sum()) < np.repeat(chance, sizes)).astype(float)
        yield values, np.repeat([f"{i:03d}" for i in range(pictures)], sizes).tolist()


def _coverage(accuracy: float, samples, clustered: bool = True) -> float:
    found = [
        mean_estimate(values, names if clustered else None, Bootstrap(resamples=300, seed=trial))
        for trial, (values, names) in enumerate(samples)
    ]
    return sum(estimate.low <= accuracy <= estimate.high for estimate in found) / len(found)


# 500 trials of a 95 % interval: standard error 1 point, so 91.8 % to 98 % is +-3 of them around 95 %.
@pytest.mark.parametrize(
    ("pictures", "most_items", "accuracy", "icc"),
    [(40, 1, 0.9, 0.01), (200, 1, 0.5, 0.01), (20, 9, 0.8, 0.3), (60, 9, 0.5, 0.3), (60, 9, 0.9, 0.5)],
)
def test_intervals_cover(pictures: int, most_items: int, accuracy: float, icc: float):
    assert 0.918 <= _coverage(accuracy, _samples(pictures, most_items, accuracy, icc, 500)) <= 0.985


def test_the_naive_interval_does_not_cover_clustered_items():
    assert _coverage(0.5, _samples(60, 9, 0.5, 0.3, 300), clustered=False) < 0.88


def test_independent_items_get_wilsons_interval():
    # 45 of 50 right: the bootstrap's variance is that of independent items, so n stays about 50.
    estimate = mean_estimate([1.0] * 45 + [0.0] * 5, bootstrap=Bootstrap(resamples=20_000))
    wilson = scipy_stats.binomtest(45, 50).proportion_ci(method="wilson")
    assert estimate.low == pytest.approx(wilson.low, abs=0.01)
    assert estimate.high == pytest.approx(wilson.high, abs=0.01)


def test_repeated_items_say_nothing_new():
    # Every picture asked four times with the same outcome: the interval is that of the pictures.
    values = [1.0] * 30 + [0.0] * 10
    once = mean_estimate(values, bootstrap=Bootstrap(resamples=20_000))
    names = [f"{i:02d}" for i in range(40)]
    repeated = mean_estimate(values * 4, names * 4, Bootstrap(resamples=20_000))
    assert (repeated.low, repeated.high) == pytest.approx((once.low, once.high), abs=0.01)


def test_equal_scores_between_the_bounds():
    # No item differs from another, so the pictures are the trials: Wilson's interval of 10 of 20.
    estimate = mean_estimate([0.5] * 40, [f"{i % 20}" for i in range(40)])
    t = scipy_stats.t.ppf(0.975, 19)
    assert estimate.high == pytest.approx(0.5 + t / (2 * math.sqrt(20 + t**2)), abs=1e-4)


def test_pictures_of_unequal_size_count_for_fewer():
    assert effective_clusters(np.array([4.0, 4.0, 4.0])) == 3
    assert effective_clusters(np.array([10.0, 1.0, 1.0])) == pytest.approx(144 / 102)


def test_twenty_thousand_items_are_quick():
    rng = np.random.default_rng(5)
    values, clusters = rng.random(20_000), [f"{i}" for i in rng.integers(0, 5000, 20_000)]
    estimate = mean_estimate(values, clusters)
    assert estimate.low < 0.5 < estimate.high

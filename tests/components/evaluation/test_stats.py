"""Statistics against definitions, SciPy, brute force and simulation."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from components.evaluation.stats import (
    Bootstrap,
    _student_quantile,
    estimates_by,
    mcnemar_exact,
    mean_estimate,
    paired_comparison,
    pass_at_k,
    percentiles,
    probe_scores,
)

# ---- pass@k ------------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 12), st.data())
def test_pass_at_k_is_the_share_of_subsets_with_a_right_one(n: int, data):
    k = data.draw(st.integers(1, n))
    c = data.draw(st.integers(0, n))
    subsets = list(itertools.combinations([1] * c + [0] * (n - c), k))
    expected = sum(any(subset) for subset in subsets) / len(subsets)
    assert pass_at_k(n, [c], k)[0] == pytest.approx(expected, abs=1e-12)


def test_pass_at_k_golden():
    # n = 8, c = 1: one of eight -> k/8. n = 8, c = 2, k = 4: 1 - C(6,4)/C(8,4) = 1 - 15/70.
    assert pass_at_k(8, [0, 1, 8], 1).tolist() == [0, 1 / 8, 1]
    assert pass_at_k(8, [2], 4)[0] == pytest.approx(55 / 70)
    assert pass_at_k(8, [0, 1], 8).tolist() == [0, 1]
    assert pass_at_k(2000, [1000], 1000)[0] == pytest.approx(1.0)  # no overflow


@pytest.mark.parametrize(("n", "c", "k"), [(8, [1], 0), (8, [1], 9), (8, [9], 1), (8, [-1], 1)])
def test_pass_at_k_refuses_impossible_counts(n: int, c: list[int], k: int):
    with pytest.raises(ValueError, match="must lie|needs"):
        pass_at_k(n, c, k)


# ---- McNemar and pairs -------------------------------------------------------------------------------------------


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_exact_binomial_test(gained: int, lost: int):
    expected = scipy_stats.binomtest(gained, gained + lost, 0.5).pvalue if gained + lost else 1.0
    assert mcnemar_exact(gained, lost) == pytest.approx(expected, rel=1e-9)
    assert mcnemar_exact(gained, lost) == mcnemar_exact(lost, gained)


def test_mcnemar_of_thousands_of_items():
    expected = scipy_stats.binomtest(2600, 5000, 0.5).pvalue
    assert mcnemar_exact(2600, 2400) == pytest.approx(expected, rel=1e-6)
    assert mcnemar_exact(20_000, 0) == 0.0  # far below the smallest float


def test_paired_comparison_golden():
    # Four items: both right, gained, gained, lost. Difference (2 - 1)/4; p: 2 * (1 + 3)/2^3 = 1.
    result = paired_comparison([1, 0, 0, 1], [1, 1, 1, 0])
    assert (result.gained, result.lost) == (2, 1)
    assert result.difference.value == 0.25
    assert result.p_value == 1.0
    assert result.difference.low <= 0.25 <= result.difference.high


def test_paired_comparison_wants_the_same_items():
    with pytest.raises(ValueError, match="same items"):
        paired_comparison([1, 0], [1, 0, 1])


def test_pairing_narrows_the_interval():
    rng = np.random.default_rng(0)
    before = (rng.random(400) < 0.5).astype(float)
    after = before.copy()
    after[np.flatnonzero(before == 0)[:20]] = 1  # better on 20 items, nowhere worse
    paired = paired_comparison(before, after).difference
    apart = mean_estimate(after).high - mean_estimate(before).low
    assert paired.low > 0
    assert paired.high - paired.low < apart / 2


# ---- bootstrap ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("degrees", "tolerance"), [(1, 1e-9), (2, 1e-9), (3, 1e-2), (5, 1e-3), (10, 1e-4), (300, 1e-8)]
)
def test_student_quantile(degrees: int, tolerance: float):
    assert _student_quantile(0.975, degrees) == pytest.approx(
        scipy_stats.t.ppf(0.975, degrees), rel=tolerance
    )


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


def _coverage(clustered: bool, trials: int = 400) -> float:
    """Share of intervals that hold the truth, where pictures differ in difficulty (beta(1, 1)) and have 1 to 9 items."""
    rng = np.random.default_rng(4)
    hits = 0
    for trial in range(trials):
        sizes = rng.integers(1, 10, size=60)
        chance = np.repeat(rng.beta(1, 1, size=60), sizes)
        values = (rng.random(len(chance)) < chance).astype(float)
        clusters = np.repeat([f"{i:02d}" for i in range(60)], sizes).tolist() if clustered else None
        estimate = mean_estimate(values, clusters, Bootstrap(resamples=500, seed=trial))
        hits += estimate.low <= 0.5 <= estimate.high
    return hits / trials


def test_clustered_interval_covers_and_the_naive_one_does_not():
    # 400 trials of a 95 % interval: standard error 1.1 points. The naive interval ignores an intra-picture
    # correlation of 1/3, a design effect of about 2.7 with these sizes, and so has about 1.96/1.64 = 1.2 sigma.
    assert 0.92 <= _coverage(clustered=True) <= 0.98
    assert _coverage(clustered=False) < 0.88


def test_twenty_thousand_items_are_quick():
    rng = np.random.default_rng(5)
    values, clusters = rng.random(20_000), [f"{i}" for i in rng.integers(0, 5000, 20_000)]
    estimate = mean_estimate(values, clusters)
    assert estimate.low < 0.5 < estimate.high


def test_estimates_by_key():
    found = estimates_by(["b", "a", "a"], [1, 1, 0], ["x", "x", "y"])
    assert list(found) == ["a", "b"]
    assert (found["a"].value, found["a"].n, found["b"].value) == (0.5, 2, 1.0)


# ---- probes and percentiles --------------------------------------------------------------------------------------


def test_probe_scores_golden():
    # yes/yes, yes/no (hallucination), no/no, nothing/yes: 2 of 4 right; precision 1/2, recall 1/2.
    scores = probe_scores([1, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 1])
    assert scores == {
        "accuracy": 0.5,
        "yes_ratio": 0.5,
        "unanswered": 0.25,
        "precision": 0.5,
        "recall": 0.5,
        "f1": 0.5,
    }


def test_probes_of_absent_objects_only_have_no_precision():
    assert probe_scores([1, 0], [0, 1], [0, 0]) == {"accuracy": 0.5, "yes_ratio": 0.5, "unanswered": 0.0}


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_f1_is_the_harmonic_mean(pairs: list[tuple[bool, bool]]):
    said, truth = zip(*pairs, strict=True)
    scores = probe_scores(said, [not s for s in said], truth)
    hits = sum(s and t for s, t in pairs)
    if any(truth) and not all(truth):
        assert scores["f1"] == pytest.approx(float(Fraction(2 * hits, max(1, sum(said) + sum(truth)))))


def test_percentiles_occur():
    assert percentiles([5, 1, 3, 2, 4]) == {"p50": 3.0, "p90": 5.0, "p99": 5.0}

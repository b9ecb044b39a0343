"""Paired comparisons against SciPy, brute force and simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from components.core.stats import (
    Bootstrap,
    mcnemar_exact,
    mean_estimate,
    paired_comparison,
    sign_flip_exact,
)


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


# ---- clusters ----


@given(st.integers(0, 40), st.integers(0, 40))
def test_sign_flips_of_single_items_are_mcnemars_test(gained: int, lost: int):
    flipped = sign_flip_exact([1] * gained + [-1] * lost + [0] * 5)
    assert flipped == pytest.approx(mcnemar_exact(gained, lost), rel=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-5, 5), max_size=10))
def test_sign_flips_count_all_patterns(differences: list[int]):
    sizes = [abs(d) for d in differences]
    patterns = itertools.product((1, -1), repeat=len(sizes))
    sums = [sum(s * d for s, d in zip(signs, sizes, strict=True)) for signs in patterns]
    expected = sum(abs(total) >= abs(sum(differences)) for total in sums) / len(sums)
    assert sign_flip_exact(differences) == pytest.approx(expected, abs=1e-12)


def test_sign_flips_of_thousands_of_pictures():
    rng = np.random.default_rng(6)
    differences = rng.integers(-4, 5, size=5000)
    z = abs(differences.sum()) / np.sqrt(np.square(differences).sum())  # Obuchowski's statistic
    assert sign_flip_exact(differences) == pytest.approx(2 * scipy_stats.norm.sf(z), abs=0.01)


def test_a_picture_with_many_items_is_one_observation():
    # Six items of one picture all gained: McNemar sees 2/2^6, the pictures' flips see one coin.
    result = paired_comparison([0] * 6 + [1] * 4, [1] * 10, ["a"] * 6 + ["b", "c", "d", "e"])
    assert result.p_value == pytest.approx(2 / 64)
    assert result.p_value_clustered == 1.0


def test_agreeing_models_still_have_an_interval():
    # Nothing differs on 50 items: Agresti-Min gives t / (n + 2).
    same = paired_comparison([1, 0] * 25, [1, 0] * 25).difference
    assert same.value == 0
    assert same.high == pytest.approx(scipy_stats.t.ppf(0.975, 49) / 52, rel=1e-3)
    assert same.low == -same.high


def test_agresti_min_golden():
    # 100 items, 12 gained, 4 lost: (12-4)/102, variance (17 - 64/102)/102^2; single items: no design effect.
    before = [0] * 12 + [1] * 4 + [1] * 84
    after = [1] * 12 + [0] * 4 + [1] * 84
    found = paired_comparison(before, after, bootstrap=Bootstrap(resamples=20_000)).difference
    reach = scipy_stats.t.ppf(0.975, 99) * np.sqrt(17 - 64 / 102) / 102
    assert found.value == 0.08
    assert (found.low, found.high) == pytest.approx((8 / 102 - reach, 8 / 102 + reach), abs=2e-3)


def test_tests_and_interval_on_pairs_where_neither_is_better():
    """60 pictures of 1 to 9 items, one item in ten lost and gained, ICC 0.3."""
    rng, trials = np.random.default_rng(9), 300
    covered = mcnemar = flips = 0
    for trial in range(trials):
        sizes = rng.integers(1, 10, size=60)
        chances = rng.dirichlet(np.array([0.1, 0.1, 0.8]) * 0.7 / 0.3, 60).cumsum(axis=1)[:, :2]
        outcome = (rng.random(sizes.sum())[:, None] > np.repeat(chances, sizes, axis=0)).sum(axis=1)
        names = np.repeat([f"{i:02d}" for i in range(60)], sizes).tolist()
        found = paired_comparison(outcome == 0, outcome == 1, names, Bootstrap(resamples=200, seed=trial))
        covered += found.difference.low <= 0 <= found.difference.high
        mcnemar += found.p_value < 0.05
        flips += found.p_value_clustered < 0.05
    assert 0.91 <= covered / trials <= 0.985
    assert flips / trials <= 0.08  # 5 % and two and a half standard errors
    assert mcnemar / trials > 0.12  # far from its 5 %: it takes a picture's items as independent

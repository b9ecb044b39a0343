"""Metrics against their definitions and brute force."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core.stats import pass_at_k, percentiles, probe_scores


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

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from components.ids_scoring.budget import by_bands, by_total, information_density


def test_density_is_the_weighted_mean() -> None:
    scores = np.array([[10, 0, 0, 0], [4, 6, 2, 8]])
    assert information_density(scores, (1, 1, 1, 1)).tolist() == [2.5, 5.0]
    assert information_density(scores, (2, 0, 0, 2)).tolist() == [5.0, 6.0]  # only ratios matter


@pytest.mark.parametrize("weights", [(0, 0, 0, 0), (1, 1, 1), (-1, 1, 1, 1)])
def test_weights_must_make_a_mean(weights) -> None:
    with pytest.raises(ValueError, match="weights"):
        information_density(np.ones((1, 4)), weights)


@settings(deadline=None)
@given(
    st.lists(st.tuples(*[st.floats(0, 10)] * 4), min_size=1, max_size=20),
    st.tuples(*[st.floats(0.01, 5)] * 4),
)
def test_density_stays_within_the_scores(scores, weights) -> None:
    density = information_density(np.array(scores), weights)
    assert (density >= np.min(scores, axis=1) - 1e-9).all()
    assert (density <= np.max(scores, axis=1) + 1e-9).all()


def test_bands_take_their_lower_edge() -> None:
    ids = np.array([0, 2.999, 3, 5.999, 6, 7.999, 8, 10])
    assert by_bands(ids, (3, 6, 8), (1, 3, 5, 8)).tolist() == [1, 1, 3, 3, 5, 5, 8, 8]


def test_total_without_bounds_in_the_way_is_largest_remainder() -> None:
    # Shares of 10 among 1:2:4 are 1.4286, 2.8571, 5.7143: whole parts 1, 2, 5; the two left go to .8571 and
    # .7143.
    assert by_total(np.array([1.0, 2.0, 4.0]), 10, 0, 10).tolist() == [1, 3, 6]


def test_total_shares_what_a_bound_takes_away() -> None:
    # 12 among 1:1:10 would be 1, 1, 10; with at most 6 each, the other six are shared by the first two.
    assert by_total(np.array([1.0, 1.0, 10.0]), 12, 0, 6).tolist() == [3, 3, 6]
    # With at least 2 each: 2, 2 and the other 8.
    assert by_total(np.array([1.0, 1.0, 10.0]), 12, 2, 10).tolist() == [2, 2, 8]


def test_equal_scores_are_broken_by_the_id_and_not_by_the_order() -> None:
    assert by_total(np.ones(3), 4, 1, 2, ["c", "a", "b"]).tolist() == [1, 2, 1]
    assert by_total(np.ones(3), 4, 1, 2, ["a", "b", "c"]).tolist() == [2, 1, 1]


def test_all_scores_zero_share_equally() -> None:
    assert by_total(np.zeros(4), 8, 0, 8).tolist() == [2, 2, 2, 2]
    assert by_total(np.array([0.0, 0.0, 10.0]), 10, 0, 4).tolist() == [3, 3, 4]


def test_no_images() -> None:
    assert by_total(np.empty(0), 0, 1, 8).tolist() == []


@pytest.mark.parametrize("total", [2, 25, 0])
def test_an_impossible_total_names_the_possible_ones(total) -> None:
    with pytest.raises(ValueError, match="from 3 to 24"):
        by_total(np.ones(3), total, 1, 8)


CASES = st.lists(st.floats(0, 10), min_size=1, max_size=60)


@settings(deadline=None, max_examples=300)
@given(CASES, st.integers(0, 3), st.integers(0, 9), st.floats(0, 1), st.randoms())
def test_total_properties(ids, n_min, spread, share, random) -> None:
    n_max = n_min + spread
    assume(n_max)
    total = len(ids) * n_min + round(share * len(ids) * spread)
    names = [f"image{i}" for i in range(len(ids))]
    allotted = by_total(np.array(ids), total, n_min, n_max, names)
    assert allotted.sum() == total
    assert allotted.min() >= n_min
    assert allotted.max() <= n_max
    order = np.argsort(ids, kind="stable")
    for low, high in zip(order, order[1:], strict=False):
        assert ids[low] == ids[high] or max(ids[low], ids[high]) <= 1e-6 or allotted[low] <= allotted[high]
    shuffled = list(range(len(ids)))
    random.shuffle(shuffled)
    again = by_total(np.array(ids)[shuffled], total, n_min, n_max, [names[i] for i in shuffled])
    assert again.tolist() == allotted[shuffled].tolist()


def test_a_million_images_are_exact() -> None:
    ids = np.random.default_rng(0).uniform(0, 10, 1_000_000)
    allotted = by_total(ids, 5_432_198, 1, 8)
    assert allotted.sum() == 5_432_198
    assert (allotted.min(), allotted.max()) == (1, 8)

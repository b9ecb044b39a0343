from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from components.topic_matching import search
from components.topic_matching.search import SPARE, TopicSearch


def top_m(queries, topics, m, **blocks):
    return TopicSearch(topics, **blocks).top(queries, m)


# Small whole numbers are exact in floating point in any order of summation, and give plenty of ties.
WHOLE = st.integers(-2, 2)


def brute_force(queries: np.ndarray, topics: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
    scores = np.stack([topics.astype(np.float64) @ query for query in queries.astype(np.float64)])
    order = np.argsort(-scores, axis=1, kind="stable")[:, :m]
    return order, np.take_along_axis(scores, order, axis=1).astype(np.float32)


@st.composite
def problems(draw):
    width = draw(st.integers(1, 4))
    n, t = draw(st.integers(1, 12)), draw(st.integers(0, 60))
    queries = draw(npst.arrays(np.int8, (n, width), elements=WHOLE)).astype(np.float32)
    topics = draw(npst.arrays(np.int8, (t, width), elements=WHOLE)).astype(np.float32)
    return queries, topics, draw(st.integers(1, 10)), draw(st.integers(1, 5)), draw(st.integers(1, 40))


@given(problems())
def test_it_is_the_full_sort_whatever_the_blocks(problem) -> None:
    queries, topics, m, block_queries, block_topics = problem
    indices, scores = top_m(queries, topics, m, block_queries=block_queries, block_topics=block_topics)
    expected, expected_scores = brute_force(queries, topics, m)
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_array_equal(scores, expected_scores)


def clustered(rng: np.random.Generator, count: int, width: int, centres: int = 20) -> np.ndarray:
    """Unit vectors around a few centres, each centre's in a row, as the topics of a branch are."""
    middle = rng.normal(size=(centres, width))[np.sort(rng.integers(0, centres, count))]
    rows = middle + 0.3 * rng.normal(size=(count, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(7, 70), st.integers(40, 900))
def test_real_vectors_give_the_same_bits_whatever_the_blocks(
    seed: int, m: int, block_queries: int, block_topics: int
) -> None:
    rng = np.random.default_rng(seed)
    topics, queries = clustered(rng, 700, 16), clustered(rng, 60, 16)
    topics[rng.integers(0, 700, 30)] = topics[rng.integers(0, 700, 30)]  # a few equal ones
    indices, scores = top_m(queries, topics, m, block_queries=block_queries, block_topics=block_topics)
    whole_indices, whole_scores = top_m(queries, topics, m)
    np.testing.assert_array_equal(indices, whole_indices)
    np.testing.assert_array_equal(scores, whole_scores)
    exact = queries.astype(np.float64) @ topics.astype(np.float64).T
    best = -np.sort(-exact, axis=1)[:, :m]
    np.testing.assert_allclose(np.take_along_axis(exact, indices, 1), best, rtol=0, atol=1e-14)
    ties = np.diff(scores.astype(np.float64), axis=1) == 0
    same = (topics[indices[:, :-1]] == topics[indices[:, 1:]]).all(axis=2)
    assert (np.diff(indices, axis=1)[ties & same] > 0).all(), "equal topics go by their index"


def test_by_hand() -> None:
    topics = np.array([[1, 0], [0, 1], [1, 0], [0.6, 0.8]], np.float32)
    queries = np.array([[1, 0], [0, 1]], np.float32)
    indices, scores = top_m(queries, topics, 3, block_topics=2)
    # Query 0 scores 1, 0, 1, 0.6: the tie of 0 and 2 goes to 0. Query 1 scores 0, 1, 0, 0.8: the tie at 0
    # goes to 0.
    assert indices.tolist() == [[0, 2, 3], [1, 3, 0]]
    np.testing.assert_allclose(scores, [[1, 1, 0.6], [1, 0.8, 0]], rtol=1e-6)


def test_scores_that_single_precision_cannot_tell_apart() -> None:
    # Topic i scores 1 + i·2^-30. In float32, whose numbers next to 1 are 2^-23 apart, that is 1 for all of
    # them.
    topics = np.ones((40, 2), np.float32)
    topics[:, 1] = np.arange(40) * 2.0**-30
    indices, scores = top_m(np.ones((1, 2), np.float32), topics, 5, block_topics=8)
    assert indices.tolist() == [[39, 38, 37, 36, 35]]
    assert scores.tolist() == [[1.0] * 5]


def test_only_doubtful_queries_are_searched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    topics, queries = clustered(rng, 3000, 64, 300), clustered(rng, 200, 64, 300)
    again: list[np.ndarray] = []
    whole = TopicSearch._exhaustive
    monkeypatch.setattr(
        TopicSearch, "_exhaustive", lambda self, query, m: (again.append(query), whole(self, query, m))[1]
    )
    top_m(queries, topics, 8)
    assert not again
    # As many equal topics as there are candidates, and one more: which of them were left out cannot be known.
    topics[100 : 100 + 8 + SPARE + 1] = queries[0]
    indices, _ = top_m(queries[:1], topics, 8)
    assert len(again) == 1
    assert indices.tolist() == [list(range(100, 108))]


def test_ascending_scores_which_all_enter() -> None:
    topics = np.arange(5000, dtype=np.float32)[:, None]
    indices, _ = top_m(np.ones((3, 1), np.float32), topics, 4, block_topics=640)
    assert indices.tolist() == [[4999, 4998, 4997, 4996]] * 3


def test_a_block_that_one_query_is_crowded_in() -> None:
    rng = np.random.default_rng(1)
    topics = rng.normal(size=(4000, 8)).astype(np.float32)
    topics[2000:2500, 0] += 50
    queries = rng.normal(size=(100, 8)).astype(np.float32)
    queries[:, 0] = np.eye(100)[0]  # the 500 stand out for the first query only
    indices, _ = top_m(queries, topics, 6, block_topics=1000)
    np.testing.assert_array_equal(indices, brute_force(queries, topics, 6)[0])


def test_identical_topics_go_to_the_first() -> None:
    indices, _ = top_m(np.ones((2, 8), np.float32), np.ones((500, 8), np.float32), 3, block_topics=100)
    assert indices.tolist() == [[0, 1, 2]] * 2


def test_a_query_of_zeros_and_negative_zeros() -> None:
    topics = np.array([[-1.0], [1.0], [0.0], [2.0]], np.float32)
    indices, scores = top_m(np.zeros((1, 1), np.float32), topics, 2)
    assert indices.tolist() == [[0, 1]] and scores.tolist() == [[0, 0]]


@given(
    npst.arrays(np.float32, 20, elements=st.floats(-(2.0**100), 2.0**100, width=32)),
    npst.arrays(np.int64, 20, elements=st.integers(0, 2**32 - 1)),
)
def test_a_key_orders_as_score_and_index_do_and_gives_both_back(
    scores: np.ndarray, indices: np.ndarray
) -> None:
    keys = search._key(scores, indices)
    np.testing.assert_array_equal(search._score_of(keys), scores)
    np.testing.assert_array_equal(search._index_of(keys), indices)
    by_key = np.argsort(-keys, kind="stable")
    by_both = np.lexsort((indices, -scores))
    np.testing.assert_array_equal(scores[by_key], scores[by_both])
    np.testing.assert_array_equal(indices[by_key], indices[by_both])


def test_memory_is_that_of_a_block() -> None:
    rng = np.random.default_rng(0)
    topics, queries = (rng.normal(size=(count, 16)).astype(np.float32) for count in (20_000, 1_500))
    tracemalloc.start()
    try:
        top_m(queries, topics, 8, block_queries=512, block_topics=1024)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # All scores would be 120 MB. A block's scores and mask are 2.6 MB, the result 0.1 MB; the rest is a
    # block's candidates.
    assert peak < 6e6


@pytest.mark.parametrize(
    ("queries", "topics", "m"),
    [
        (np.ones((1, 2)), np.ones((1, 3)), 1),
        (np.ones(2), np.ones((1, 2)), 1),
        (np.ones((1, 2)), np.ones(2), 1),
        (np.ones((1, 2)), np.ones((1, 2)), 0),
        (np.array([[np.nan]]), np.ones((1, 1)), 1),
        (np.ones((1, 1)), np.array([[np.inf]]), 1),
    ],
)
def test_bad_arguments(queries: np.ndarray, topics: np.ndarray, m: int) -> None:
    with pytest.raises(ValueError):
        top_m(queries.astype(np.float32), topics.astype(np.float32), m)

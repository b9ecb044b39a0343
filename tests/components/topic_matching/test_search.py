from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from components.topic_matching.search import top_m

# Small whole numbers are exact in float32 in any order of summation, and give plenty of ties.
WHOLE = st.integers(-2, 2)


def brute_force(queries: np.ndarray, topics: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
    scores = queries @ topics.T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :m]
    return order, np.take_along_axis(scores, order, axis=1)


@st.composite
def problems(draw):
    width = draw(st.integers(1, 4))
    n, t = draw(st.integers(0, 12)), draw(st.integers(0, 40))
    queries = draw(npst.arrays(np.int8, (n, width), elements=WHOLE)).astype(np.float32)
    topics = draw(npst.arrays(np.int8, (t, width), elements=WHOLE)).astype(np.float32)
    return queries, topics, draw(st.integers(1, 10)), draw(st.integers(1, 5)), draw(st.integers(1, 16))


@given(problems())
def test_it_is_the_full_sort_whatever_the_blocks(problem) -> None:
    queries, topics, m, block_queries, block_topics = problem
    indices, scores = top_m(queries, topics, m, block_queries=block_queries, block_topics=block_topics)
    expected, expected_scores = brute_force(queries, topics, m)
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_array_equal(scores, expected_scores)


def test_by_hand() -> None:
    topics = np.array([[1, 0], [0, 1], [1, 0], [0.6, 0.8]], np.float32)
    queries = np.array([[1, 0], [0, 1]], np.float32)
    indices, scores = top_m(queries, topics, 3, block_topics=2)
    # Query 0 scores 1, 0, 1, 0.6: the tie of 0 and 2 goes to 0. Query 1 scores 0, 1, 0, 0.8: the tie at 0 goes to 0.
    assert indices.tolist() == [[0, 2, 3], [1, 3, 0]]
    np.testing.assert_allclose(scores, [[1, 1, 0.6], [1, 0.8, 0]], rtol=1e-6)


def test_real_vectors_over_many_blocks() -> None:
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(300, 32)).astype(np.float32)
    topics = rng.normal(size=(2000, 32)).astype(np.float32)
    indices, scores = top_m(queries, topics, 8, block_queries=128, block_topics=256)
    expected, expected_scores = brute_force(queries, topics, 8)
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-5)


def test_ascending_scores_which_all_enter() -> None:
    topics = np.arange(1000, dtype=np.float32)[:, None]
    indices, _ = top_m(np.ones((3, 1), np.float32), topics, 4, block_topics=64)
    assert indices.tolist() == [[999, 998, 997, 996]] * 3


def test_identical_topics_go_to_the_first() -> None:
    indices, _ = top_m(np.ones((2, 8), np.float32), np.ones((500, 8), np.float32), 3, block_topics=100)
    assert indices.tolist() == [[0, 1, 2]] * 2


@pytest.mark.parametrize(
    ("queries", "topics", "m"),
    [
        (np.ones((1, 2)), np.ones((1, 3)), 1),
        (np.ones((1, 2)), np.ones((1, 2)), 0),
        (np.array([[np.nan]]), np.ones((1, 1)), 1),
    ],
)
def test_bad_arguments(queries: np.ndarray, topics: np.ndarray, m: int) -> None:
    with pytest.raises(ValueError):
        top_m(queries.astype(np.float32), topics.astype(np.float32), m)

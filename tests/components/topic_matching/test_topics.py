from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from components.topic_matching.coarse import Candidate, Matcher
from components.topic_matching.fine import TopicChoice, TopicPick, read_choice
from components.topic_matching.topics import Topics


def row(path: str, vector: tuple[float, ...], dimension: str = "domain") -> dict:
    names = path.split("/")
    return {
        "topic_id": f"{dimension}:{path}",
        "path": names,
        "dimension": dimension,
        "parent_id": f"{dimension}:{'/'.join(names[:-1])}" if len(names) > 1 else "",
        "embedding": list(vector),
    }


ROWS = [
    row("G", (0, 0, 1)),
    row("G/fuel", (1, 0, 0)),
    row("G/fuel/level", (0.8, 0.6, 0)),
    row("G/fuel/low", (1, 0, 0)),
    row("G/speed", (0, 1, 0)),
    row("G/speed/number", (0, 1, 0)),
    row("G/bare", (0.6, 0.8, 0)),
    row("C", (0, 0, 1), "capability"),
    row("C/read", (0, 0, 1), "capability"),
    row("C/read/digits", (0, 0, 1), "capability"),
]


def tree(rows: list[dict]) -> pa.Table:
    columns = {name: [r[name] for r in rows] for name in ("topic_id", "path", "dimension", "parent_id")}
    return pa.table(
        {**columns, "embedding": pa.array([r["embedding"] for r in rows], pa.list_(pa.float32()))}
    )


def names(topics: Topics, found: list) -> list[str]:
    return [topics.paths[item.topic][-1] for item in found]


def test_candidates_are_the_children_of_the_nearest_branches_of_each_dimension() -> None:
    topics = Topics.from_table(tree(ROWS))
    captions = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    one = Matcher(topics).candidates(captions, 1, -1.0)
    assert [names(topics, found) for found in one] == [["level", "low", "digits"], ["number", "digits"]]
    assert [round(c.coarse, 4) for c in one[0]] == [1.0, 1.0, 0.0]
    # G/bare, at cosines 0.6 and 0.8, has no third level and stands for itself; C/read is below 0.5.
    two = Matcher(topics).candidates(captions, 2, 0.5)
    assert [names(topics, found) for found in two] == [["level", "low", "bare"], ["number", "bare"]]
    assert [round(c.coarse, 4) for c in two[0]] == [1.0, 1.0, 0.6]


def test_nearest_goes_straight_to_the_leaves() -> None:
    topics = Topics.from_table(tree(ROWS))
    found = Matcher(topics).nearest(np.array([[0.8, 0.6, 0]], np.float32), 3, 0.7)[0]
    # level (0.8, 0.6, 0): 1; bare (0.6, 0.8, 0): 0.96, its own branch; low (1, 0, 0): 0.8.
    assert names(topics, found) == ["level", "bare", "low"]
    assert [(round(m.coarse, 4), round(m.fine, 4)) for m in found] == [(0.8, 1.0), (0.96, 0.96), (0.8, 0.8)]


@given(npst.arrays(np.int8, (5, 3), elements=st.integers(-2, 2)), st.integers(1, 4), st.integers(1, 4))
def test_no_candidate_twice_and_every_one_has_its_branchs_cosine(
    captions, per_dimension: int, block: int
) -> None:
    topics = Topics.from_table(tree(ROWS))
    vectors = captions.astype(np.float32)
    matcher = Matcher(topics, block_captions=2, block_topics=block)
    for caption, found in zip(vectors, matcher.candidates(vectors, per_dimension, -9.0), strict=True):
        assert len({c.topic for c in found}) == len(found)
        for c in found:
            assert c.topic in topics.leaves
            assert c.coarse == pytest.approx(float(topics.vectors[topics.branch(c.topic)] @ caption))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "embeddings of one length"),
        ([row("G", (1, 0)), row("H", (1,))], "lengths"),
        ([row("G/fuel", (1, 0))], "without their parent"),
    ],
)
def test_a_broken_tree_is_refused(rows: list[dict], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Topics.from_table(tree(rows))


OFFERED = [Candidate(10, 0.9), Candidate(20, 0.8), Candidate(30, 0.7)]


def choice(*picks: tuple[int, float]) -> TopicChoice:
    return TopicChoice(topics=[TopicPick(index=index, score=score) for index, score in picks])


@pytest.mark.parametrize(
    ("picks", "expected"),
    [
        ([], []),
        ([(2, 5), (1, 9)], [10, 20]),
        ([(3, 5), (1, 5)], [10, 30]),  # a tie keeps the candidates' order
        ([(1, 1), (2, 2), (3, 3)], [30, 20]),  # two at most
        ([(4, 9), (3, 1)], [30]),  # there is no fourth
        ([(2, 1), (2, 8), (1, 5)], [20, 10]),  # repeated: the highest counts
        ([(0, 9), (-1, 9)], None),  # numbers, but none of a candidate
    ],
)
def test_reading_a_choice(picks: list[tuple[int, float]], expected: list[int] | None) -> None:
    found = read_choice(choice(*picks), OFFERED, 2)
    assert (None if found is None else [match.topic for match in found]) == expected


def test_scores_become_shares() -> None:
    (match,) = read_choice(choice((2, 7.5)), OFFERED, 2)
    assert (match.coarse, match.fine) == (0.8, 0.75)

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from components.label_tree.config import ExpertChild, ExpertLabel
from components.label_tree.tree import Topic, in_reading_order, merge, plant, propose

ROOT = Topic(("Gauges",), "", "domain", "expert")


def unit(*rows: tuple[float, ...]) -> np.ndarray:
    matrix = np.array(rows, np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def named(*names: str) -> list[Topic]:
    return [Topic(("Gauges", name), "", "domain", "model") for name in names]


def test_planting_keeps_the_experts_order_and_levels() -> None:
    experts = [
        ExpertLabel(name="Gauges", dimension="domain", children=(ExpertChild(name="Fuel"),)),
        ExpertLabel(name="Counting", dimension="capability"),
    ]
    topics = plant(experts)
    assert [(t.path, t.level, t.dimension, t.origin) for t in topics] == [
        (("Gauges",), 1, "domain", "expert"),
        (("Counting",), 1, "capability", "expert"),
        (("Gauges", "Fuel"), 2, "domain", "expert"),
    ]
    assert topics[2].parent_id == topics[0].topic_id
    assert topics[0].parent_id == ""


def test_a_proposal_without_a_word_is_no_topic() -> None:
    assert propose(ROOT, " 1. ?! ", "x") is None


def test_merge_by_hand() -> None:
    # b leans on the tree's topic (cos 0.96), c on nothing, d on c (cos 0.96), e is a's exact name again.
    tree_vectors = unit((1, 0, 0))
    candidates = named("b", "c", "d", "C!")
    vectors = unit((0.96, 0.28, 0), (0, 1, 0), (0, 0.96, 0.28), (0, 0, 1))
    accepted, merges = merge([ROOT], tree_vectors, candidates, vectors, 0.92)
    assert accepted == [1]
    assert [(m.dropped.name, m.into.name, round(m.similarity, 2)) for m in merges] == [
        ("b", "Gauges", 0.96),
        ("d", "c", 0.96),
        ("C!", "c", 1.0),
    ]


def test_only_accepted_topics_attract_others() -> None:
    # Unit vectors at 0, 20 and 40 degrees: neighbours are at cos 20° = 0.940 >= 0.92, the ends at cos 40° =
    # 0.766.
    angles = np.deg2rad([0, 20, 40])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    accepted, merges = merge([], np.zeros((0, 2), np.float32), named("a", "b", "c"), vectors, 0.92)
    assert accepted == [0, 2]
    assert [(m.dropped.name, m.into.name) for m in merges] == [("b", "a")]


def greedy(tree: np.ndarray, rows: np.ndarray, threshold: float) -> list[int]:
    kept: list[int] = []
    for index, row in enumerate(rows):
        others = np.concatenate([tree, rows[kept]])
        if not len(others) or float((others @ row).max()) < threshold:
            kept.append(index)
    return kept


@given(
    npst.arrays(np.int8, st.tuples(st.integers(1, 30), st.just(4)), elements=st.integers(-2, 2)),
    st.integers(0, 29),
    st.integers(1, 8),
)
def test_blocks_change_nothing(rows: np.ndarray, split: int, block: int) -> None:
    # Whole numbers are exact in float32, so the threshold 2.0 is met or not met without rounding.
    vectors = rows.astype(np.float32)
    split = min(split, len(rows))
    topics = named(*[f"t{index}" for index in range(len(rows))])
    accepted, merges = merge(topics[:split], vectors[:split], topics[split:], vectors[split:], 2.0, block)
    assert accepted == greedy(vectors[:split], vectors[split:], 2.0)
    assert len(accepted) + len(merges) == len(rows) - split


def test_reading_order_is_depth_first() -> None:
    paths = [("A",), ("B",), ("A", "x"), ("B", "y"), ("A", "x", "1"), ("A", "z")]
    topics = [Topic(path, "", "domain", "model") for path in paths]
    assert [topics[index].path for index in in_reading_order(topics)] == [
        ("A",), ("A", "x"), ("A", "x", "1"), ("A", "z"), ("B",), ("B", "y"),
    ]  # fmt: skip

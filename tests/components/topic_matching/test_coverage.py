from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.topic_matching.topics import Coverage, Topics

# G has the branches a (leaves a1, a2) and b (a leaf itself); H has the branch c with the leaf c1.
PATHS = ["G", "G/a", "G/a/a1", "G/a/a2", "G/b", "H", "H/c", "H/c/c1"]
TOPICS = Topics(
    ids=PATHS,
    paths=[tuple(path.split("/")) for path in PATHS],
    dimensions=["domain"] * len(PATHS),
    parents=[-1, 0, 1, 1, 0, -1, 5, 6],
    vectors=np.zeros((len(PATHS), 1), np.float32),
)


def match(path: str, fine: float = 1.0) -> tuple[int, float]:
    return PATHS.index(path), fine


def test_by_hand() -> None:
    coverage = Coverage(TOPICS)
    coverage.add([match("G/a/a1", 0.9), match("G/a/a2", 0.3)])
    coverage.add([match("G/b", 0.6)])
    assert dict(zip(PATHS, coverage.images.tolist(), strict=True)) == {
        "G": 2, "G/a": 1, "G/a/a1": 1, "G/a/a2": 1, "G/b": 1, "H": 0, "H/c": 0, "H/c/c1": 0,
    }  # fmt: skip
    assert coverage.matches.tolist() == [3, 2, 1, 1, 1, 0, 0, 0]
    # G: (0.9 + 0.3 + 0.6) / 3; a: (0.9 + 0.3) / 2
    means = [row["mean_fine"] for row in coverage.rows()]
    assert means == pytest.approx([0.6, 0.6, 0.9, 0.3, 0.6, 0, 0, 0])
    assert [row["level"] for row in coverage.rows()] == [1, 2, 3, 3, 2, 1, 2, 3]
    assert [PATHS[topic] for topic in coverage.without_images()] == ["H/c/c1"]
    assert [[PATHS[t] for t in coverage.without_images(level)] for level in (1, 2, 3)] == [
        ["H"],
        ["H/c"],
        ["H/c/c1"],
    ]


@given(st.lists(st.sets(st.sampled_from(TOPICS.leaves)), max_size=12))
def test_counts_are_those_of_sets(images: list[set[int]]) -> None:
    coverage = Coverage(TOPICS)
    for image in images:
        coverage.add([(leaf, 1.0) for leaf in sorted(image)])
    for topic in range(len(PATHS)):
        below = {leaf for leaf in TOPICS.leaves if topic in TOPICS.line(leaf)}
        assert coverage.images[topic] == sum(bool(image & below) for image in images)
        assert coverage.matches[topic] == sum(len(image & below) for image in images)

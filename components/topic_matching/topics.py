"""Coarse matching: captions against the label tree, by embedding. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.topic_matching.search import Floats, top_m


@dataclass(frozen=True)
class Topics:
    """The label tree as columns: entry i of every field describes topic i; `parents` is -1 on the first level."""

    ids: list[str]
    paths: list[tuple[str, ...]]
    dimensions: list[str]
    parents: list[int]
    vectors: Floats

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, Any]]) -> Topics:
        """Build from rows of the label_tree table.

        Raises:
            ValueError: there are no topics, a parent is missing, or embeddings differ in length.
        """
        rows = list(rows)
        position = {row["topic_id"]: index for index, row in enumerate(rows)}
        widths = {len(row["embedding"]) for row in rows}
        if len(widths) != 1:
            raise ValueError(f"topics need embeddings of one length, found lengths {sorted(widths)}")
        orphans = [row["topic_id"] for row in rows if row["parent_id"] and row["parent_id"] not in position]
        if orphans:
            raise ValueError(f"{len(orphans)} topics without their parent, the first is {orphans[0]}")
        return cls(
            ids=[row["topic_id"] for row in rows],
            paths=[tuple(row["path"]) for row in rows],
            dimensions=[row["dimension"] for row in rows],
            parents=[position[row["parent_id"]] if row["parent_id"] else -1 for row in rows],
            vectors=np.array([row["embedding"] for row in rows], np.float32),
        )

    def leaves(self) -> list[int]:
        """Indices, in the tree's order, of what images are matched to: the third level, and second-level topics that have
        no third (their children may all have been merged into other branches) and so stand for themselves."""
        inner = set(self.parents)
        return [index for index, path in enumerate(self.paths) if len(path) > 1 and index not in inner]

    def branch(self, leaf: int) -> int:
        """The second-level topic above a leaf, or the leaf itself where it is one."""
        return self.parents[leaf] if len(self.paths[leaf]) == 3 else leaf


@dataclass(frozen=True)
class Candidate:
    """A leaf (its index) and the cosine of the caption to its branch, the second-level topic above it."""

    topic: int
    coarse: float


@dataclass(frozen=True)
class Match:
    """A chosen topic. `fine` is 0-1 from a model's score, or the caption's cosine where no model was asked."""

    topic: int
    coarse: float
    fine: float


def candidates(
    topics: Topics, captions: Floats, per_dimension: int, min_similarity: float, block_topics: int
) -> list[list[Candidate]]:
    """Leaves under the second-level topics nearest to each caption.

    Dimensions are searched apart: what a picture shows is always nearer to its caption than what can be asked of it,
    so capabilities would never be candidates in one common list.

    Args:
        topics: the label tree.
        captions: (n, d) unit vectors.
        per_dimension: second-level topics taken in each dimension.
        min_similarity: cosine below which a second-level topic is not taken.
        block_topics: see `search.top_m`.

    Returns:
        For each caption its candidates, without duplicates: by dimension, then nearest branch, then the tree's order.
    """
    below: dict[int, list[int]] = {}
    for leaf in topics.leaves():
        below.setdefault(topics.branch(leaf), []).append(leaf)
    found: list[list[Candidate]] = [[] for _ in captions]
    for dimension in sorted(set(topics.dimensions), reverse=True):
        branches = [index for index in below if topics.dimensions[index] == dimension]
        if not branches:
            continue
        where, scores = top_m(captions, topics.vectors[branches], per_dimension, block_topics=block_topics)
        for row in range(len(captions)):
            for column, score in zip(where[row].tolist(), scores[row].tolist(), strict=True):
                if score >= min_similarity:
                    found[row].extend(Candidate(leaf, score) for leaf in below[branches[column]])
    return found


def nearest(
    topics: Topics, captions: Floats, max_topics: int, min_similarity: float, block_topics: int
) -> list[list[Match]]:
    """The leaves nearest to each caption, best first: matching without a model that sees the picture."""
    leaves = topics.leaves()
    where, scores = top_m(captions, topics.vectors[leaves], max_topics, block_topics=block_topics)
    matches: list[list[Match]] = []
    for row, caption in enumerate(captions):
        chosen = [leaves[column] for column in where[row].tolist()]
        coarse = topics.vectors[[topics.branch(leaf) for leaf in chosen]] @ caption
        matches.append(
            [
                Match(leaf, float(above), score)
                for leaf, above, score in zip(chosen, coarse, scores[row].tolist(), strict=True)
                if score >= min_similarity
            ]
        )
    return matches

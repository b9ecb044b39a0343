"""Coarse matching: captions against the label tree, by embedding. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from components.topic_matching.search import Floats, TopicSearch


@dataclass(frozen=True)
class Topics:
    """The label tree as columns: entry i of every field describes topic i; `parents` is -1 on the first level."""

    ids: list[str]
    paths: list[tuple[str, ...]]
    dimensions: list[str]
    parents: list[int]
    vectors: Floats

    @classmethod
    def from_table(cls, table: pa.Table) -> Topics:
        """Build from a label_tree table; embeddings go from Arrow to NumPy without becoming Python objects.

        Raises:
            ValueError: there are no topics, a parent is missing, or embeddings differ in length.
        """
        ids = table.column("topic_id").to_pylist()
        above = table.column("parent_id").to_pylist()
        embeddings = table.column("embedding").combine_chunks()
        widths = set(embeddings.value_lengths().to_pylist())
        if len(widths) != 1:
            raise ValueError(f"topics need embeddings of one length, found lengths {sorted(widths)}")
        position = {topic_id: index for index, topic_id in enumerate(ids)}
        orphans = [
            topic for topic, parent in zip(ids, above, strict=True) if parent and parent not in position
        ]
        if orphans:
            raise ValueError(f"{len(orphans)} topics without their parent, the first is {orphans[0]}")
        return cls(
            ids=ids,
            paths=[tuple(path) for path in table.column("path").to_pylist()],
            dimensions=table.column("dimension").to_pylist(),
            parents=[position[parent] if parent else -1 for parent in above],
            vectors=embeddings.flatten().to_numpy(zero_copy_only=False).reshape(len(ids), -1),
        )

    @cached_property
    def leaves(self) -> list[int]:
        """Indices, in the tree's order, of what images are matched to: the third level, and second-level topics that have
        no third (their children may all have been merged into other branches) and so stand for themselves."""
        inner = set(self.parents)
        return [index for index, path in enumerate(self.paths) if len(path) > 1 and index not in inner]

    def branch(self, leaf: int) -> int:
        """The second-level topic above a leaf, or the leaf itself where it is one."""
        return self.parents[leaf] if len(self.paths[leaf]) == 3 else leaf

    def line(self, topic: int) -> list[int]:
        """A topic and everything above it, from the topic up."""
        line = [topic]
        while self.parents[line[-1]] >= 0:
            line.append(self.parents[line[-1]])
        return line


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


class Matcher:
    """Matches captions to one label tree.

    Args:
        topics: the label tree.
        block_captions: see `search.TopicSearch`.
        block_topics: likewise.
    """

    def __init__(self, topics: Topics, block_captions: int = 2048, block_topics: int = 4096) -> None:
        self.topics = topics
        self._blocks = {"block_queries": block_captions, "block_topics": block_topics}

    def candidates(
        self, captions: Floats, per_dimension: int, min_similarity: float
    ) -> list[list[Candidate]]:
        """Leaves under the second-level topics nearest to each caption.

        Dimensions are searched apart: what a picture shows is always nearer to its caption than what can be asked of
        it, so capabilities would never be candidates in one common list.

        Args:
            captions: (n, d) unit vectors.
            per_dimension: second-level topics taken in each dimension.
            min_similarity: cosine below which a second-level topic is not taken.

        Returns:
            For each caption its candidates, without duplicates: by dimension, then nearest branch, then the tree's order.
        """
        found: list[list[Candidate]] = [[] for _ in captions]
        for branches, search in self._by_dimension:
            where, scores = search.top(captions, per_dimension)
            for row in range(len(captions)):
                for column, score in zip(where[row].tolist(), scores[row].tolist(), strict=True):
                    if score >= min_similarity:
                        found[row].extend(Candidate(leaf, score) for leaf in self._below[branches[column]])
        return found

    def nearest(self, captions: Floats, max_topics: int, min_similarity: float) -> list[list[Match]]:
        """The leaves nearest to each caption, best first: matching without a model that sees the picture."""
        leaves, vectors = self.topics.leaves, self.topics.vectors
        where, scores = self._leaf_search.top(captions, max_topics)
        matches: list[list[Match]] = []
        for row, caption in enumerate(captions):
            chosen = [leaves[column] for column in where[row].tolist()]
            coarse = vectors[[self.topics.branch(leaf) for leaf in chosen]] @ caption
            matches.append(
                [
                    Match(leaf, float(above), score)
                    for leaf, above, score in zip(chosen, coarse, scores[row].tolist(), strict=True)
                    if score >= min_similarity
                ]
            )
        return matches

    @cached_property
    def _below(self) -> dict[int, list[int]]:
        below: dict[int, list[int]] = {}
        for leaf in self.topics.leaves:
            below.setdefault(self.topics.branch(leaf), []).append(leaf)
        return below

    @cached_property
    def _by_dimension(self) -> list[tuple[list[int], TopicSearch]]:
        """The second-level topics of each dimension, and a search over them; domains first."""
        dimensions = self.topics.dimensions
        groups = [
            [branch for branch in self._below if dimensions[branch] == dimension]
            for dimension in sorted(set(dimensions), reverse=True)
        ]
        return [(group, self._search(group)) for group in groups if group]

    @cached_property
    def _leaf_search(self) -> TopicSearch:
        return self._search(self.topics.leaves)

    def _search(self, topics: list[int]) -> TopicSearch:
        return TopicSearch(self.topics.vectors[topics], **self._blocks)

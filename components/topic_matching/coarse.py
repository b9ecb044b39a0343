"""Coarse matching: the topics nearest to an image's caption, by embedding. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from components.topic_matching.search import Floats, TopicSearch
from components.topic_matching.topics import Topics


@dataclass(frozen=True)
class Candidate:
    """A leaf, by its index, and the cosine of the caption to its branch, the second-level topic above it."""

    topic: int
    coarse: float


@dataclass(frozen=True)
class Match:
    """A chosen topic; `fine` is 0-1 from a model's score, or the caption's cosine where none was asked."""

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

        Each dimension is searched alone. A picture's content is always nearer to its caption than a
        capability is, so capabilities would never be candidates in one common list.

        Args:
            captions: (n, d) unit vectors.
            per_dimension: second-level topics taken in each dimension.
            min_similarity: cosine below which a second-level topic is not taken.

        Returns:
            For each caption its candidates, without duplicates: by dimension, then nearest branch, then the
                tree's order.
        """
        found: list[list[Candidate]] = [[] for _ in captions]
        for branches, search in self._by_dimension:
            where, scores = search.top(captions, per_dimension)
            for row in range(len(captions)):
                for column, score in zip(where[row].tolist(), scores[row].tolist(), strict=True):
                    if score >= min_similarity:
                        found[row].extend(
                            Candidate(leaf, score) for leaf in self.topics.leaves_of_branch[branches[column]]
                        )
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
    def _by_dimension(self) -> list[tuple[list[int], TopicSearch]]:
        """The second-level topics of each dimension, and a search over them; domains first."""
        dimensions = self.topics.dimensions
        groups = [
            [branch for branch in self.topics.leaves_of_branch if dimensions[branch] == dimension]
            for dimension in sorted(set(dimensions), reverse=True)
        ]
        return [(group, self._search(group)) for group in groups if group]

    @cached_property
    def _leaf_search(self) -> TopicSearch:
        return self._search(self.topics.leaves)

    def _search(self, topics: list[int]) -> TopicSearch:
        return TopicSearch(self.topics.vectors[topics], **self._blocks)

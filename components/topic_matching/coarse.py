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


@dataclass(frozen=True)
class Matcher:
    """Matches captions, (n, d) unit vectors, to one label tree; blocks as in `search.TopicSearch`."""

    topics: Topics
    block_captions: int = 2048
    block_topics: int = 4096

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
            Distinct candidates of each caption: by dimension, then nearest branch, then the tree's order.
        """
        found: list[list[Candidate]] = [[] for _ in captions]
        for branches, search in self._by_dimension:
            where, scores = search.top(captions, per_dimension)
            for own, columns, cosines in zip(found, where.tolist(), scores.tolist(), strict=True):
                for column, cosine in zip(columns, cosines, strict=True):
                    if cosine >= min_similarity:
                        leaves = self.topics.leaves_of_branch[branches[column]]
                        own.extend(Candidate(leaf, cosine) for leaf in leaves)
        return found

    def nearest(self, captions: Floats, max_topics: int, min_similarity: float) -> list[list[Match]]:
        """The leaves nearest to each caption, best first: matching without a model that sees the picture."""
        leaves, vectors = self.topics.leaves, self.topics.vectors
        where, scores = self._leaf_search.top(captions, max_topics)
        matches: list[list[Match]] = []
        for row, caption in enumerate(captions):
            chosen = [leaves[column] for column in where[row].tolist()]
            coarse = vectors[[self.topics.branch(leaf) for leaf in chosen]] @ caption
            found = zip(chosen, coarse.tolist(), scores[row].tolist(), strict=True)
            matches.append([Match(*match) for match in found if match[-1] >= min_similarity])
        return matches

    @cached_property
    def _by_dimension(self) -> list[tuple[list[int], TopicSearch]]:
        """The second-level topics of each dimension, and a search over them; domains first."""
        groups: dict[str, list[int]] = {}
        for branch in self.topics.leaves_of_branch:
            groups.setdefault(self.topics.dimensions[branch], []).append(branch)
        return [(group, self._search(group)) for _, group in sorted(groups.items(), reverse=True)]

    @cached_property
    def _leaf_search(self) -> TopicSearch:
        return self._search(self.topics.leaves)

    def _search(self, topics: list[int]) -> TopicSearch:
        blocks = {"block_queries": self.block_captions, "block_topics": self.block_topics}
        return TopicSearch(self.topics.vectors[topics], **blocks)

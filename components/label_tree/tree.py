"""The topic tree as data: planting the experts' topics and merging near-duplicates. Pure.

A tree is a list of topics, parents before children, beside a matrix with one unit vector a topic.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from components.label_tree.config import ExpertLabel, ExpertTopic
from components.label_tree.edits import SEPARATOR
from components.label_tree.names import MAX_DESCRIPTION_CHARS, clean_name, clean_text, name_key, topic_id

Vectors = NDArray[np.float32]
BLOCK_COLUMNS = 16384


@dataclass(frozen=True)
class Topic:
    """A node of the tree. `path` holds the names from the first level down to the topic's own."""

    path: tuple[str, ...]
    description: str
    dimension: str
    origin: str

    @cached_property
    def topic_id(self) -> str:
        """See `names.topic_id`."""
        return topic_id(self.dimension, self.path)

    @cached_property
    def parent_id(self) -> str:
        """Id of the parent; empty on the first level."""
        return topic_id(self.dimension, self.path[:-1]) if len(self.path) > 1 else ""

    @property
    def name(self) -> str:
        """The last name of the path."""
        return self.path[-1]

    @property
    def full_name(self) -> str:
        """The names of the path, joined as people write them."""
        return SEPARATOR.join(self.path)

    @property
    def level(self) -> int:
        """1, 2 or 3."""
        return len(self.path)

    @property
    def text(self) -> str:
        """The text that is embedded."""
        return f"{self.name}: {self.description}" if self.description else self.name


@dataclass(frozen=True)
class Merge:
    """A proposed topic that was taken for one already in the tree."""

    dropped: Topic
    into: Topic
    similarity: float


def plant(experts: Iterable[ExpertLabel]) -> list[Topic]:
    """The experts' topics, level by level, in the order they were written."""
    topics: list[Topic] = []
    level: list[tuple[tuple[str, ...], str, ExpertTopic]] = [((), e.dimension, e) for e in experts]
    while level:
        planted = [(_topic(above, e.name, e.description, kind, "expert"), e) for above, kind, e in level]
        topics += [topic for topic, _ in planted]
        level = [(t.path, t.dimension, child) for t, e in planted for child in getattr(e, "children", ())]
    return topics


def propose(parent: Topic, name: str, description: str) -> Topic | None:
    """A model's proposal as a child of `parent`; None when its name has no letter or digit."""
    if not name_key(clean_name(name)):
        return None
    return _topic(parent.path, name, description, parent.dimension, "model")


def _topic(above: tuple[str, ...], name: str, description: str, dimension: str, origin: str) -> Topic:
    description = clean_text(description, MAX_DESCRIPTION_CHARS)
    return Topic((*above, clean_name(name)), description, dimension, origin)


def merge(
    tree: Sequence[Topic],
    tree_vectors: Vectors,
    candidates: Sequence[Topic],
    vectors: Vectors,
    threshold: float,
    block_rows: int = 1024,
) -> tuple[list[int], list[Merge]]:
    """Decide which candidates are new: the first of several near-duplicates wins, and the tree always does.

    A candidate is a duplicate when its id is taken, or its cosine to a topic of the tree or an accepted
    candidate reaches `threshold`. It is merged into the most similar of those (the earliest on a tie). Only
    accepted topics attract others, so chains of similar topics do not collapse into one.

    Args:
        tree: topics already there, of any level.
        tree_vectors: (len(tree), d) unit vectors.
        candidates: proposals, in the order that decides who is first.
        vectors: (len(candidates), d) unit vectors.
        threshold: cosine from which two topics are the same.
        block_rows: candidates compared at a time, which bounds memory. No effect on the result.

    Returns:
        Indices of the accepted candidates, ascending, and one `Merge` for each of the others.
    """
    known = {topic.topic_id: topic for topic in tree}
    accepted: list[int] = []
    merges: list[Merge] = []
    for start in range(0, len(candidates), block_rows):
        stop = min(start + block_rows, len(candidates))
        best, where = most_similar(vectors[start:stop], tree_vectors)
        # Candidates accepted in earlier blocks come after the tree in the order of who is first.
        best_new, where_new = most_similar(vectors[start:stop], vectors[accepted])
        earlier = list(accepted)
        within = vectors[start:stop] @ vectors[start:stop].T
        here: list[int] = []
        for row, topic in enumerate(candidates[start:stop]):
            options: list[tuple[float, Topic]] = []
            if len(tree):
                options.append((float(best[row]), tree[where[row]]))
            if earlier:
                options.append((float(best_new[row]), candidates[earlier[where_new[row]]]))
            if here:
                nearest = int(within[row, here].argmax())
                options.append((float(within[row, here[nearest]]), candidates[start + here[nearest]]))
            similarity, into = max(options, key=lambda option: option[0], default=(-np.inf, topic))
            if topic.topic_id in known:
                merges.append(Merge(topic, known[topic.topic_id], 1.0))
            elif similarity >= threshold:
                merges.append(Merge(topic, into, min(similarity, 1.0)))
            else:
                known[topic.topic_id] = topic
                here.append(row)
        accepted.extend(start + row for row in here)
    return accepted, merges


def most_similar(rows: Vectors, others: Vectors) -> tuple[Vectors, NDArray[np.intp]]:
    """Highest cosine of each row to `others`, and the first index that has it; -inf and 0 without others."""
    best = np.full(len(rows), -np.inf, np.float32)
    where = np.zeros(len(rows), np.intp)
    for start in range(0, len(others), BLOCK_COLUMNS):
        similarity = rows @ others[start : start + BLOCK_COLUMNS].T
        column = similarity.argmax(axis=1)
        value = similarity[np.arange(len(rows)), column]
        better = value > best
        best[better], where[better] = value[better], column[better] + start
    return best, where


def in_reading_order(topics: Sequence[Topic]) -> list[int]:
    """Indices of the topics depth first: each one right after its parent's earlier branches."""
    children: dict[str, list[int]] = {}
    for index, topic in enumerate(topics):
        children.setdefault(topic.parent_id, []).append(index)

    def below(topic_id: str) -> Iterator[int]:
        for index in children.get(topic_id, ()):
            yield index
            yield from below(topics[index].topic_id)

    return list(below(""))

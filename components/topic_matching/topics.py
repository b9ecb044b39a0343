"""The label tree as columns, and its coverage: how many images are matched to each topic. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from components.topic_matching.search import Floats


@dataclass(frozen=True)
class Topics:
    """The label tree as columns: entry i of a field describes topic i; `parents` is -1 on the first level."""

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
        orphans = [own for own, parent in zip(ids, above, strict=True) if parent and parent not in position]
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
        """Topics that images are matched to: the third level, and the second level's without children."""
        inner = set(self.parents)
        return [index for index, path in enumerate(self.paths) if len(path) > 1 and index not in inner]

    def branch(self, leaf: int) -> int:
        """The second-level topic above a leaf, or the leaf itself where it is one."""
        return self.parents[leaf] if len(self.paths[leaf]) == 3 else leaf

    @cached_property
    def leaves_of_branch(self) -> dict[int, list[int]]:
        """Second-level topic -> its leaves, in the tree's order."""
        below: dict[int, list[int]] = {}
        for leaf in self.leaves:
            below.setdefault(self.branch(leaf), []).append(leaf)
        return below

    def line(self, topic: int) -> list[int]:
        """A topic and everything above it, from the topic up."""
        line = [topic]
        while self.parents[line[-1]] >= 0:
            line.append(self.parents[line[-1]])
        return line


class Coverage:
    """Counts of every topic of a tree, by index: `images` matched to it or below it, `matches` likewise.

    An image with two topics of one branch counts once among the branch's images and twice among its matches.
    """

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self.images = np.zeros(len(topics.ids), np.int64)
        self.matches = np.zeros(len(topics.ids), np.int64)
        self._fine = np.zeros(len(topics.ids), np.float64)

    def add(self, matches: Iterable[tuple[int, float]]) -> None:
        """Count one image, given its topics with their `fine` scores."""
        touched: set[int] = set()
        for topic, fine in matches:
            line = self._topics.line(topic)
            self.matches[line] += 1
            self._fine[line] += fine
            touched.update(line)
        self.images[list(touched)] += 1

    def without_images(self, level: int | None = None) -> list[int]:
        """Topics without an image, in the tree's order: those of a level, or by default the leaves."""
        topics = self._topics
        among = topics.leaves if level is None else [i for i, p in enumerate(topics.paths) if len(p) == level]
        return [topic for topic in among if not self.images[topic]]

    def rows(self) -> list[dict[str, Any]]:
        """Rows of the `coverage` table, in the tree's order."""
        topics = self._topics
        means = self._fine / np.maximum(self.matches, 1)
        return [
            {
                "topic_id": topics.ids[i],
                "path": list(path),
                "level": len(path),
                "dimension": topics.dimensions[i],
                "images": int(self.images[i]),
                "mean_fine": float(means[i]),
            }
            for i, path in enumerate(topics.paths)
        ]

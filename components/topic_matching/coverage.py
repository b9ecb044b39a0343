"""How far the images cover the topics, counted while they pass. Pure apart from its own counters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from components.topic_matching.topics import Match, Topics


class Coverage:
    """Counts of every topic of a tree, by index: `images` matched to it or below it, `matches` likewise.

    An image with two topics of one branch counts once among the branch's images and twice among its matches.
    """

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self.images = np.zeros(len(topics.ids), np.int64)
        self.matches = np.zeros(len(topics.ids), np.int64)
        self._fine = np.zeros(len(topics.ids), np.float64)

    def add(self, matches: Sequence[Match]) -> None:
        """Count the matches of one image."""
        touched: set[int] = set()
        for match in matches:
            line = self._topics.line(match.topic)
            self.matches[line] += 1
            self._fine[line] += match.fine
            touched.update(line)
        self.images[list(touched)] += 1

    def without_images(self, level: int | None = None) -> list[int]:
        """Topics without an image, in the tree's order: those of a level, or those that images can be matched to."""
        topics = self._topics
        among = topics.leaves if level is None else [i for i, p in enumerate(topics.paths) if len(p) == level]
        return [topic for topic in among if not self.images[topic]]

    def rows(self) -> list[dict[str, Any]]:
        """Rows of the `coverage` table, in the tree's order."""
        means = self._fine / np.maximum(self.matches, 1)
        return [
            {
                "topic_id": topic_id,
                "path": list(path),
                "level": len(path),
                "dimension": dimension,
                "images": images,
                "mean_fine": mean,
            }
            for topic_id, path, dimension, images, mean in zip(
                self._topics.ids,
                self._topics.paths,
                self._topics.dimensions,
                self.images.tolist(),
                means.tolist(),
                strict=True,
            )
        ]

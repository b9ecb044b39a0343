"""Greedy removal of near duplicates in a given order, under any measures of similarity."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np


class Growing:
    """A NumPy array to which rows of `shape` are appended, at a constant cost a row: it grows by half."""

    def __init__(self, dtype: Any, shape: tuple[int, ...] = ()) -> None:
        self._rows: np.ndarray = np.empty((1024, *shape), dtype=dtype)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def view(self) -> np.ndarray:
        """All rows; valid until the next `append`."""
        return self._rows[: self._count]

    def append(self, rows: np.ndarray) -> None:
        """Append rows, (n, *shape)."""
        end = self._count + len(rows)
        if end > len(self._rows):
            grown = np.empty((max(end, len(self._rows) * 3 // 2), *self._rows.shape[1:]), self._rows.dtype)
            grown[: self._count] = self.view
            self._rows = grown
        self._rows[self._count : end] = rows
        self._count = end


class Nearness(ABC):
    """A growing set of images under one measure of similarity."""

    @abstractmethod
    def add(self, rows: np.ndarray) -> None:
        """Append members."""

    @abstractmethod
    def first_within(self, queries: np.ndarray) -> np.ndarray:
        """The earliest member that each query is near to, -1 where there is none; (n,) int64."""

    @abstractmethod
    def within(self, queries: np.ndarray) -> np.ndarray:
        """Which queries are near each other; (n, n) bool."""

    @abstractmethod
    def measure(self, query: np.ndarray, member: int) -> str:
        """How near a query is to a member, for people."""


def keep_first(
    compared: Sequence[tuple[Nearness, np.ndarray]], count: int, members: int
) -> tuple[np.ndarray, np.ndarray]:
    """Greedy removal of near ones in the given order.

    An image is kept if no *kept* image before it is near under any measure. So kept ones are pairwise not
    near, and no two near duplicates can end on different sides of a split.

    Args:
        compared: for each measure its members, and the same `count` images under it.
        count: number of images.
        members: number of members so far; kept images are numbered on from there.

    Returns:
        (count,) int64, the member that an image is near to, -1 where the image is kept.
        And (count,) int64, the number of the first measure under which it is near.
    """
    leader = np.full(count, -1, dtype=np.int64)
    by = np.full(count, -1, dtype=np.int64)
    for number, (index, queries) in enumerate(compared):
        found = index.first_within(queries)
        new = (found >= 0) & (leader < 0)
        leader[new], by[new] = found[new], number
    open_ = np.flatnonzero(leader < 0)
    near = [index.within(queries[open_]) for index, queries in compared]
    taken = np.zeros(len(open_), dtype=bool)
    for row in range(len(open_)):
        if taken[row]:
            continue
        for number, matrix in enumerate(near):
            later = row + 1 + np.flatnonzero(matrix[row, row + 1 :] & ~taken[row + 1 :])
            leader[open_[later]], by[open_[later]] = members, number
            taken[later] = True
        members += 1
    return leader, by

"""Exact near-duplicate search among 64-bit hashes: every pair within the Hamming radius is found.

Pigeonhole principle: if 64 bits are cut into r + 1 bands, two hashes at distance <= r agree in one whole band
at least. So only hashes that share a band's value are compared. The block sizes below bound the memory for
any number of hashes, however alike they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from components.image_ingest.duplicates.nearness import Growing, Nearness

HASH_BITS = 64
_BLOCK = 4096  # hashes that wait before they are sorted in
_ROWS = 256  # hashes compared with all of a block at once: 8 MB
_PAIRS = 1 << 22  # candidate pairs expanded at once: 32 MB for each array of indices


def hamming(left: np.ndarray, right: np.ndarray | np.uint64) -> np.ndarray:
    """Number of differing bits of uint64 hashes, elementwise with broadcasting; uint8."""
    return np.asarray(np.bitwise_count(np.bitwise_xor(left, right)), dtype=np.uint8)


class HashIndex(Nearness):
    """A growing set of hashes; those at a Hamming distance of at most `radius`, 0 to 63, are near."""

    def __init__(self, radius: int) -> None:
        if not 0 <= radius < HASH_BITS:
            raise ValueError(f"radius must be from 0 to {HASH_BITS - 1}, got {radius}")
        self.radius = radius
        self._members = Growing(np.uint64)
        edges = np.linspace(0, HASH_BITS, radius + 2).astype(int)
        self._bands = [
            (np.uint64(low), np.uint64((1 << int(high - low)) - 1)) for low, high in itertools.pairwise(edges)
        ]
        empty = (np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64))
        self._sorted: list[tuple[np.ndarray, np.ndarray]] = [empty] * len(self._bands)
        self._sorted_in = 0

    def __len__(self) -> int:
        return len(self._members)

    def add(self, rows: np.ndarray) -> None:
        """Append hashes, (n,) uint64; their positions continue those of the members."""
        self._members.append(np.asarray(rows, dtype=np.uint64))
        if len(self._members) - self._sorted_in >= _BLOCK:
            self._sort_in()

    def _sort_in(self) -> None:
        hashes = self._members.view[self._sorted_in :]
        positions = np.arange(self._sorted_in, len(self._members))
        self._sorted_in = len(self._members)
        for number, (shift, mask) in enumerate(self._bands):
            keys, where = self._sorted[number]
            new = (hashes >> shift) & mask
            order = np.argsort(new, kind="stable")
            slots = np.searchsorted(keys, new[order], side="right")
            self._sorted[number] = (
                np.insert(keys, slots, new[order]),
                np.insert(where, slots, positions[order]),
            )

    def first_within(self, queries: np.ndarray) -> np.ndarray:
        """The earliest member within the radius of each query, -1 where there is none; (n,) int64."""
        queries = np.asarray(queries, dtype=np.uint64)
        members = self._members.view
        none = len(members)
        first = np.full(len(queries), none, dtype=np.int64)
        for (shift, mask), (keys, where) in zip(self._bands, self._sorted, strict=True):
            wanted = (queries >> shift) & mask
            begin = np.searchsorted(keys, wanted, side="left")
            count = np.searchsorted(keys, wanted, side="right") - begin
            for query, slot in _expand(begin, count):
                member = where[slot]
                near = hamming(queries[query], members[member]) <= self.radius
                np.minimum.at(first, query[near], member[near])
        recent = members[self._sorted_in :]
        for start in range(0, len(queries) if len(recent) else 0, _ROWS):
            rows = slice(start, start + _ROWS)
            near = hamming(queries[rows, None], recent) <= self.radius
            found = np.where(near.any(axis=1), near.argmax(axis=1) + self._sorted_in, none)
            first[rows] = np.minimum(first[rows], found)
        first[first == none] = -1
        return first

    def within(self, queries: np.ndarray) -> np.ndarray:
        """Which queries are within the radius of each other; (n, n) bool."""
        near = np.empty((len(queries), len(queries)), dtype=bool)
        for start in range(0, len(queries), _ROWS):
            rows = slice(start, start + _ROWS)
            near[rows] = hamming(queries[rows, None], queries) <= self.radius
        return near

    def measure(self, query: np.ndarray, member: int) -> str:
        """The Hamming distance."""
        return f"distance={int(hamming(self._members.view[member], np.uint64(query)))}"


def _expand(begin: np.ndarray, count: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (query, slot) index arrays of all candidates, at most about `_PAIRS` at a time."""
    start = 0
    while start < len(count):
        total = np.cumsum(count[start:])
        stop = start + max(1, int(np.searchsorted(total, _PAIRS, side="right")))
        counts = count[start:stop]
        if counts.sum():
            query = np.repeat(np.arange(start, stop), counts)
            offset = np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
            yield query, np.repeat(begin[start:stop], counts) + offset
        start = stop

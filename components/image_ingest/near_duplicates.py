"""Exact near-duplicate search among 64-bit hashes: every pair within the Hamming radius is found, none is guessed.

Pigeonhole principle: if 64 bits are cut into r + 1 bands, two hashes at distance <= r agree in at least one band
completely. So only hashes that share a band's value are compared. With memory bounded by the block sizes below,
whatever the number of hashes and however alike they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

HASH_BITS = 64
_BLOCK = 4096  # queries compared with each other at once: a 4096 x 4096 boolean matrix, 16 MB
_PAIRS = 1 << 22  # candidate pairs expanded at once: 32 MB for each array of indices


def hamming(left: np.ndarray, right: np.ndarray | np.uint64) -> np.ndarray:
    """Number of differing bits of uint64 hashes, elementwise with broadcasting; uint8."""
    return np.asarray(np.bitwise_count(np.bitwise_xor(left, right)), dtype=np.uint8)


class HashIndex:
    """A growing set of hashes that answers: which is the first member within `radius` of this one?

    Args:
        radius: Hamming distance that still counts as near, 0 to 63.
    """

    def __init__(self, radius: int) -> None:
        if not 0 <= radius < HASH_BITS:
            raise ValueError(f"radius must be from 0 to {HASH_BITS - 1}, got {radius}")
        self.radius = radius
        self._members = np.empty(0, dtype=np.uint64)
        edges = np.linspace(0, HASH_BITS, radius + 2).astype(int)
        self._bands = [
            (np.uint64(low), np.uint64((1 << int(high - low)) - 1)) for low, high in itertools.pairwise(edges)
        ]
        self._sorted: list[tuple[np.ndarray, np.ndarray]] = [
            (np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)) for _ in self._bands
        ]

    def __len__(self) -> int:
        return len(self._members)

    def add(self, hashes: np.ndarray) -> None:
        """Append hashes; their positions continue those of the members."""
        hashes = np.asarray(hashes, dtype=np.uint64)
        positions = np.arange(len(self._members), len(self._members) + len(hashes))
        self._members = np.concatenate([self._members, hashes])
        for number, (shift, mask) in enumerate(self._bands):
            keys, where = self._sorted[number]
            new_keys = (hashes >> shift) & mask
            order = np.argsort(new_keys, kind="stable")
            slots = np.searchsorted(keys, new_keys[order], side="right")
            self._sorted[number] = (
                np.insert(keys, slots, new_keys[order]),
                np.insert(where, slots, positions[order]),
            )

    def first_within(self, queries: np.ndarray) -> np.ndarray:
        """Position of the earliest member within the radius of each query, -1 where there is none; (n,) int64."""
        queries = np.asarray(queries, dtype=np.uint64)
        none = len(self._members)
        first = np.full(len(queries), none, dtype=np.int64)
        for (shift, mask), (keys, where) in zip(self._bands, self._sorted, strict=True):
            wanted = (queries >> shift) & mask
            begin = np.searchsorted(keys, wanted, side="left")
            count = np.searchsorted(keys, wanted, side="right") - begin
            for query, slot in _expand(begin, count):
                member = where[slot]
                near = hamming(queries[query], self._members[member]) <= self.radius
                np.minimum.at(first, query[near], member[near])
        first[first == none] = -1
        return first


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


def first_near(hashes: np.ndarray, radius: int) -> np.ndarray:
    """Greedy near-duplicate removal in the given order.

    A hash is kept if no *kept* hash before it lies within the radius; so kept ones are pairwise further apart than
    the radius, and no two near duplicates can end on different sides of a split.

    Args:
        hashes: (n,) uint64 in the order in which images win.
        radius: Hamming distance that still counts as near.

    Returns:
        (n,) int64: position of the kept hash that this one is a near duplicate of, -1 where it is itself kept.
    """
    hashes = np.asarray(hashes, dtype=np.uint64)
    leader = np.full(len(hashes), -1, dtype=np.int64)
    kept = np.empty(0, dtype=np.int64)
    index = HashIndex(radius)
    for start in range(0, len(hashes), _BLOCK):
        block = hashes[start : start + _BLOCK]
        first = index.first_within(block)
        leader[start : start + len(block)] = np.where(first >= 0, kept[first] if len(kept) else -1, -1)
        open_ = np.flatnonzero(first < 0)
        near = np.zeros((len(open_), len(open_)), dtype=bool)
        for row, position in enumerate(open_):
            near[row, row + 1 :] = hamming(block[open_[row + 1 :]], block[position]) <= radius
        taken = np.zeros(len(open_), dtype=bool)
        for row, position in enumerate(open_):
            if taken[row]:
                continue
            later = np.flatnonzero(near[row] & ~taken)
            leader[start + open_[later]] = start + position
            taken[later] = True
        new = start + open_[~taken]
        kept = np.concatenate([kept, new])
        index.add(hashes[new])
    return leader

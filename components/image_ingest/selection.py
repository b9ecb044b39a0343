"""Which of the decoded images stay: the first of every set of repeats, in the order of the listing.

Whether an image stays depends on earlier images only, so images are chosen chunk by chunk while later ones are still
being decoded; of the kept ones, ids and hashes are remembered.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.image_ingest.growing import Growing
from components.image_ingest.reasons import Reason

_ID_BYTES = 32
_RECENT_IDS = 2**16


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


Compared = Sequence[tuple[Nearness, np.ndarray]]


def keep_first(compared: Compared, count: int, members: int) -> tuple[np.ndarray, np.ndarray]:
    """Greedy removal of near ones in the given order.

    An image is kept if no *kept* image before it is near under any measure; so kept ones are pairwise not near, and no two
    near duplicates can end on different sides of a split.

    Args:
        compared: for each measure its members, and the same `count` images under it.
        count: number of images.
        members: number of members so far; kept images are numbered on from there.

    Returns:
        (count,) int64, the member that an image is near to, -1 where it is itself kept; and (count,) int64, the number of the
        first measure under which it is near.
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


@dataclass(frozen=True)
class Repeat:
    """An image that another one stands for."""

    reason: Reason
    member: int
    """The image that stands for it, see `Chooser.position`."""
    how: str = ""
    """How near the two are."""


class Chooser:
    """Remembers every kept image and every image of the catalogue, and says of new ones whether they stay.

    Args:
        measures: what counts as near besides equal bytes.
    """

    def __init__(self, measures: Sequence[Nearness]) -> None:
        self._measures = list(measures)
        self._ids = _Ids()
        self._positions = Growing(np.int64)

    def add_known(self, ids: Sequence[bytes], rows: Sequence[np.ndarray]) -> None:
        """Add images of the catalogue.

        Args:
            ids: SHA-256 digests.
            rows: the images under each measure.
        """
        self._add(ids, rows, np.full(len(ids), -1))

    def choose(
        self, ids: Sequence[bytes], rows: Sequence[np.ndarray], positions: np.ndarray
    ) -> dict[int, Repeat]:
        """What does not stay of some more images; the others do, and are remembered.

        Args:
            ids: SHA-256 digests of the stored bytes.
            rows: the images under each measure.
            positions: (n,) int64, where each image is in the listing.
        """
        result: dict[int, Repeat] = {}
        first: dict[bytes, int] = {}
        for row, id_ in enumerate(ids):
            member = self._ids.find(id_)
            if member >= 0:
                result[row] = self._repeat(Reason.DUPLICATE, member)
            else:
                first.setdefault(id_, row)
        unique = np.fromiter(first.values(), np.int64, len(first))
        compared = [(index, values[unique]) for index, values in zip(self._measures, rows, strict=True)]
        leaders, by = keep_first(compared, len(unique), len(self._positions))
        stays = unique[leaders < 0]
        self._add([ids[row] for row in stays], [values[stays] for values in rows], positions[stays])
        for row, leader, number in zip(unique.tolist(), leaders.tolist(), by.tolist(), strict=True):
            if leader >= 0:
                how = self._measures[number].measure(rows[number][row], leader)
                result[row] = self._repeat(Reason.NEAR_DUPLICATE, leader, how)
        for row, id_ in enumerate(ids):
            if row not in result and first[id_] != row:  # repeats an image of this very call
                same = result.get(first[id_])
                result[row] = same or self._repeat(Reason.DUPLICATE, self._ids.find(id_))
        return result

    def member(self, id_: bytes) -> int:
        """The member with this digest, -1 if there is none."""
        return self._ids.find(id_)

    def image_id(self, member: int) -> str:
        """Id of a member."""
        return self._ids.get(member).hex()

    def position(self, member: int) -> int:
        """Where a member is in the listing, -1 for one of the catalogue."""
        return int(self._positions.view[member])

    def _repeat(self, reason: Reason, member: int, how: str = "") -> Repeat:
        return Repeat(Reason.KNOWN if self.position(member) < 0 else reason, member, how)

    def _add(self, ids: Sequence[bytes], rows: Sequence[np.ndarray], positions: np.ndarray) -> None:
        self._ids.add(ids)
        self._positions.append(positions)
        for index, values in zip(self._measures, rows, strict=True):
            index.add(values)


class _Ids:
    """Digests by number and numbers by digest: 40 bytes each, where a dictionary takes two hundred."""

    def __init__(self) -> None:
        self._ids = Growing(f"S{_ID_BYTES}")
        self._order = np.empty(0, dtype=np.int64)  # of the older ones, sorted by digest
        self._recent: dict[bytes, int] = {}

    def add(self, ids: Sequence[bytes]) -> None:
        start = len(self._ids)
        self._ids.append(np.array(ids, dtype=f"S{_ID_BYTES}"))
        for number, id_ in enumerate(ids, start):
            self._recent.setdefault(id_, number)
        if len(self._recent) >= _RECENT_IDS:
            self._order = np.argsort(self._ids.view, kind="stable")
            self._recent.clear()

    def find(self, id_: bytes) -> int:
        if id_ in self._recent:
            return self._recent[id_]
        older = self._ids.view[: len(self._order)]
        slot = int(np.searchsorted(older, np.bytes_(id_), sorter=self._order))
        if slot < len(older) and self.get(self._order[slot]) == id_:
            return int(self._order[slot])
        return -1

    def get(self, number: int) -> bytes:
        # NumPy drops trailing zeros of fixed-width bytes.
        return bytes(self._ids.view[number]).ljust(_ID_BYTES, b"\0")

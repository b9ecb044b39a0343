"""Which of the decoded images stay: the first of every set of repeats, in the order of the listing.

The choice depends on earlier images only, so chunks are chosen while later ones are still being decoded. Of
the kept images, ids and hashes are remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.image_ingest.duplicates.nearness import Growing, Nearness, keep_first
from components.image_ingest.entry import Reason

_ID_BYTES = 32
_RECENT_IDS = 2**16


@dataclass(frozen=True)
class Repeat:
    """An image that repeats another one."""

    reason: Reason
    member: int
    """Number of the image that it repeats, see `Chooser.position`."""
    how: str = ""
    """How near the two are."""


class Chooser:
    """Remembers every kept image and every image of the catalogue, and says of new ones whether they stay.

    Ids are SHA-256 digests of the stored bytes; `rows` holds the same images under each of the measures.
    """

    def __init__(self, measures: Sequence[Nearness]) -> None:
        self._measures = measures
        self._ids = _Ids()
        self._positions = Growing(np.int64)

    def add_known(self, ids: Sequence[bytes], rows: Sequence[np.ndarray]) -> None:
        """Add images of the catalogue."""
        self._add(ids, rows, np.full(len(ids), -1))

    def choose(
        self, ids: Sequence[bytes], rows: Sequence[np.ndarray], positions: np.ndarray
    ) -> dict[int, Repeat]:
        """The repeats among some more images, by row; the other images stay, and are remembered.

        `positions`, (n,) int64, are the images' places in the listing.
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
        """Place of a member in the listing, -1 for one of the catalogue."""
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

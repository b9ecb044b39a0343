"""What readers of training samples share: records with their place, pictures as records name them, faults of records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from components.core.stage.errors import DataError

Row = dict[str, Any]
"""A row of the table `samples`, with its `set`."""
SOURCE = "general"
"""What the column `source` says of all general samples."""


class BadRecord(DataError):
    """A record that cannot be trained on.

    Args:
        reason: of `checks.REASONS`.
        detail: what is wrong, and what to do.
        place: file and line, or file and row, where the record is known.
    """

    def __init__(self, reason: str, detail: str, place: str = "") -> None:
        super().__init__(f"{place}: {detail}" if place else detail)
        self.reason, self.detail, self.place = reason, detail, place

    def at(self, place: str) -> BadRecord:
        """The same fault, of the record at a place."""
        return BadRecord(self.reason, self.detail, place)

    def row(self) -> Row:
        """As a row of the table `rejected`."""
        return {"id": self.place, "reason": self.reason, "detail": self.detail}


class Ids(Protocol):
    """Which image ids there are."""

    def __contains__(self, image_id: str, /) -> bool: ...


@dataclass(frozen=True)
class ImageId:
    """A picture named by its id in a dataset of table `images`."""

    image_id: str


Reference = str | bytes | ImageId
"""A picture as a record gives it: a path or a `data:` URI, encoded bytes, or an id."""


@dataclass(frozen=True)
class Record:
    """One record of a file, not yet interpreted; `number` finds it again."""

    number: int
    place: str
    value: Mapping[str, Any] | BadRecord


class Records(Protocol):
    """The records of one set, in a fixed order, whatever the file format. Picklable."""

    def __iter__(self) -> Iterator[Record]:
        """All records, with bounded memory; what is no record is one whose value is the fault.

        Raises:
            DataError: the file as a whole is not of its format.
        """
        ...

    def value(self, number: int) -> Mapping[str, Any]:
        """One record again, in any order."""
        ...

    def folder(self, number: int) -> str:
        """Folder of the file that holds a record; relative paths in the record start there."""
        ...

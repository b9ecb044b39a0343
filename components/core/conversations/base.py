"""Types that all readers of training samples share: a record with its place, a named picture, a fault."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from components.core.stage.errors import DataError

Row = dict[str, Any]
"""A row of the table `samples`, with its `set`."""
SOURCE = "general"
"""The column `source` of every general sample."""
REASONS = (
    "bad_messages",  # not ChatML with text and image parts, or an image inside an answer
    "no_answer",  # the last turn is not an assistant's, or an answer is empty
    "other_media",  # a video, a sound, or a picture in a column or text that nothing here reads
    "placeholder_mismatch",  # another number of image placeholders than of images
    "control_token",  # a text spells a control token, which would become a picture or a turn
    "image_missing",  # an image that no dataset, folder or record holds
    "image_unreadable",  # bytes that are no picture
    "image_shape",  # an aspect ratio that the processor refuses
    "unknown_token",  # a token that the model has no embedding for
    "answer_lost",  # the chat template hides an answer, or its tokens merge with the turn's header
    "too_long",  # more tokens than max_length_tokens or the model's context, vision tokens included
)
"""Why a sample is not trained on: the column `reason` of the table `rejected`."""


class BadRecord(DataError):
    """A record that cannot be trained on.

    Args:
        reason: of `REASONS`.
        detail: the fault, and the remedy.
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
    """The image ids that exist."""

    def __contains__(self, image_id: str, /) -> bool: ...


@dataclass(frozen=True)
class ImageId:
    """A picture named by its id in a dataset of table `images`."""

    image_id: str


Reference = str | bytes | ImageId
"""A picture as a record gives it: a path or a `data:` URI, encoded bytes, or an id."""


@dataclass(frozen=True)
class Record:
    """One record of a file, not yet interpreted, or its fault; `number` finds it again."""

    number: int
    place: str
    value: Mapping[str, Any] | BadRecord


class Records(Protocol):
    """The records of one set, in a fixed order, whatever the file format. Picklable."""

    def __iter__(self) -> Iterator[Record]:
        """All records, with bounded memory. An unreadable one has its fault as the value.

        Raises:
            DataError: the whole file is not of its format.
        """
        ...

    def value(self, number: int) -> Mapping[str, Any]:
        """One record again, in any order."""
        ...

    @property
    def files(self) -> Sequence[Path]:
        """The files that hold the records."""
        ...

    def folder(self, number: int) -> str:
        """Folder of the file that holds a record; relative paths in the record start there."""
        ...

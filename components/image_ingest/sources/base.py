"""What every source of pictures offers: a listing in a fixed order, and one entry's bytes from any process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from components.image_ingest.reasons import Refused

UNKNOWN_SIZE = -1


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture of a source, or what stands in a picture's place."""

    name: str
    """Stable name within the source, printable; the id of its row if it is rejected."""
    at: str
    """Where its bytes are, in the source's own terms: a path, a key, a URL."""
    size: int = UNKNOWN_SIZE
    """Bytes, where the listing tells."""
    offset: int = 0
    """Position within `at`: bytes in an archive, rows in a table."""
    stamp: str = ""
    """Changes when the content does: modification time, ETag. Part of the listing's fingerprint only."""
    refusal: Refused | None = None
    """Set where the listing already shows that this is no picture to be read."""


class Source(Protocol):
    """Pictures at one place. Picklable: worker processes get a copy and read from it."""

    def entries(self) -> Iterator[Entry]:
        """Every entry, in an order that depends on the content alone, with bounded memory."""
        ...

    def read(self, entries: Sequence[Entry]) -> Iterator[bytes | Refused]:
        """The bytes of each entry, one picture at a time in memory; what is far away is fetched several at once.

        Raises:
            StageError: the source cannot be reached now; a retry may succeed.
        """
        ...

    def uri(self, entry: Entry) -> str:
        """Where the picture came from, for the `images` table; the same on every machine that sees the source."""
        ...


def printable(name: str) -> str:
    """A name that any table can hold: bytes that are no UTF-8 and control characters are written as escapes."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

"""Entries of a source of pictures, and the closed list of reasons for rejecting one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

UNKNOWN_SIZE = -1


class Reason(StrEnum):
    """Why an entry was rejected; the value is stored in the `rejected` table."""

    NOT_AN_IMAGE = "not_an_image"
    """The first bytes are those of no image format known here."""
    UNSUPPORTED_FORMAT = "unsupported_format"
    """An image, but in a format that the configuration does not accept."""
    EMPTY_FILE = "empty_file"
    """Zero bytes."""
    TRUNCATED = "truncated"
    """The file ends before its picture does."""
    UNREADABLE = "unreadable"
    """The file cannot be read or its data cannot be decoded."""
    TOO_LARGE_FILE = "too_large_file"
    """More bytes than `max_file_bytes`."""
    TOO_MANY_PIXELS = "too_many_pixels"
    """More pixels than `max_pixels`: refused from the header, before any pixel is decoded."""
    TOO_SMALL = "too_small"
    """Shorter side below `min_side_px`, measured after the size bound was applied."""
    UNSAFE_PATH = "unsafe_path"
    """A link that leaves the folder, or an archive member whose path would."""
    NOT_A_FILE = "not_a_file"
    """An archive member that is a link, a device or a sparse file."""
    NOT_A_SHARD = "not_a_shard"
    """A file beside archives or tables of pictures that is none itself."""
    DAMAGED_ARCHIVE = "damaged_archive"
    """The unreadable rest of an archive or table, or one that would unfold to an absurd size."""
    REFUSED_URL = "refused_url"
    """Not a URL, or one whose scheme or host is not in the allowed lists."""
    REFUSED_ADDRESS = "refused_address"
    """The URL's host is at a private, loopback or link-local address."""
    DOWNLOAD_FAILED = "download_failed"
    """The server refused, or did not answer after all retries."""
    KNOWN = "known"
    """An image of the catalogue, or nearly one."""
    DUPLICATE = "duplicate"
    """Its stored bytes equal those of an earlier image."""
    NEAR_DUPLICATE = "near_duplicate"
    """Its perceptual hash, or its embedding, is near that of an earlier kept image."""
    IN_BENCHMARK = "in_benchmark"
    """Its pixels equal, or nearly equal, those of an image of a benchmark."""


@dataclass(frozen=True)
class Rejection:
    """Why an entry is no image of the run."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture of a source, or a placeholder that says why it cannot be read."""

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
    rejection: Rejection | None = None
    """Set where the listing already shows that the entry cannot be read."""


class Source(Protocol):
    """Pictures at one place. Picklable: worker processes get a copy and read from it."""

    def entries(self) -> Iterator[Entry]:
        """Every entry, in an order that depends on the content alone, with bounded memory."""

    def read(self, entries: Sequence[Entry]) -> Iterator[bytes | Rejection]:
        """The bytes of each entry, one picture at a time in memory; remote ones are fetched several at once.

        Raises:
            StageError: the source cannot be reached now; a retry may succeed.
        """

    def uri(self, entry: Entry) -> str:
        """Origin of the picture, for the `images` table; the same on every machine that sees the source."""


def printable(name: str) -> str:
    """A name that any table can hold: invalid UTF-8 and control characters are written as escapes."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

"""What a mirrored work directory consists of, and what of it has to be sent: the part of `mirror` without any I/O.

A snapshot names every file with the pieces that it is made of. A journal, which only grows, is cut into blocks of one
size, so that only its last block is sent again; any other file is one piece.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from components.core.stage.errors import DataError

BLOCK_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Piece:
    """Content of a file or of a part of one."""

    sha256: str
    bytes: int


Snapshot = dict[str, tuple[Piece, ...]]
"""File name relative to the directory -> its pieces, in order."""


@dataclass(frozen=True)
class Index:
    """What an index object holds."""

    writer: str = ""
    """Of the process that made it: makes two processes' indexes differ."""
    claims: tuple[int, ...] = ()
    """Numbers of the indexes with which processes began, the last one's among them. They are never deleted: a process
    that was believed dead and tries to create the next one after its own finds the claim of its successor there."""
    files: Snapshot = field(default_factory=dict)

    def encode(self) -> bytes:
        """As JSON: equal indexes give equal bytes."""
        listed = {name: [[p.sha256, p.bytes] for p in pieces] for name, pieces in self.files.items()}
        value = {"writer": self.writer, "claims": self.claims, "files": listed}
        return json.dumps(value, sort_keys=True, ensure_ascii=False).encode()

    @classmethod
    def decode(cls, data: bytes, where: str) -> Index:
        """From JSON.

        Raises:
            DataError: it is damaged.
        """
        try:
            value = json.loads(data)
            files = {
                name: tuple(Piece(str(digest), int(size)) for digest, size in pieces)
                for name, pieces in value["files"].items()
            }
            return cls(str(value["writer"]), tuple(map(int, value["claims"])), files)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{where}: not an index ({error!r}); delete what is there to begin anew"
            ) from error


def journal_blocks(end: int, before: Sequence[Piece]) -> tuple[tuple[Piece, ...], list[tuple[int, int]]]:
    """How a journal of `end` bytes is brought up to date.

    Returns:
        Pieces that stay, and (offset, bytes) of those to be read from the file.
    """
    if sum(piece.bytes for piece in before) == end:
        return tuple(before), []
    kept = tuple(piece for piece in before[: end // BLOCK_BYTES] if piece.bytes == BLOCK_BYTES)
    starts = range(len(kept) * BLOCK_BYTES, end, BLOCK_BYTES)
    return kept, [(start, min(BLOCK_BYTES, end - start)) for start in starts]


def unit_of(name: str, sealed: Iterable[str]) -> str:
    """The sealed directory that a file belongs to, `checkpoints/checkpoint-4` for instance; "" if to none."""
    parts = name.split("/")
    return "/".join(parts[:2]) if len(parts) > 2 and parts[0] in sealed else ""


def newest_first(units: Iterable[str]) -> list[str]:
    """Sorted by the numbers in their names, the highest first."""

    def order(unit: str) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", unit)]

    return sorted(units, key=order, reverse=True)


def surviving(stored: Iterable[str], local: Iterable[str]) -> set[str]:
    """Which of the stored sealed directories stay: those that are still there, but never none while there are any.

    A checkpoint that was deleted while it was sent stays until a newer one has arrived.
    """
    stored, local = set(stored), set(local)
    if stored & local or not local:
        return stored & local
    return set(newest_first(stored)[:1])


def listed_files(marker: bytes) -> dict[str, int]:
    """Name -> bytes of the files that a sealed directory's marker lists: as a mapping, or as a manifest's entries.

    Raises:
        ValueError: it is no such marker.
    """
    try:
        files = json.loads(marker)["files"]
        if isinstance(files, dict):
            return {str(name): int(size) for name, size in files.items()}
        return {str(entry["name"]): int(entry["bytes"]) for entry in files}
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a list of files ({error!r})") from error


def digests(files: Mapping[str, Sequence[Piece]]) -> set[str]:
    """Every piece's digest."""
    return {piece.sha256 for pieces in files.values() for piece in pieces}

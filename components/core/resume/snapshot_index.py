"""Index of a work directory's snapshot: every file with its pieces. Decides what is sent; does no I/O.

A journal, which only grows, is cut into blocks of one size: only its last block is sent again. Any other
file is one piece.
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
    """Content of an index object."""

    writer: str = ""
    """Id of the process that made it: two processes' indexes differ."""
    claims: tuple[int, ...] = ()
    """Numbers of the indexes with which processes began, up to this one's. They are never deleted, so that a
    process that was believed dead finds its successor's index when it creates the one after its own."""
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
            fault = f"not an index ({error!r})"
            raise DataError(f"{where}: {fault}; delete what is there to begin anew") from error


def journal_blocks(end: int, before: Sequence[Piece]) -> tuple[tuple[Piece, ...], list[tuple[int, int]]]:
    """How the stored pieces of a journal, now of `end` bytes, are brought up to date.

    Returns:
        Pieces that stay, and (offset, bytes) of the blocks to be read from the file.
    """
    if sum(piece.bytes for piece in before) == end:
        return tuple(before), []
    kept = tuple(piece for piece in before[: end // BLOCK_BYTES] if piece.bytes == BLOCK_BYTES)
    starts = range(len(kept) * BLOCK_BYTES, end, BLOCK_BYTES)
    return kept, [(start, min(BLOCK_BYTES, end - start)) for start in starts]


def checkpoint_of(name: str, folders: Iterable[str]) -> str:
    """The checkpoint that a file belongs to, `checkpoints/checkpoint-4` for instance; "" if to none.

    Args:
        name: of the file.
        folders: that hold checkpoints.
    """
    parts = name.split("/")
    return "/".join(parts[:2]) if len(parts) > 2 and parts[0] in folders else ""


def newest_first(checkpoints: Iterable[str]) -> list[str]:
    """Sorted by the numbers in their names, the highest first."""

    def order(name: str) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]

    return sorted(checkpoints, key=order, reverse=True)


def surviving(stored: Iterable[str], local: Iterable[str]) -> set[str]:
    """The stored checkpoints that stay: those that exist locally.

    A checkpoint may be deleted while it is sent. If no stored one exists locally but others do, the newest
    stored one stays until one of the others has arrived.
    """
    stored, local = set(stored), set(local)
    if stored & local or not local:
        return stored & local
    return set(newest_first(stored)[:1])


def listed_files(marker: bytes) -> dict[str, int]:
    """Name -> bytes of the files that a checkpoint's marker lists: as a mapping, or as a manifest's entries.

    Raises:
        ValueError: the file is no such marker.
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

"""Tar archives and WebDataset shards: members are read in place, never extracted to disk."""

from __future__ import annotations

import tarfile
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from components.image_ingest.entry import Entry, Reason, Rejection, printable
from components.image_ingest.sources.folder import Shards

# A header that needs more (a path, PAX records) is an attack: tarfile reads headers into memory whole.
_MAX_HEADER_BYTES = 2**20
_ZEROS_AT_ONCE = 2**20


@dataclass(frozen=True)
class TarSource:
    """The members of uncompressed archives."""

    shards: Shards
    sidecars: tuple[str, ...]
    """Endings of members that accompany a picture (WebDataset's `.json`, `.txt`, ...): left out."""

    def entries(self) -> Iterator[Entry]:
        """Members in the archives' order; only headers are read, one at a time."""
        for shard in self.shards:
            if shard.rejection:
                yield shard
            else:
                yield from self._members(shard)

    def _members(self, shard: Entry) -> Iterator[Entry]:
        try:
            with open(shard.at, "rb") as file:
                start: int | None = 0
                while start is not None:  # archives may follow one another: `cat a.tar b.tar`
                    file.seek(start)
                    start = yield from self._archive(shard, file, start)
        except (tarfile.TarError, OSError, ValueError, OverflowError) as error:
            detail = f"from here on: {type(error).__name__}: {error}"[:300]
            yield Entry(shard.name, shard.at, rejection=Rejection(Reason.DAMAGED_ARCHIVE, detail))

    def _archive(self, shard: Entry, file: BinaryIO, start: int) -> Generator[Entry, None, int | None]:
        """Members of the archive at the file's position; returns where another follows its end mark."""
        with tarfile.open(fileobj=cast(BinaryIO, _BoundedHeaders(file)), mode="r:") as archive:
            while (member := archive.next()) is not None:
                cast(Any, archive).members.clear()  # tarfile would remember every one
                if member.size < 0:
                    raise tarfile.ReadError(f"a member of {member.size} bytes")
                name = member.name
                if not (member.isdir() or _is_hidden(name) or name.lower().endswith(self.sidecars)):
                    yield _entry(shard, member)
            following = _next_block(file, archive.offset)
            # tarfile takes a damaged header for the end, unless it is a file's first.
            if following is not None and following == start:
                raise tarfile.ReadError(f"no header at byte {start}")
            return following

    def read(self, entries: Sequence[Entry]) -> Iterator[bytes | Rejection]:
        """The members' bytes."""
        for entry in entries:
            try:
                with open(entry.at, "rb") as file:
                    file.seek(entry.offset)
                    data = file.read(entry.size)
            except OSError as error:
                yield Rejection(Reason.UNREADABLE, f"{type(error).__name__}: {error.strerror}")
                continue
            cut = Rejection(Reason.TRUNCATED, f"the archive ends after {len(data)} of {entry.size} bytes")
            yield data if len(data) == entry.size else cut

    def uri(self, entry: Entry) -> str:
        """Path of the archive, and of the member in it."""
        return self.shards.uri(entry.name)


def _next_block(file: BinaryIO, at: int) -> int | None:
    """Position of the first block from `at` on that is not all zeros; None where nothing follows."""
    file.seek(at)
    while block := file.read(_ZEROS_AT_ONCE):
        if block.strip(b"\0"):
            zeros = len(block) - len(block.lstrip(b"\0"))
            return at + zeros // tarfile.BLOCKSIZE * tarfile.BLOCKSIZE
        at += len(block)
    return None


class _BoundedHeaders:
    """A file with bounded reads: listing reads headers only, so a larger read is a header's false claim."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        """At most a header's worth of bytes."""
        if not 0 <= size <= _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)


def _entry(shard: Entry, member: tarfile.TarInfo) -> Entry:
    name = f"{shard.name}/{printable(member.name)}"
    rejection = None
    if not _is_safe(member.name):
        rejection = Rejection(Reason.UNSAFE_PATH, "a path that leaves the archive")
    elif member.issparse() or not member.isreg():
        kind = "a sparse file" if member.issparse() else "a link" if member.islnk() or member.issym() else ""
        rejection = Rejection(Reason.NOT_A_FILE, kind or f"member of type {member.type!r}")
    elif member.size > shard.size - member.offset_data:
        there = max(0, shard.size - member.offset_data)
        rejection = Rejection(Reason.TRUNCATED, f"{member.size} bytes announced, {there} left in the archive")
    return Entry(name, shard.at, member.size, member.offset_data, shard.stamp, rejection)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))


def _is_safe(name: str) -> bool:
    """Whether a path names something below the place it would be unpacked to, on any system."""
    path = PurePosixPath(name.replace("\\", "/"))
    drive = len(name) > 1 and name[1] == ":"
    return bool(name) and not (path.is_absolute() or ".." in path.parts or drive or "\0" in name)

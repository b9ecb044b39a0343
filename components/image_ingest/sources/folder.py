"""Files of a folder, in an order that does not depend on the file system: pictures, or shards of pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from components.core.stage.errors import NoInputError
from components.image_ingest.entry import Entry, Reason, Rejection, printable

_PACKED = (".gz", ".tgz", ".bz2", ".xz", ".zst", ".zip", ".7z")


@dataclass(frozen=True)
class FolderSource:
    """Every regular file below a folder; hidden files and folders are left out.

    Links are followed only where they end inside the folder: a link cannot reach other files of the machine.
    """

    root: Path

    def entries(self) -> Iterator[Entry]:
        """Sorted by relative path; the names of one folder and its parents are in memory at a time.

        Raises:
            NoInputError: the folder does not exist.
        """
        if not self.root.is_dir():
            raise NoInputError(f"{self.root}: no such folder of images; check preflight.images")
        yield from self._below("", self.root.resolve())

    def _below(self, folder: str, inside: Path) -> Iterator[Entry]:
        try:
            with os.scandir(self.root / folder) as found:
                # A folder sorts by its name with a slash, as its files do: the order is that of whole paths.
                here = sorted(
                    (f"{item.name}/" if item.is_dir(follow_symlinks=False) else item.name, item.is_symlink())
                    for item in found
                    if not item.name.startswith(".")
                )
        except OSError as error:  # `lost+found`, say
            yield Entry(printable(folder or "."), folder, rejection=_unreadable(error))
            return
        for name, link in here:
            path = f"{folder}{name}"
            if name.endswith("/"):
                yield from self._below(path, inside)
                continue
            try:
                yield self._file(path, link, inside)
            except OSError as error:
                yield Entry(printable(path), path, rejection=_unreadable(error))

    def _file(self, path: str, link: bool, inside: Path) -> Entry:
        file = self.root / path
        if link and not (file.is_file() and file.resolve().is_relative_to(inside)):
            # Links to folders are refused too: the folder would be walked twice.
            rejection = Rejection(Reason.UNSAFE_PATH, "a link that leads out of the folder, or nowhere")
            return Entry(printable(path), path, rejection=rejection)
        if not file.is_file():
            rejection = Rejection(Reason.NOT_A_FILE, "a pipe, a socket or a device")
            return Entry(printable(path), path, rejection=rejection)
        stat = file.stat()
        return Entry(printable(path), path, stat.st_size, stamp=str(stat.st_mtime_ns))

    def read(self, entries: Sequence[Entry]) -> Iterator[bytes | Rejection]:
        """The files' bytes."""
        for entry in entries:
            try:
                yield (self.root / entry.at).read_bytes()
            except OSError as error:
                yield _unreadable(error)

    def uri(self, entry: Entry) -> str:
        """The file's path."""
        return f"{self.root}/{entry.name}"


def _unreadable(error: OSError) -> Rejection:
    return Rejection(Reason.UNREADABLE, f"{type(error).__name__}: {error.strerror}")


@dataclass(frozen=True)
class Shards:
    """Files that hold many pictures each, in order of their names: one shard, or a folder of them."""

    root: Path
    """One file, or a folder that is searched recursively."""
    suffix: str
    """Ending of a shard's name, e.g. `.tar`."""
    base: str
    """Beginning of the entries' URIs: the root as the user named it."""

    others: tuple[str, ...] = ()
    """Names of files that lay beside the shards and are none, where they were not copied with them."""

    def __iter__(self) -> Iterator[Entry]:
        """An entry for each shard, whose `at` is its path, and a refused one for each other file.

        Raises:
            NoInputError: there is no shard.
        """
        if self.root.is_file():
            stat = self.root.stat()
            yield Entry(self.root.name, str(self.root), stat.st_size, stamp=str(stat.st_mtime_ns))
            return
        found = False
        for entry in FolderSource(self.root).entries():
            if entry.rejection or not entry.name.lower().endswith(self.suffix):
                yield entry if entry.rejection else self._other(entry.name)
                continue
            found = True
            yield replace(entry, at=str(self.root / entry.at))
        if not found:
            raise NoInputError(f"{self.root}: holds no {self.suffix} file; check preflight.images")
        yield from map(self._other, self.others)

    def _other(self, name: str) -> Entry:
        packed = name.lower().endswith(_PACKED)
        what = "a compressed file; unpack it first" if packed else f"only {self.suffix} files are read here"
        return Entry(printable(name), name, rejection=Rejection(Reason.NOT_A_SHARD, what))

    def uri(self, name: str) -> str:
        """URI of an entry by its name: shard, slash, position."""
        folder = self.base.rpartition("/")[0] if self.root.is_file() else self.base.rstrip("/")
        return f"{folder}/{name}" if folder else name

"""The local side of a mirrored work directory: which files count, what they hold, which snapshot they continue."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from components.core.data.files import file_sha256, write_json_atomic
from components.core.data.hashing import sha256_hex
from components.core.resume.snapshots import Piece, listed_files, newest_first
from components.core.resume.work import CACHE_TAG, WorkDir

_RECORD = ".mirror.json"
_SENDING = ".sending"
_Stamp = tuple[int, int, int]


class WorkingCopy:
    """One process's own part of a work directory.

    Args:
        work: the directory.
        uri: of its snapshots.
    """

    def __init__(self, work: WorkDir, uri: str) -> None:
        self.root = work.own
        self._work, self._uri = work, uri
        self._record = self.root / _RECORD
        self._hashed: dict[str, tuple[_Stamp, Piece]] = {}

    def files(self) -> Iterator[tuple[str, Path]]:
        """Name and path of what is worth keeping: nothing temporary, no caches, nothing of another process.

        At the top, hidden files and directories are this module's own.
        """
        for folder, folders, names in os.walk(self.root):
            here = Path(folder)
            if CACHE_TAG in names:
                folders.clear()
                continue
            if here == self.root:
                theirs = (".", "outputs") if self._work.rank else (".", "rank-")
                folders[:] = [name for name in folders if not name.startswith(theirs)]
                names = [name for name in names if not name.startswith(".")]
            for name in names:
                cut_off = name.startswith(".") and name.endswith((".part", ".done"))
                if not name.endswith(".tmp") and not cut_off:
                    yield (here / name).relative_to(self.root).as_posix(), here / name

    def units(self, sealed: Mapping[str, str]) -> dict[str, dict[str, int]]:
        """The sealed directories that are whole: name -> their files with their bytes, the marker among them.

        Args:
            sealed: as `WorkDir.sealed`. They are the first process's.
        """
        found = {}
        for parent, marker in {} if self._work.rank else sealed.items():
            for path in (self.root / parent).glob(f"*/{marker}"):
                try:
                    files = listed_files(path.read_bytes()) | {marker: path.stat().st_size}
                    if all((path.parent / name).stat().st_size == size for name, size in files.items()):
                        found[f"{parent}/{path.parent.name}"] = files
                except (FileNotFoundError, ValueError):  # it is being removed
                    continue
        return found

    def linked(self, unit: str, files: Iterable[str]) -> dict[str, Path]:
        """The files of a sealed directory under a second name, so that they can be sent though it is removed."""
        found = {}
        for name in files:
            path, link = self.root / unit / name, self.root / _SENDING / unit / name
            link.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, link)
            except FileNotFoundError:
                continue
            except OSError:  # a file system without links
                link = path
            found[f"{unit}/{name}"] = link
        return found

    def unlink(self) -> None:
        """Remove the second names."""
        shutil.rmtree(self.root / _SENDING, ignore_errors=True)

    def piece(self, name: str, path: Path) -> Piece | None:
        """What a file holds, read if it has changed since it was last read; None if it vanished or changes now."""
        with contextlib.suppress(FileNotFoundError):
            stamp = _stamp(path)
            known = self._hashed.get(name)
            if known is not None and known[0] == stamp:
                return known[1]
            piece = Piece(file_sha256(path), stamp[0])
            if _stamp(path) == stamp:
                self._hashed[name] = (stamp, piece)
                return piece
        return None

    def is_still(self, name: str, path: Path) -> bool:
        """Whether a file is as `piece` said last."""
        with contextlib.suppress(FileNotFoundError):
            return name in self._hashed and self._hashed[name][0] == _stamp(path)
        return False

    def holds(self, name: str, pieces: tuple[Piece, ...]) -> bool:
        """Whether a file consists of these pieces; it is read."""
        path = self.root / name
        if not path.is_file() or path.stat().st_size != sum(piece.bytes for piece in pieces):
            return False
        if len(pieces) == 1:
            return self.piece(name, path) == pieces[0]
        with open(path, "rb") as file:
            return all(sha256_hex(file.read(piece.bytes)) == piece.sha256 for piece in pieces)

    def order(self, names: Iterable[str], now: float) -> None:
        """Give restored directories times in the order of their numbers: trainers delete the oldest by these."""
        folders = {"/".join(name.split("/")[:2]) for name in names if name.count("/") > 1}
        for age, folder in enumerate(newest_first(folders)):
            os.utime(self.root / folder, (now - age, now - age))

    def continues(self, digest: str) -> bool:
        """Whether the directory is what the index of this digest says, or what came of that."""
        return digest in self._indexes()

    def remember(self, digest: str) -> None:
        """The directory is about to be saved as the index of this digest."""
        self.root.mkdir(parents=True, exist_ok=True)  # a process that is done may have removed it
        write_json_atomic(self._record, {"uri": self._uri, "indexes": [*self._indexes()[-1:], digest]})

    def forget(self) -> None:
        """The directory is no snapshot's continuation."""
        self._record.unlink(missing_ok=True)

    def _indexes(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError, ValueError):
            record = json.loads(self._record.read_text(encoding="utf-8"))
            if record["uri"] == self._uri:
                return list(record["indexes"])
        return []


def _stamp(path: Path) -> _Stamp:
    """Changes when the file does."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ino

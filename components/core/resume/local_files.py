"""Local files of a work directory with snapshots: which are saved, and which snapshot they continue."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from components.core.data.files import file_sha256, write_json_atomic
from components.core.data.hashing import sha256_hex
from components.core.resume.snapshot_index import Piece, listed_files, newest_first
from components.core.resume.work_dir import CACHE_TAG, WorkDir

_RECORD = ".mirror.json"
_SENDING = ".sending"
_Stamp = tuple[int, int, int]


class LocalFiles:
    """One process's own files in a work directory.

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
        """Name and path of every file that is saved: no temporary ones, no caches, none of another process.

        Hidden files and directories at the top are this module's own.
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
                if not name.endswith(".tmp"):
                    yield (here / name).relative_to(self.root).as_posix(), here / name

    def checkpoints(self, markers: Mapping[str, str]) -> dict[str, dict[str, int]]:
        """The complete checkpoints: name -> their files with their bytes, the marker among them.

        Args:
            markers: as `WorkDir.markers`. Checkpoints belong to the first process.
        """
        found = {}
        for parent, marker in {} if self._work.rank else markers.items():
            for path in (self.root / parent).glob(f"*/{marker}"):
                try:
                    files = listed_files(path.read_bytes()) | {marker: path.stat().st_size}
                    if all((path.parent / name).stat().st_size == size for name, size in files.items()):
                        found[f"{parent}/{path.parent.name}"] = files
                except (FileNotFoundError, ValueError):  # it is being removed
                    continue
        return found

    def linked(self, checkpoint: str, files: Iterable[str]) -> dict[str, Path]:
        """Hard links to a checkpoint's files: the files can be sent even if the checkpoint is removed."""
        found = {}
        for name in files:
            path, link = self.root / checkpoint / name, self.root / _SENDING / checkpoint / name
            link.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, link)
            except FileNotFoundError:
                continue
            except OSError:  # a file system without links
                link = path
            found[f"{checkpoint}/{name}"] = link
        return found

    def unlink(self) -> None:
        """Remove the hard links."""
        shutil.rmtree(self.root / _SENDING, ignore_errors=True)

    def piece(self, name: str, path: Path) -> Piece | None:
        """A file's content, read only if it changed; None if the file vanished or is changing."""
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

    def is_unchanged(self, name: str, path: Path) -> bool:
        """Whether a file has not changed since `piece` read it."""
        with contextlib.suppress(FileNotFoundError):
            return name in self._hashed and self._hashed[name][0] == _stamp(path)
        return False

    def holds(self, name: str, pieces: tuple[Piece, ...]) -> bool:
        """Whether a file consists of these pieces. The file is read."""
        path = self.root / name
        if not path.is_file() or path.stat().st_size != sum(piece.bytes for piece in pieces):
            return False
        if len(pieces) == 1:
            return self.piece(name, path) == pieces[0]
        with open(path, "rb") as file:
            return all(sha256_hex(file.read(piece.bytes)) == piece.sha256 for piece in pieces)

    def order(self, names: Iterable[str], now: float) -> None:
        """Give restored directories times in the order of their numbers: trainers delete the oldest."""
        folders = {"/".join(name.split("/")[:2]) for name in names if name.count("/") > 1}
        for age, folder in enumerate(newest_first(folders)):
            os.utime(self.root / folder, (now - age, now - age))

    def continues(self, digest: str) -> bool:
        """Whether the directory was restored from, or last saved as, the index of this digest."""
        return digest in self._indexes()

    def remember(self, digest: str) -> None:
        """Note that the directory is about to be saved as the index of this digest."""
        write_json_atomic(self._record, {"uri": self._uri, "indexes": [*self._indexes()[-1:], digest]})

    def forget(self) -> None:
        """Note that the directory continues no snapshot."""
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

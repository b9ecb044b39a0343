"""A directory as an object store: keys are relative paths."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from components.core.data.files import atomic_file, remove_leftovers
from components.core.objects.store import ObjectInfo, ObjectStore
from components.core.stage.errors import ConfigError, NoInputError


class DirectoryStore(ObjectStore):
    """The files below a directory. Each appears by one rename or link."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every file whose relative path starts with `prefix`; hidden files are not objects."""
        found = []
        for folder, folders, names in os.walk(self._path(prefix.rpartition("/")[0])):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                path = Path(folder) / name
                key = path.relative_to(self.root).as_posix()
                if not key.startswith(prefix) or name.startswith(".") or not path.is_file():
                    continue
                with contextlib.suppress(FileNotFoundError):  # it is being deleted
                    stat = path.stat()
                    found.append(ObjectInfo(key, stat.st_size, f"{stat.st_mtime_ns:x}-{stat.st_size:x}"))
        yield from sorted(found)

    def get(self, key: str) -> bytes:
        try:
            return self._path(key).read_bytes()
        except (FileNotFoundError, IsADirectoryError) as error:
            raise NoInputError(f"{self._path(key)}: does not exist") from error

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def put(self, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        try:
            self._write(key, lambda file: file.write_bytes(data), os.link if if_absent else os.replace)
        except FileExistsError:
            return False
        return True

    def download(self, key: str, path: Path) -> None:
        if not self.exists(key):
            raise NoInputError(f"{self._path(key)}: does not exist")
        with atomic_file(path) as temporary:
            shutil.copyfile(self._path(key), temporary)

    def upload(self, path: Path, key: str) -> None:
        self._write(key, lambda file: shutil.copyfile(path, file), os.replace)

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def _write(self, key: str, fill: Callable[[Path], object], publish: Callable[[Path, Path], None]) -> None:
        """Make what `fill` writes the object, forced to disk; leftovers of killed writers are removed."""
        path = self._path(key)
        with atomic_file(path, publish) as temporary:
            remove_leftovers(path)
            fill(temporary)
            _sync(temporary)
        _sync(path.parent)

    def _path(self, key: str) -> Path:
        path = self.root / key
        if ".." in path.relative_to(self.root).parts:
            raise ConfigError(f"{key}: leaves the directory")
        return path


def _sync(path: Path) -> None:
    """Force a file, or a directory's names, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

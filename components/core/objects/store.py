"""Object storage behind one small interface: a local directory here, any S3 server in `s3_store`."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from components.core.stage.errors import ConfigError, NoInputError

AT_ONCE = 4
"""Requests of one transfer at a time."""
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, order=True)
class ObjectInfo:
    """One stored object, as a listing names it."""

    key: str
    size: int
    """Bytes."""
    etag: str
    """Changes when the content does."""


class ObjectStore(Protocol):
    """Whole objects by key: an object is there entirely or not at all."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every object whose key starts with `prefix`, sorted by key."""
        ...

    def get(self, key: str) -> bytes:
        """An object's content; NoInputError if there is none."""
        ...

    def exists(self, key: str) -> bool:
        """Whether there is an object of this key."""
        ...

    def put(self, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        """Store an object; with `if_absent`, only if there is none yet: False says that somebody else was first."""
        ...

    def download(self, key: str, path: Path) -> None:
        """Copy an object to a local file, which appears whole or not at all."""
        ...

    def upload(self, path: Path, key: str) -> None:
        """Copy a local file to an object, in parts where it is large."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; no error if there is none."""
        ...

    def discard_unfinished(self, prefix: str) -> None:
        """Free what cut-off uploads of keys that start with `prefix` hold; none of them may be under way."""
        ...


def is_object_uri(uri: str) -> bool:
    """Whether a URI names an object store rather than a local path."""
    return uri.startswith("s3://")


def open_store(uri: str) -> tuple[ObjectStore, str]:
    """The store that a URI lies in, and the key prefix that the URI names there.

    `s3://bucket/some/prefix` gives the bucket and `some/prefix`; a local path or `file://` URI gives the directory as
    a store, with an empty prefix.

    Raises:
        ConfigError: another scheme, no bucket, or an endpoint that is not an address.
    """
    scheme, mark, rest = uri.partition("://")
    if not mark:
        return LocalStore(Path(uri)), ""
    if scheme == "file":
        return LocalStore(Path(rest)), ""
    if scheme != "s3":
        raise ConfigError(f"{uri}: scheme '{scheme}' is not supported; use s3:// or a local path")
    bucket, _, prefix = rest.partition("/")
    if not bucket:
        raise ConfigError(f"{uri}: names no bucket; write s3://bucket/prefix")
    from components.core.objects.s3_store import S3Store

    return S3Store(bucket), prefix


class LocalStore:
    """A directory as an object store: keys are relative paths, objects appear by one rename or link."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every file below the directory whose relative path starts with `prefix`; hidden files are not objects."""
        found = []
        for folder, folders, names in os.walk(self._path(prefix.rpartition("/")[0])):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                path = Path(folder) / name
                key = path.relative_to(self.root).as_posix()
                if key.startswith(prefix) and not name.startswith(".") and path.is_file():
                    stat = path.stat()
                    found.append(ObjectInfo(key, stat.st_size, f"{stat.st_mtime_ns:x}-{stat.st_size:x}"))
        yield from sorted(found)

    def get(self, key: str) -> bytes:
        """A file's content."""
        try:
            return self._path(key).read_bytes()
        except (FileNotFoundError, IsADirectoryError) as error:
            raise NoInputError(f"{self._path(key)}: does not exist") from error

    def exists(self, key: str) -> bool:
        """Whether the file exists."""
        return self._path(key).is_file()

    def put(self, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        """Write a file whole; with `if_absent` by a link, which fails where the name is taken."""
        temporary = self._temporary(key)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return self._publish(temporary, key, if_absent)

    def download(self, key: str, path: Path) -> None:
        """Copy a file out."""
        if not self.exists(key):
            raise NoInputError(f"{self._path(key)}: does not exist")
        whole_file(path, lambda temporary: shutil.copyfile(self._path(key), temporary))

    def upload(self, path: Path, key: str) -> None:
        """Copy a file in."""
        temporary = self._temporary(key)
        shutil.copyfile(path, temporary)
        _sync(temporary)
        self._publish(temporary, key, if_absent=False)

    def delete(self, key: str) -> None:
        """Remove a file."""
        self._path(key).unlink(missing_ok=True)

    def discard_unfinished(self, prefix: str) -> None:
        """Nothing to do: the next write beside a cut-off one removes what it left."""

    def _publish(self, temporary: Path, key: str, if_absent: bool) -> bool:
        target = self._path(key)
        if not if_absent:
            os.replace(temporary, target)
        else:
            try:
                os.link(temporary, target)
            except FileExistsError:
                return False
            finally:
                temporary.unlink()
        _sync(target.parent)
        return True

    def _path(self, key: str) -> Path:
        path = self.root / key
        if ".." in path.relative_to(self.root).parts:
            raise ConfigError(f"{key}: leaves the directory")
        return path

    def _temporary(self, key: str) -> Path:
        """A hidden name beside the object's; what processes of this host left there when they were killed is removed."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        stem = f".{path.name}.{socket.gethostname()}."
        for left in path.parent.iterdir():
            if left.name.startswith(stem) and not _alive(left.name.removeprefix(stem).partition(".")[0]):
                left.unlink(missing_ok=True)
        return path.with_name(f"{stem}{os.getpid()}.{threading.get_ident()}.tmp")


def whole_file(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a temporary file that then becomes `path`, so that `path` is never half there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def at_once(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """`work` on every item, a few at a time; the results in order. The first error ends it."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _sync(path: Path) -> None:
    """Force a file, or a directory's names, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _alive(pid: str) -> bool:
    """Whether a process of this host runs; a name that is no number is nobody's to judge."""
    if not pid.isdecimal():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

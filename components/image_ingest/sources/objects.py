"""Objects of an S3 bucket below a prefix: pictures, or shards of pictures that are copied here first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from components.core.data.files import path_of_key
from components.core.objects import is_object_uri, list_below, open_store
from components.core.objects.store import ObjectStore
from components.core.stage.errors import NoInputError
from components.image_ingest.entry import Entry, Reason, Rejection, printable

_THREADS = 16


@dataclass(frozen=True)
class ObjectSource:
    """Every object below a prefix but hidden ones."""

    base: str
    fetched: Path
    """Folder in which fetched objects stay."""

    def entries(self) -> Iterator[Entry]:
        """Sorted by key, page by page."""
        store, prefix = open_store(self.base)
        for item in list_below(store, prefix):
            name = item.key.removeprefix(prefix).lstrip("/") or item.key
            if not any(part.startswith(".") for part in name.split("/")):
                yield Entry(printable(name), item.key, item.size, stamp=item.etag)

    def read(self, entries: Sequence[Entry]) -> Iterator[bytes | Rejection]:
        """The objects' bytes."""
        with ThreadPoolExecutor(_THREADS) as pool:
            for path in pool.map(self._fetch, entries):
                yield path.read_bytes() if path else Rejection(Reason.UNREADABLE, "the object is gone")

    def _fetch(self, entry: Entry) -> Path | None:
        path = path_of_key(self.fetched, f"{entry.at}@{entry.stamp}")
        try:
            if not path.exists():
                _store(self.base).download(entry.at, path)
        except NoInputError:
            return None
        return path

    def uri(self, entry: Entry) -> str:
        """The object's URI."""
        bucket = "/".join(self.base.split("/")[:3]) if is_object_uri(self.base) else self.base
        return f"{bucket}/{printable(entry.at)}"


@lru_cache(maxsize=1)
def _store(base: str) -> ObjectStore:
    """This process's connection."""
    return open_store(base)[0]


def copy_shards(base: str, suffix: str, folder: Path) -> tuple[Path, tuple[str, ...]]:
    """Copy the missing objects with a suffix below a prefix into a folder.

    Returns:
        The folder, and the names of the objects that are left out; hidden ones are not named.
    """
    store, prefix = open_store(base)
    folder.mkdir(parents=True, exist_ok=True)
    others = []
    for item in list_below(store, prefix):
        name = item.key.removeprefix(prefix).lstrip("/") or item.key.rpartition("/")[2]
        parts = name.split("/")
        if any(part.startswith(".") and part != ".." for part in parts):
            continue
        if not name.lower().endswith(suffix) or ".." in parts:
            others.append(name)
            continue
        path = folder / name
        if not path.exists() or path.stat().st_size != item.size:
            store.download(item.key, path)
    return folder, tuple(others)

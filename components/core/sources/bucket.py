"""Copies of what lies below `s3://bucket/prefix`, each named after the listing that it is of."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from components.core.data.hashing import canonical_json, sha256_hex
from components.core.objects import list_below, open_store
from components.core.objects.store import ObjectInfo
from components.core.sources.cache import CopyPlace, check_room
from components.core.stage.errors import DataError, NoInputError

_AT_ONCE = 4


def listing_fingerprint(uri: str) -> str:
    """SHA-256 over keys, sizes and ETags of the objects below an object store's prefix, read page by page.

    Raises:
        NoInputError: there are none.
    """
    store, prefix = open_store(uri)
    return _digest(uri, list_below(store, prefix))


def fetch_objects(uri: str, digest: str = "") -> Path:
    """A local copy of the object that a URI names, or of the folder of objects below it.

    Files that a killed process had fetched are kept; one that was cut off starts again.

    Args:
        uri: `s3://bucket/prefix`.
        digest: the listing's fingerprint that is expected; empty takes what is there.

    Raises:
        NoInputError: nothing is there.
        DataError: the objects differ from `digest`, or a key cannot be the name of a file.
        ConfigError: the disk has too little room, or the credentials are refused.
        StageError: the store does not answer.
    """
    if digest and (path := _place(uri, digest).found()):
        return path
    store, prefix = open_store(uri)
    objects = list(list_below(store, prefix))
    found = _digest(uri, objects)
    if digest and found != digest:
        raise DataError(f"{uri}: has changed since it was pinned; start the run again")
    place = _place(uri, found)
    names = {item.key: _file_name(uri, prefix, item.key) for item in objects if not item.key.endswith("/")}
    sizes = {names[item.key]: item.size for item in objects if item.key in names}
    _check_tree(uri, sizes)
    with place.alone():
        if path := place.found():
            return path
        missing = {key: file for key, file in names.items() if not _has(place.part / file, sizes[file])}
        check_room(place.folder, sum(sizes[file] for file in missing.values()), uri)
        place.part.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for _ in pool.map(lambda key: store.download(key, place.part / names[key]), missing):
                pass
        return place.publish(sizes, names.get(prefix, ""))


def _digest(uri: str, objects: Iterable[ObjectInfo]) -> str:
    digest = hashlib.sha256()
    empty = True
    for item in objects:
        digest.update(canonical_json([item.key, item.size, item.etag]).encode() + b"\n")
        empty = False
    if empty:
        told = "holds no objects; check the prefix in the preflight settings (it names whole folders)"
        raise NoInputError(f"{uri}: {told}")
    return digest.hexdigest()


def _place(uri: str, digest: str) -> CopyPlace:
    bucket = uri.split("/")[2]
    return CopyPlace(f"s3--{bucket}--{sha256_hex(uri.rstrip('/'))[:16]}--{digest[:32]}")


def _file_name(uri: str, prefix: str, key: str) -> str:
    """The relative name of an object's copy.

    Raises:
        DataError: the key leaves the folder, or no file can have this name.
    """
    name = posixpath.basename(key) if key == prefix else key[len(prefix) :].removeprefix("/")
    if any(part in ("", ".", "..") or len(part.encode()) > 255 for part in name.split("/")) or "\0" in name:
        raise DataError(f"{uri}: the key '{key}' cannot be the name of a file; rename the object")
    return name


def _check_tree(uri: str, names: Iterable[str]) -> None:
    """See that no name is a file and a folder at once, as objects' keys may be.

    Raises:
        DataError: one is.
    """
    folders = {str(folder) for name in names for folder in PurePosixPath(name).parents}
    if both := sorted(folders.intersection(names)):
        raise DataError(f"{uri}: '{both[0]}' is an object and a folder of others; rename one of them")


def _has(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size

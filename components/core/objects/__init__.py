"""Object storage: a directory or an S3 bucket behind one interface."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from components.core.objects.directory import DirectoryStore
from components.core.objects.store import ObjectInfo, ObjectStore
from components.core.stage.errors import ConfigError

__all__ = ["ObjectInfo", "ObjectStore", "is_object_uri", "list_below", "open_store"]


def is_object_uri(uri: str) -> bool:
    """Whether a URI names an object store rather than a local path."""
    return uri.startswith("s3://")


def open_store(uri: str) -> tuple[ObjectStore, str]:
    """The store that holds a URI, and the URI's key prefix in that store.

    `s3://bucket/some/prefix` gives the bucket and `some/prefix`. A local path or `file://` URI gives the
    directory as a store, with an empty prefix.

    Raises:
        ConfigError: another scheme, no bucket, or an endpoint that is not an address.
    """
    scheme, mark, rest = uri.partition("://")
    if not mark or scheme == "file":
        return DirectoryStore(Path(rest if mark else uri)), ""
    if scheme != "s3":
        raise ConfigError(f"{uri}: scheme '{scheme}' is not supported; use s3:// or a local path")
    bucket, _, prefix = rest.partition("/")
    if not bucket:
        raise ConfigError(f"{uri}: names no bucket; write s3://bucket/prefix")
    from components.core.objects.s3 import S3Store

    return S3Store(bucket), prefix


def list_below(store: ObjectStore, prefix: str) -> Iterator[ObjectInfo]:
    """The object that a prefix names, then those in its folder, sorted by key.

    A prefix names whole folders: `photos` takes `photos/a.jpg` along, and not `photos2/b.jpg`.
    """
    if prefix and not prefix.endswith("/"):
        # No other key that starts with the prefix sorts before the prefix itself.
        first = next(iter(store.list(prefix)), None)
        if first is not None and first.key == prefix:
            yield first
        prefix += "/"
    yield from store.list(prefix)

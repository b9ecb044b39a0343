"""Sources of pictures: one module a kind of source, one interface for all (`entry.Source`)."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from components.core.objects import is_object_uri, list_below, open_store
from components.core.resume.work_dir import mark_cache
from components.core.stage.errors import ConfigError, NoInputError
from components.image_ingest.config import Config
from components.image_ingest.entry import Source
from components.image_ingest.sources.folder import FolderSource, Shards
from components.image_ingest.sources.objects import ObjectSource, copy_shards
from components.image_ingest.sources.parquet import ParquetSource
from components.image_ingest.sources.tar import TarSource
from components.image_ingest.sources.urls import LIST_SUFFIXES, UrlSource

_SHARDS = {".tar": "tar", ".parquet": "parquet"}
_LOOKED_AT = 1000


def open_source(uri: str, config: Config, work: Path) -> Source:
    """The source that a URI names.

    Args:
        uri: a path, or `s3://bucket/prefix`.
        config: `source_kind` overrides the URI's ending.
        work: directory for fetched files; kept for restarts.

    Raises:
        NoInputError: nothing is there.
        ConfigError: it does not name a source of pictures.
    """
    kind = source_kind(uri) if config.source_kind == "auto" else config.source_kind
    if kind == "objects":
        return ObjectSource(uri, mark_cache(work / "objects"))
    others: tuple[str, ...] = ()
    if is_object_uri(uri):
        if kind not in _SHARDS.values():
            held = "an object store holds objects, tar or parquet"
            raise ConfigError(f"{uri}: {held}, not source_kind '{kind}'")
        root, others = copy_shards(uri, f".{kind}", mark_cache(work / "shards") / kind)
    else:
        root = Path(uri)
    shards = Shards(root, f".{kind}", uri, others)
    if kind == "tar":
        return TarSource(shards, config.sidecar_suffixes)
    if kind == "parquet":
        return ParquetSource(shards, config.image_column)
    if kind == "urls":
        return UrlSource(Path(uri), config.urls, mark_cache(work / "downloads"), config.max_file_bytes)
    return FolderSource(Path(uri))


def source_kind(uri: str) -> str:
    """The kind of a source, as in `Config.source_kind`: by its ending, or by the first files there.

    Shards among them make it a source of shards, unless pictures lie there too.

    Raises:
        NoInputError: nothing is there.
        ConfigError: a file of no known kind.
    """
    if is_object_uri(uri):
        store, prefix = open_store(uri)
        kind = _kind_of([item.key for item in islice(list_below(store, prefix), _LOOKED_AT)])
        return "objects" if kind == "folder" else kind
    path = Path(uri)
    if path.is_dir():
        return _kind_of([entry.name for entry in islice(FolderSource(path).entries(), _LOOKED_AT)])
    if not path.exists():
        raise NoInputError(f"{uri}: no such folder of images, archive or list; check preflight.images")
    if path.suffix.lower() in _SHARDS:
        return _SHARDS[path.suffix.lower()]
    if path.suffix.lower() in LIST_SUFFIXES:
        return "urls"
    raise ConfigError(
        f"{uri}: not a source of images; give a folder, .tar, .parquet, a list of URLs "
        f"({', '.join(LIST_SUFFIXES)}) or s3://bucket/prefix, or set image_ingest.source_kind "
        "(compressed archives must be unpacked first)"
    )


def _kind_of(names: list[str]) -> str:
    endings = [name.lower().rpartition(".")[2] for name in names]
    if any(ending in ("jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff") for ending in endings):
        return "folder"
    return next((kind for suffix, kind in _SHARDS.items() if suffix[1:] in endings), "folder")

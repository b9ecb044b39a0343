"""Pinned references, `uri#sha256=<fingerprint>`: a cache key changes exactly when the outside world did.

Preflight pins everything from outside the pipeline. Later stages receive pinned references as parameters.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from components.core.data.files import file_sha256
from components.core.data.hashing import canonical_json, sha256_hex
from components.core.data.manifest import MANIFEST_NAME, read_listing
from components.core.objects import is_object_uri
from components.core.sources.address import is_hub_uri, parse_hub_uri
from components.core.sources.bucket import listing_fingerprint
from components.core.sources.hub import hub_digest, pinned
from components.core.stage.errors import ConfigError, NoInputError

_MARK = "#sha256="
CONTENT_LIMIT_BYTES = 256 * 2**20
"""A smaller source is fingerprinted by content, a larger one by names, sizes and modification times."""


def local_path(uri: str) -> Path:
    """The local path a URI names.

    Raises:
        ConfigError: the scheme is not a local one.
    """
    scheme, mark, rest = uri.partition("://")
    if not mark:
        return Path(uri)
    if scheme == "file":
        return Path(rest)
    raise ConfigError(f"{uri}: scheme '{scheme}' is not supported here; give a local or mounted path")


def fingerprint(path: Path) -> str:
    """SHA-256 of a file, or one that stands for a directory.

    A directory with a manifest is fingerprinted by the manifest's checksums. Any other is fingerprinted by
    its files' names and content, or above `CONTENT_LIMIT_BYTES` by their names, sizes and modification times.
    """
    if path.is_file():
        return file_sha256(path)
    manifest = path / MANIFEST_NAME
    if manifest.is_file():
        listed = read_listing(manifest)["files"]
        return sha256_hex(canonical_json([[entry["name"], entry["sha256"]] for entry in listed]))
    files = []
    for folder, folders, names in os.walk(path):
        folders.sort()
        files += [Path(folder) / name for name in sorted(names)]
    states = [_state(file) for file in files]
    by_content = sum(state.st_size for state in states) <= CONTENT_LIMIT_BYTES
    listing = [
        [
            os.fsencode(file.relative_to(path)).decode("utf-8", "backslashreplace"),
            state.st_size,
            _content_mark(file, state) if by_content else state.st_mtime_ns,
        ]
        for file, state in zip(files, states, strict=True)
    ]
    return sha256_hex(canonical_json(listing))


def _state(file: Path) -> os.stat_result:
    """A file's state; of a link that leads nowhere, the link's own."""
    try:
        return file.stat()
    except OSError:
        return file.lstat()


def _content_mark(file: Path, state: os.stat_result) -> str:
    """A digest of the content, or of what is no readable file a mark that stands for it."""
    try:
        return file_sha256(file) if stat.S_ISREG(state.st_mode) else f"no file: {state.st_mode:o}"
    except OSError as error:
        return f"unreadable: {error.strerror}"


def pin(uri: str) -> str:
    """`uri#sha256=<fingerprint>` of a file, a directory, the objects below `s3://bucket/prefix`, or of a
    repository of the hub, whose revision becomes a commit.

    Raises:
        NoInputError: nothing exists there.
    """
    if is_object_uri(uri):
        return f"{uri}{_MARK}{listing_fingerprint(uri)}"
    if is_hub_uri(uri):
        address = pinned(parse_hub_uri(uri))
        return f"{address}{_MARK}{hub_digest(address)}"
    path = local_path(uri)
    if not path.exists():
        raise NoInputError(f"{uri}: does not exist; check the path in the preflight settings")
    return f"{path.absolute()}{_MARK}{fingerprint(path)}"


def split_pinned_uri(reference: str) -> tuple[str, str]:
    """Path, `s3://` or `hf://` URI of a reference, and its fingerprint, "" if it is not pinned."""
    uri, _, digest = reference.partition(_MARK)
    return uri if is_object_uri(uri) or is_hub_uri(uri) else str(local_path(uri)), digest


def split_pin(reference: str) -> tuple[Path, str]:
    """Path of a reference to something local, and its fingerprint, "" if it is not pinned."""
    uri, _, digest = reference.partition(_MARK)
    return local_path(uri), digest

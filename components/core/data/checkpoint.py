"""Checkpoints: committed directories of model files, trusted only with their manifest."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.core.data.files import write_json_atomic
from components.core.data.manifest import (
    MANIFEST_NAME,
    content_digest,
    file_entry,
    read_manifest,
    verify_files,
)
from components.core.stage.errors import DataError


@dataclass(frozen=True)
class Checkpoint:
    """A committed directory of model files."""

    path: Path
    digest: str
    extra: dict[str, Any] = field(default_factory=dict)


def commit_checkpoint(
    directory: str | os.PathLike[str],
    *,
    provenance: dict[str, Any] | None = None,
    extra: dict[str, Any] | None = None,
) -> Checkpoint:
    """Seal a directory of finished model files: its manifest lists every file, and is written last.

    A directory inside that has a manifest of its own is no part of the model and is left out.
    """
    path = Path(directory)
    (path / MANIFEST_NAME).unlink(missing_ok=True)
    sealed = {manifest.parent for manifest in path.rglob(MANIFEST_NAME)}
    found = (item for item in sorted(path.rglob("*")) if item.is_file() and not sealed & set(item.parents))
    files = [file_entry(item, item.relative_to(path).as_posix()) for item in found]
    if not files:
        raise DataError(f"{path}: nothing to commit as a checkpoint")
    manifest = {"kind": "checkpoint", "files": files, "provenance": provenance or {}, "extra": extra or {}}
    write_json_atomic(path / MANIFEST_NAME, manifest)
    return Checkpoint(path, content_digest(manifest), extra or {})


def open_checkpoint(directory: str | os.PathLike[str], *, verify: bool = True) -> Checkpoint:
    """Open a committed checkpoint; a directory without a manifest, or with a damaged file, is refused.

    Raises:
        NoInputError: the directory does not exist.
        DataError: it has no manifest, or a file does not match it.
    """
    path = Path(directory)
    manifest = read_manifest(path, "checkpoint")
    if verify:
        verify_files(path, manifest)
    return Checkpoint(path, content_digest(manifest), manifest["extra"])

"""`_MANIFEST.json` of datasets and checkpoints: every file with its checksum, written last.

Readers trust only files that the manifest lists, so the remains of a killed attempt are ignored. The digests
of a stage's inputs, which its manifests name as well, are the record of lineage.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from components.core.data.files import file_sha256
from components.core.data.hashing import canonical_json, sha256_hex
from components.core.stage.errors import DataError, NoInputError

MANIFEST_NAME = "_MANIFEST.json"
_ENTRY = {"name": str, "bytes": int, "sha256": str}
_FIELDS: dict[str, dict[str, type]] = {
    "dataset": {"table": str, "rows": int, "schema_version": int},
    "checkpoint": {"extra": dict},
}


def read_manifest(directory: Path, kind: str) -> dict[str, Any]:
    """The manifest of a "dataset" or "checkpoint".

    Raises:
        NoInputError: the directory does not exist.
        DataError: it has no manifest, or that of another kind.
    """
    if not directory.exists():
        raise NoInputError(f"{directory}: no such {kind}; check the path")
    path = directory / MANIFEST_NAME
    if not path.is_file():
        unfinished = f"this {kind} was never finished, run its stage again"
        raise DataError(f"{directory}: no {MANIFEST_NAME}; {unfinished}")
    manifest = read_listing(path)
    if manifest.get("kind") != kind:
        raise DataError(f"{directory}: holds a {manifest.get('kind')!r}, expected a {kind}")
    for name, expected in _FIELDS[kind].items():
        if not isinstance(manifest.get(name), expected):
            raise DataError(f"{path}: damaged: '{name}' is {manifest.get(name)!r}; run its stage again")
    return manifest


def read_listing(path: Path) -> dict[str, Any]:
    """A manifest of either kind, whose `files` have names, sizes and checksums.

    Raises:
        DataError: it is no such JSON, or names a file outside its directory.
    """
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON ({error})") from error
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, list) or not all(isinstance(entry, dict) for entry in files):
        raise DataError(f"{path}: damaged: it lists no files; run its stage again")
    for entry in files:
        if not all(isinstance(entry.get(name), expected) for name, expected in _ENTRY.items()):
            raise DataError(f"{path}: damaged: the entry {entry!r}; run its stage again")
        if ".." in (name := PurePosixPath(entry["name"])).parts or name.is_absolute():
            raise DataError(f"{path}: '{entry['name']}' lies outside its directory")
    return manifest


def content_digest(manifest: dict[str, Any]) -> str:
    """Digest of the stored content, whoever produced it: equal content gives equal digests."""
    files = [[entry["name"], entry["sha256"]] for entry in manifest["files"]]
    return sha256_hex(canonical_json([manifest["kind"], manifest.get("table"), files]))


def verify_files(directory: Path, manifest: dict[str, Any]) -> None:
    """Compare every listed file with its size and checksum.

    Raises:
        DataError: a file is missing or differs.
    """
    for entry in manifest["files"]:
        path = directory / entry["name"]
        if not path.is_file() or path.stat().st_size != entry["bytes"]:
            what = "missing or of another size than its manifest says"
            raise DataError(f"{path}: {what}; run the stage that wrote it again")
        if file_sha256(path) != entry["sha256"]:
            what = "checksum differs from its manifest; the file is damaged"
            raise DataError(f"{path}: {what}, run the stage again")


def file_entry(path: Path, name: str, **more: Any) -> dict[str, Any]:
    """The entry of one file in a manifest."""
    return {"name": name, "bytes": path.stat().st_size, "sha256": file_sha256(path), **more}

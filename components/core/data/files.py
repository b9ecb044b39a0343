"""Files that exist whole or not at all, and their checksums."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.core.data.hashing import sha256_hex


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hex, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary path to write to; the file moves to `path` when the block ends without an exception."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json_atomic(path: Path, value: Any) -> None:
    """Write JSON so that a reader sees the old file, the new file, or none: never half a file."""
    with atomic_file(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, sort_keys=True, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def path_of_key(folder: Path, key: str) -> Path:
    """The place of a file that any text names, e.g. a URL; parent folders may be missing."""
    digest = sha256_hex(key)
    return folder / digest[:2] / digest[2:]

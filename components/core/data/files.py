"""Files that exist whole or not at all, even if their writer is killed, and their checksums."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.core.data.hashing import sha256_hex


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hex, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_file(path: Path, publish: Callable[[Path, Path], None] = os.replace) -> Iterator[Path]:
    """A temporary file beside `path`, which becomes `path` if no error occurs. The folder is created.

    Args:
        path: the file.
        publish: moves the one to the other. `os.link` refuses to replace an existing file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{_stem(path)}{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        yield temporary
        publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files of `path` that killed processes of this host left. Lists the folder."""
    stem = _stem(path)
    for left in path.parent.iterdir():
        if left.name.startswith(stem) and not _runs(left.name.removeprefix(stem).partition(".")[0]):
            left.unlink(missing_ok=True)


def _stem(path: Path) -> str:
    return f".{path.name}.{socket.gethostname()}."


def _runs(pid: str) -> bool:
    """Whether a process of this host runs; True for a text that is no number: it is of another host."""
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (ValueError, PermissionError):
        pass
    return True


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

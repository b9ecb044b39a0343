"""Local files that appear whole or not at all, even if the process that writes them is killed."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path, publish: Callable[[Path, Path], None] = os.replace) -> Iterator[Path]:
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

"""Files of a folder of pictures, in an order that does not depend on the file system."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from components.core.errors import NoInputError


@dataclass(frozen=True, order=True)
class SourceFile:
    """One file below the source folder."""

    name: str
    """Path relative to the folder, with forward slashes."""
    size: int
    """Bytes."""
    mtime_ns: int
    """Modification time, part of the listing's fingerprint only."""


def list_files(root: Path) -> tuple[list[SourceFile], list[str]]:
    """Every regular file below `root`, recursively, sorted by name; hidden files and folders are not looked at.

    Links are followed only where they end inside the folder: a link is no way to read other files of the machine.

    Returns:
        The files, and the names of links that were refused.

    Raises:
        NoInputError: `root` is not a folder.
    """
    if not root.is_dir():
        raise NoInputError(f"{root}: no such folder of images; check preflight.images")
    inside = root.resolve()
    files: list[SourceFile] = []
    refused: list[str] = []
    for folder, folders, names in os.walk(root):  # does not follow links to folders
        here = Path(folder)
        refused += [_relative(here / name, root) for name in folders if (here / name).is_symlink()]
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = here / name
            if name.startswith("."):
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                refused.append(_relative(path, root))
            elif path.is_file():
                stat = path.stat()
                files.append(SourceFile(_relative(path, root), stat.st_size, stat.st_mtime_ns))
            elif path.is_symlink():
                refused.append(_relative(path, root))
    return sorted(files), sorted(refused)


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()

"""Where copies of far models and data lie, and how each becomes whole at once.

`VLM_CACHE_ROOT` names the place: a directory that a claim can hold. Without it copies lie in
`$HF_HOME/vlm-posttrain`, and the hub's own cache is where huggingface_hub has it.

    <root>/hub                       the hub's cache, unless HF_HUB_CACHE names one
    <root>/copies/<name>/files       a whole copy: plain files, no links
    <root>/copies/<name>/part        the files of a copy under way; a killed one goes on there
    <root>/copies/<name>/listing.json  names and sizes; written last
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from components.core.data.files import write_json_atomic
from components.core.stage.errors import ConfigError

CACHE_ROOT_ENV = "VLM_CACHE_ROOT"
_FILES, _PART, _LISTING = "files", "part", "listing.json"


def _hf_home() -> Path:
    """As huggingface_hub has it; asked for here because that reads the environment once."""
    home = os.environ.get("HF_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface"
    )
    return Path(os.path.expandvars(os.path.expanduser(home)))


def cache_root() -> Path:
    """The directory of copies."""
    root = os.environ.get(CACHE_ROOT_ENV, "")
    return Path(os.path.abspath(os.path.expanduser(root))) if root else _hf_home() / "vlm-posttrain"


def hub_cache() -> Path:
    """The hub's own cache, in which huggingface_hub keeps repositories."""
    if stated := os.environ.get("HF_HUB_CACHE", ""):
        return Path(os.path.expandvars(os.path.expanduser(stated)))
    return (cache_root() if os.environ.get(CACHE_ROOT_ENV) else _hf_home()) / "hub"


class CopyPlace:
    """The place of one copy, whose name says exactly what it is a copy of."""

    def __init__(self, name: str) -> None:
        self.folder = cache_root() / "copies" / name
        self.files = self.folder / _FILES
        self.part = self.folder / _PART
        self._listing = self.folder / _LISTING

    def found(self) -> Path | None:
        """The copy, if it is there with every file in its size: its folder, or the one file that it is of."""
        try:
            listing = json.loads(self._listing.read_text(encoding="utf-8"))
            sizes, only = listing["files"], listing["only"]
            whole = all((self.files / name).stat().st_size == size for name, size in sizes.items())
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return self.files / only if whole else None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let one process of this machine, and of others where the file system has locks, make the copy."""
        from filelock import FileLock

        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock"):
            yield

    def publish(self, sizes: Mapping[str, int], only: str = "") -> Path:
        """Make the files in `part` the copy, and return it; what is not listed is removed.

        Args:
            sizes: relative name -> bytes.
            only: the one file that this is a copy of; empty for a folder.
        """
        self._listing.unlink(missing_ok=True)
        for folder, _, names in os.walk(self.part):
            for name in names:
                path = Path(folder) / name
                if path.relative_to(self.part).as_posix() not in sizes:
                    path.unlink()
        shutil.rmtree(self.files, ignore_errors=True)
        os.replace(self.part, self.files)
        write_json_atomic(self._listing, {"files": dict(sizes), "only": only})
        return self.files / only


def check_room(folder: Path, needed: int, what: str) -> None:
    """Check that a folder's file system has room.

    Args:
        folder: it may be missing.
        needed: bytes.
        what: what is to be fetched, for the message.

    Raises:
        ConfigError: it has less; names both sizes and the variable that moves the cache.
    """
    place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        sizes = f"needs {needed / 2**30:,.2f} GiB, and {place} has {free / 2**30:,.2f} GiB free"
        raise ConfigError(f"{what}: {sizes}; free space, or set {CACHE_ROOT_ENV} to a larger volume")

"""Files that hold many pictures each: one shard, or a folder of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from components.core.stage.errors import NoInputError
from components.image_ingest.sources.base import Entry
from components.image_ingest.sources.folder import FolderSource


@dataclass(frozen=True)
class Shards:
    """Shard files in order of their names."""

    root: Path
    """One file, or a folder that is searched recursively."""
    suffix: str
    """Ending of a shard's name, e.g. `.tar`."""
    base: str
    """What entries' URIs begin with: the root as the user named it."""

    def __iter__(self) -> Iterator[Entry]:
        """An entry for each shard; `at` is its path.

        Raises:
            NoInputError: there is none.
        """
        if self.root.is_file():
            stat = self.root.stat()
            yield Entry(self.root.name, str(self.root), stat.st_size, stamp=str(stat.st_mtime_ns))
            return
        found = False
        for entry in FolderSource(self.root).entries():
            if entry.name.lower().endswith(self.suffix):
                found = True
                yield Entry(entry.name, str(self.root / entry.at), entry.size, 0, entry.stamp, entry.refusal)
        if not found:
            raise NoInputError(f"{self.root}: holds no {self.suffix} file; check preflight.images")

    def uri(self, name: str) -> str:
        """URI of what the entry `name` (shard, slash, position) stands for."""
        folder = self.base.rpartition("/")[0] if self.root.is_file() else self.base.rstrip("/")
        return f"{folder}/{name}" if folder else name

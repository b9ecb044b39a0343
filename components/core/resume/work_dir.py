"""Work directory of a stage: journals and sub-directories that survive a kill.

A directory's name covers the stage's code, settings and inputs: another configuration has another one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from components.core.resume.journal import Journal

CACHE_TAG = "CACHEDIR.TAG"


class WorkDir:
    """The directory in which one stage, with one configuration and one set of inputs, keeps its progress.

    The ranks of a stage share its sub-directories. Every rank but the first has a folder for its journals.

    Args:
        path: the directory.
        rank: of this process.
    """

    def __init__(self, path: Path, rank: int = 0) -> None:
        self.path = path
        self.rank = rank
        self.own = path / f"rank-{rank}" if rank else path
        """The folder of this process alone."""
        self.own.mkdir(parents=True, exist_ok=True)
        self.markers: dict[str, str] = {}
        """Sub-directories of checkpoints -> name of the file that marks a complete checkpoint."""
        self.awaited: Callable[[], bool] = lambda: False
        """Whether another process waits for this directory, to take the result from what is left in it."""
        self._journals: dict[str, Journal] = {}
        self._ends: dict[str, int] = {}

    def journal(self, name: str) -> Journal:
        """The journal `<name>.jsonl`; one object per name."""
        if name not in self._journals:
            self._journals[name] = Journal(self.own / f"{name}.jsonl")
        return self._journals[name]

    def dir(self, name: str, sealed_by: str = "") -> Path:
        """A sub-directory, created when missing.

        Args:
            name: of the directory.
            sealed_by: for a directory of checkpoints, each a directory itself. A checkpoint is complete once
                this file is in it: JSON whose `files` lists the others with their bytes.
        """
        path = self.path / name
        path.mkdir(parents=True, exist_ok=True)
        if sealed_by:
            self.markers[name] = sealed_by
        return path

    def journal_ends(self) -> dict[str, int]:
        """File names of the journals that this process has or had open -> bytes of their whole entries."""
        return self._ends | {journal.path.name: journal.end for journal in [*self._journals.values()]}

    def settle(self) -> None:
        """End an attempt that was not killed: every journal forgets what is to be asked again."""
        for journal in [*self._journals.values()]:
            journal.settle()

    def close(self) -> None:
        """Settle and close every journal."""
        self.settle()
        self._ends = self.journal_ends()
        for journal in self._journals.values():
            journal.close()
        self._journals.clear()


def mark_cache(path: Path) -> Path:
    """Mark a directory, created when missing, as a cache: its files can be fetched again and are not saved.

    The mark is that of the Cache Directory Tagging Specification (bford.info/cachedir).
    """
    path.mkdir(parents=True, exist_ok=True)
    tag = path / CACHE_TAG
    if not tag.exists():
        tag.write_text("Signature: 8a477f597d28d172789f06886806bc55\n", encoding="ascii")
    return path

"""Progress that survives a kill: a work directory per fingerprint, with append-only journals inside.

A fingerprint covers the stage's code, settings and inputs, so leftovers of another configuration are never met.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import IO, Any


class Journal:
    """Append-only key -> JSON value store in one file; a line torn by a kill is dropped when the file is opened.

    Values written before a crash of the process are kept (each line is flushed to the operating system). A later
    value for the same key wins. Safe for concurrent threads of one process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._values: dict[str, Any] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._load()
        self._file: IO[bytes] = open(path, "ab")  # noqa: SIM115 - lives as long as the journal

    def _load(self) -> None:
        if not self.path.exists():
            return
        good = 0
        with open(self.path, "rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                try:
                    key, value = json.loads(line)
                except ValueError:
                    break
                self._values[key] = value
                good += len(line)
        if good != self.path.stat().st_size:
            os.truncate(self.path, good)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str, default: Any = None) -> Any:
        """The last value put under `key`, or `default`."""
        return self._values.get(key, default)

    def put(self, key: str, value: Any) -> None:
        """Keep `value` (JSON-able) under `key`; on return it survives a kill of this process."""
        line = json.dumps([key, value], ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            self._file.write(line)
            self._file.flush()
            self._values[key] = value

    def close(self) -> None:
        """Force the file to disk and close it."""
        with self._lock:
            os.fsync(self._file.fileno())
            self._file.close()


class WorkDir:
    """The directory in which one stage, with one configuration and one set of inputs, keeps its progress."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._journals: dict[str, Journal] = {}

    def journal(self, name: str) -> Journal:
        """The journal `<name>.jsonl`; one object per name."""
        if name not in self._journals:
            self._journals[name] = Journal(self.path / f"{name}.jsonl")
        return self._journals[name]

    def dir(self, name: str) -> Path:
        """A sub-directory, created when missing."""
        path = self.path / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def close(self) -> None:
        """Close every journal."""
        for journal in self._journals.values():
            journal.close()
        self._journals.clear()

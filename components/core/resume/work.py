"""Progress that survives a kill: a work directory per fingerprint, with append-only journals inside.

A fingerprint covers the stage's code, settings and inputs, so leftovers of another configuration are never met.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

CACHE_TAG = "CACHEDIR.TAG"
# The key of a line that announces how many of the following lines belong together.
_GROUP = "\x00group"


class Journal:
    """Append-only key -> JSON value store in one file; what a kill left unfinished is dropped when it is opened.

    A value put is handed to the operating system before `put` returns, so it survives a SIGKILL of the process. It is
    forced to disk only by `close`: a machine that loses power may lose the last seconds, and then asks for them again.
    Memory holds where each key's line begins, about 150 bytes a key, and no values. A later value for the same key
    wins. Safe for concurrent threads of one process; one process at a time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._offsets: dict[bytes, int] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._end = self._load()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        if os.fstat(self._file).st_size != self._end:
            os.truncate(self._file, self._end)

    def _load(self) -> int:
        """Index the file; returns where its last whole entry ends. Keys are read, values are not parsed."""
        if not self.path.exists():
            return 0
        position = good = 0
        group: dict[bytes, int] = {}
        awaited = 0
        with open(self.path, "rb") as file:
            for line in file:
                if not (line.startswith(b'["') and line.endswith(b"]\n")):
                    break
                try:
                    key = _key_of(line)
                    members = int(json.loads(line)[1]) if key == _GROUP else 0
                except (ValueError, IndexError):
                    break
                if key == _GROUP:
                    awaited, group = members, {}
                else:
                    group[_digest(key)] = position
                    awaited = max(awaited - 1, 0)
                position += len(line)
                if not awaited:
                    self._offsets.update(group)
                    group, good = {}, position
        return good

    @property
    def end(self) -> int:
        """Bytes of the entries that are whole; what is before never changes."""
        with self._lock:
            return self._end

    def __contains__(self, key: str) -> bool:
        return _digest(key) in self._offsets

    def __len__(self) -> int:
        return len(self._offsets)

    def get(self, key: str, default: Any = None) -> Any:
        """The last value put under `key`, read from the file, or `default`."""
        offset = self._offsets.get(_digest(key))
        return default if offset is None else json.loads(self._line_at(offset))[1]

    def values(self) -> Iterator[Any]:
        """The last value of every key, in the order in which the keys were first put."""
        for offset in list(self._offsets.values()):
            yield json.loads(self._line_at(offset))[1]

    def put(self, key: str, value: Any) -> None:
        """Keep `value` (JSON-able) under `key`; on return it survives a kill of this process."""
        self._append([_line(key, value)], [key])

    def put_all(self, values: Mapping[str, Any]) -> None:
        """Keep several values, all of them or, if the process is killed meanwhile, none."""
        lines = [_line(_GROUP, len(values)), *(_line(key, value) for key, value in values.items())]
        self._append(lines, [_GROUP, *values])

    def _append(self, lines: list[bytes], keys: list[str]) -> None:
        data = memoryview(b"".join(lines))
        with self._lock:
            try:
                written = 0
                while written < len(data):
                    written += os.write(self._file, data[written:])
            except OSError:  # a full disk: no torn line may stand before later ones
                os.truncate(self._file, self._end)
                raise
            for key, line in zip(keys, lines, strict=True):
                if key != _GROUP:
                    self._offsets[_digest(key)] = self._end
                self._end += len(line)

    def _line_at(self, offset: int) -> bytes:
        parts: list[bytes] = []
        size = 4096
        while True:
            part = os.pread(self._file, size, offset)
            end = part.find(b"\n")
            if end >= 0 or not part:
                return b"".join([*parts, part[: end + 1]])
            parts.append(part)
            offset += len(part)
            size = 1 << 18

    def close(self) -> None:
        """Force the file to disk and close it."""
        with self._lock:
            os.fsync(self._file)
            os.close(self._file)


def _line(key: str, value: Any) -> bytes:
    return json.dumps([key, value], ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _key_of(line: bytes) -> str:
    end = line.index(b'"', 2)
    if b"\\" in line[2:end]:  # an escaped character, maybe the very quote that was found
        return str(json.loads(line)[0])
    return line[2:end].decode()


def _digest(key: str) -> bytes:
    return blake2b(key.encode(), digest_size=16).digest()


class WorkDir:
    """The directory in which one stage, with one configuration and one set of inputs, keeps its progress.

    Several processes of one stage share its sub-directories; a journal belongs to one process, so every rank but the
    first has its own.

    Args:
        path: the directory.
        rank: of this process.
    """

    def __init__(self, path: Path, rank: int = 0) -> None:
        self.path = path
        self.rank = rank
        self.own = path / f"rank-{rank}" if rank else path
        """What this process has for itself."""
        self.own.mkdir(parents=True, exist_ok=True)
        self.sealed: dict[str, str] = {}
        """Sub-directories whose own sub-directories count once a certain file is in them: name -> that file's name."""
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
            sealed_by: what is written into it are directories, checkpoints for instance, each of which is whole once
                this file is in it: JSON whose `files` lists the others with their bytes.
        """
        path = self.path / name
        path.mkdir(parents=True, exist_ok=True)
        if sealed_by:
            self.sealed[name] = sealed_by
        return path

    def journal_ends(self) -> dict[str, int]:
        """File names of the journals that this process has or had open -> bytes of their whole entries."""
        open_ones = {journal.path.name: journal.end for journal in list(self._journals.values())}
        return self._ends | open_ones

    def close(self) -> None:
        """Close every journal."""
        self._ends = self.journal_ends()
        for journal in self._journals.values():
            journal.close()
        self._journals.clear()


def mark_cache(path: Path) -> Path:
    """Say that a directory, created when missing, holds only what can be fetched again: it is not worth keeping.

    By the Cache Directory Tagging Specification (bford.info/cachedir), which backup programs know, too.
    """
    path.mkdir(parents=True, exist_ok=True)
    tag = path / CACHE_TAG
    if not tag.exists():
        tag.write_text("Signature: 8a477f597d28d172789f06886806bc55\n", encoding="ascii")
    return path

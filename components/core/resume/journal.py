"""Journal: an append-only key-value file that survives a kill."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

_GROUP = "\x00group"
"""Key of a line that announces how many of the following lines belong together."""


class Journal:
    """Append-only key -> JSON value store in one file. A later value of the same key wins.

    The operating system has a value before `put` returns, so the value survives a SIGKILL of the process.
    Only `close` forces the file to disk: a machine that loses power may lose the last seconds. Opening a
    journal drops an entry that a kill left unfinished. Memory holds the offset of each key's line, about 150
    bytes a key, and no values. Safe for concurrent threads of one process; one process at a time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._offsets: dict[bytes, int] = {}
        self._passing: dict[str, None] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._end = self._load()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        if os.fstat(self._file).st_size != self._end:
            os.truncate(self._file, self._end)

    def _load(self) -> int:
        """Index the file by its keys, without parsing values; returns the end of its last whole entry."""
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
        """Bytes of the entries that are whole. These bytes never change."""
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

    def forget_at_end(self, keys: Iterable[str]) -> None:
        """Let these values hold for this attempt, and for the ones after a kill, but not beyond `settle`."""
        with self._lock:
            self._passing |= dict.fromkeys(keys)

    def settle(self) -> None:
        """End an attempt that was not killed: what is to be forgotten reads as None from here on.

        The old value goes to another key, because sums over `values` count what was spent.
        """
        with self._lock:
            keys, self._passing = list(self._passing), {}
        found = {key: (self._offsets.get(_digest(key)), self.get(key)) for key in keys}
        forgotten: dict[str, Any] = {}
        for key, (offset, value) in found.items():
            if value is not None:
                forgotten |= {f"{key}@{offset}": value, key: None}
        if forgotten:
            self.put_all(forgotten)

    def _append(self, lines: list[bytes], keys: list[str]) -> None:
        data = memoryview(b"".join(lines))
        with self._lock:
            try:
                written = 0
                while written < len(data):
                    written += os.write(self._file, data[written:])
            except OSError:  # a full disk: later lines must not follow a torn one
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

"""The hidden file in which a download grows, and what of it is there: so that the next process continues it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class Done:
    """Which parts of a partial file are whole: lines `<number> <MD5>` in a file beside it."""

    def __init__(self, partial: Path) -> None:
        self._partial, self._list = partial, partial.with_suffix(".done")
        self.digests: dict[int, str] = {}
        if self._list.is_file():
            for line in self._list.read_text().splitlines(keepends=True):
                number, _, digest = line.partition(" ")
                if len(digest) == 33:  # the last line may be torn
                    self.digests[int(number)] = digest.strip()

    def check(self, digest_of: Callable[[int], str]) -> None:
        """Leave out the parts that are not on the disk as they were received: it may have lost power."""
        self.digests = {n: digest for n, digest in self.digests.items() if digest_of(n) == digest}

    def add(self, number: int, digest: str) -> None:
        """A part is whole."""
        with open(self._list, "a", encoding="ascii") as file:
            file.write(f"{number} {digest}\n")
        self.digests[number] = digest

    def publish(self, path: Path) -> None:
        """The file is whole."""
        os.replace(self._partial, path)
        self._list.unlink(missing_ok=True)

    def forget(self) -> None:
        """Nothing of it can be used."""
        self._list.unlink(missing_ok=True)
        self._partial.unlink(missing_ok=True)


@contextmanager
def partial_file(path: Path, etag: str) -> Iterator[tuple[int, Done]]:
    """The partial file of a download, opened, and what of it is there; one of our own where another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.with_name(f".{path.name}.{etag or 'unknown'}.part")
    file = os.open(name, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        name = name.with_name(f".{path.name}.{os.getpid()}.part")
        file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        name.with_suffix(".done").unlink(missing_ok=True)
    try:
        yield file, Done(name)
    finally:
        os.close(file)

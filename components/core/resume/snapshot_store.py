"""Snapshots of a work directory in object storage, so that it outlives its machine.

    <base>/index/000007.json    every file with its pieces; the highest number counts (see `snapshot_index`)
    <base>/objects/<sha256>     a piece's bytes
    <base>/rank-1/...           the same of another process of the stage

One conditional write makes a snapshot visible, after all its pieces. Another machine finds the directory as
it was at one moment: never half of it, and no checkpoint that is newer than the journals beside it.
Objects are named by their content, so that pieces which a killed process had sent are not sent again.
Opening a directory creates the next index. A process that was believed dead then goes on without saving.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from components.core.data.files import atomic_file
from components.core.data.hashing import sha256_hex
from components.core.objects import open_store
from components.core.objects.numbered import create, highest, numbered
from components.core.resume.local_files import LocalFiles
from components.core.resume.snapshot_index import (
    Index,
    Piece,
    Snapshot,
    checkpoint_of,
    digests,
    journal_blocks,
    newest_first,
    surviving,
)
from components.core.resume.work_dir import WorkDir
from components.core.stage.errors import ConfigError, DataError, NoInputError, StageError

_JOURNAL = ".jsonl"
_TRIES = 3
_AT_ONCE = 4
T = TypeVar("T")
R = TypeVar("R")


class TakenOverError(Exception):
    """Another process has opened the same work directory."""


class SnapshotStore:
    """The snapshots of one process's files. `restore` once, then `sync` now and then, from one thread.

    Args:
        work: the local directory.
        uri: of the snapshots; those of other processes lie below it.
        log: of the stage.
        replace: whether to remove local files that the newest snapshot lacks; otherwise they are refused.
    """

    def __init__(self, work: WorkDir, uri: str, log: logging.Logger, replace: bool = True) -> None:
        self._uri = uri.rstrip("/") + ("/" + work.own.name if work.rank else "")
        self._store, prefix = open_store(self._uri)
        self._index, self._objects = f"{prefix}/index/".lstrip("/"), f"{prefix}/objects/".lstrip("/")
        self._work, self._log, self._replace = work, log, replace
        self._local = LocalFiles(work, self._uri)
        self._writer = uuid.uuid4().hex
        self._number = 0
        self._claims: tuple[int, ...] = ()
        self._files: Snapshot = {}
        self._markers: dict[str, str] = {}
        self._named: set[str] = set()
        """Digests of the objects that the snapshot names."""
        self._unnamed: set[str] = set()
        """Digests of stored objects that no snapshot names: sent since then, or by a killed process."""

    def restore(self) -> None:
        """Make the local directory equal to the newest snapshot, unless it continues that snapshot already.

        Raises:
            StageError: other processes keep changing the snapshot.
            DataError: it is damaged.
            ConfigError: see `replace`.
        """
        self._local.unlink()
        for _ in range(_TRIES):
            try:
                files = self.fetch()
                stored = {info.key.removeprefix(self._objects) for info in self._store.list(self._objects)}
                self._unnamed = stored - digests(files)
                self._commit(files)
            except (NoInputError, TakenOverError):  # another process opened it between two of these steps
                continue
            return
        raise StageError(f"{self._uri}: other processes use this work directory; try again")

    def fetch(self) -> Snapshot:
        """Bring the newest snapshot here without taking it over; returns its files."""
        self._number = highest(self._store, self._index)
        index = Index()
        if self._number:
            key = numbered(self._index, self._number)
            data = self._store.get(key)
            index = Index.decode(data, f"{self._uri}: {key}")
            if not self._local.continues(sha256_hex(data)):
                self._bring(index.files)
        self._claims = (*index.claims, self._number + 1)
        return index.files

    def _bring(self, files: Snapshot) -> None:
        """Download what differs, remove what is not in the snapshot."""
        surplus = {name: path for name, path in self._local.files() if name not in files}
        if surplus and not self._replace:
            lacking = f"{len(surplus)} files that {self._uri} lacks ({min(surplus)})"
            raise ConfigError(f"{self._local.root}: holds {lacking}; use another directory")
        self._local.forget()
        for path in surplus.values():
            path.unlink(missing_ok=True)
        began, total = time.time(), sum(piece.bytes for pieces in files.values() for piece in pieces)
        _at_once(lambda item: self._fetch(*item), files.items())
        self._local.order(files, began)
        if files or surplus:
            self._log.info(
                "restored the work directory",
                extra={"files": len(files), "mb": round(total / 2**20, 1), "removed": len(surplus),
                       "seconds": round(time.time() - began, 1)},
            )  # fmt: skip

    def _fetch(self, name: str, pieces: tuple[Piece, ...]) -> None:
        if self._local.holds(name, pieces):
            return
        path = self._local.root / name
        if len(pieces) == 1:
            self._store.download(self._objects + pieces[0].sha256, path)
        else:
            with atomic_file(path) as temporary, open(temporary, "wb") as file:
                for piece in pieces:
                    file.write(self._store.get(self._objects + piece.sha256))
        if not self._local.holds(name, pieces):
            damaged = f"{name} does not match its checksum"
            raise DataError(f"{self._uri}: {damaged}; delete what is there to begin anew")

    def sync(self) -> None:
        """Bring the snapshot up to the local directory's state.

        Checkpoints are looked for before the journals are measured. So a snapshot never holds a checkpoint
        without the entries that were made before it. Checkpoints become visible once sent, the newest first.

        Raises:
            TakenOverError: another process has opened the directory; nothing will be saved any more.
            StageError: the store does not answer; the next call sends what is missing.
        """
        self._markers = dict(self._work.markers)
        local = self._local.checkpoints(self._markers)
        newest = newest_first(local)
        links = {name: self._local.linked(name, local[name]) for name in newest
                 if not self._is_stored(name, local[name])}  # fmt: skip
        try:
            stays = {name: pieces for name, pieces in self._files.items() if self._checkpoint_of(name)}
            self._commit_changes(stays | self._send_loose())
            for checkpoint in links:
                if checkpoint == newest[0] or (self._local.root / checkpoint).is_dir():
                    others = {n: p for n, p in self._files.items() if self._checkpoint_of(n) != checkpoint}
                    sent = self._send(links[checkpoint])
                    if len(sent) == len(local[checkpoint]):
                        self._commit_changes(others | sent)
        finally:
            self._local.unlink()
        kept = {"", *surviving(filter(None, map(self._checkpoint_of, self._files)), local)}
        self._commit_changes({n: p for n, p in self._files.items() if self._checkpoint_of(n) in kept})
        # The useful objects that killed processes left are named by now.
        self._discard(self._unnamed - self._named)
        self._unnamed = set()

    def _checkpoint_of(self, name: str) -> str:
        return checkpoint_of(name, self._markers)

    def _is_stored(self, checkpoint: str, files: Iterable[str]) -> bool:
        """Whether the snapshot holds a checkpoint's files as they are now."""
        paths = {f"{checkpoint}/{name}": self._local.root / checkpoint / name for name in files}
        return all(
            name in self._files
            and self._local.is_unchanged(name, path)
            and (self._local.piece(name, path),) == self._files[name]
            for name, path in paths.items()
        )

    def _send_loose(self) -> Snapshot:
        """Send the files outside checkpoints."""
        journals = self._work.journal_ends()
        files: Snapshot = {}
        plain = {}
        for name, path in self._local.files():
            if name in journals:
                files[name] = self._send_journal(path, journals[name], self._files.get(name, ()))
            elif "/" not in name and name.endswith(_JOURNAL):  # not opened yet: it may end in half an entry
                files |= {name: self._files[name]} if name in self._files else {}
            elif name.split("/")[0] not in self._markers:
                plain[name] = path
        sent = self._send(plain)
        changing = plain.keys() - sent.keys()
        before = {n: self._files[n] for n in changing if n in self._files and plain[n].exists()}
        return files | before | sent

    def _send_journal(self, path: Path, end: int, before: tuple[Piece, ...]) -> tuple[Piece, ...]:
        pieces, blocks = journal_blocks(end, before)
        with open(path, "rb") as file:
            for offset, length in blocks:
                file.seek(offset)
                data = file.read(length)
                piece = Piece(sha256_hex(data), len(data))
                if not self._has(piece.sha256):
                    self._store.put(self._objects + piece.sha256, data)
                    self._unnamed.add(piece.sha256)
                pieces += (piece,)
        return pieces

    def _send(self, paths: Mapping[str, Path]) -> Snapshot:
        """Send files that are not stored yet; returns those that did not vanish or change meanwhile."""
        found = dict(zip(paths, _at_once(lambda item: self._local.piece(*item), paths.items()), strict=True))
        sources = {piece.sha256: name for name, piece in found.items() if piece is not None}

        def send(digest: str) -> None:
            name, key = sources[digest], self._objects + digest
            if self._has(digest):
                return
            try:
                self._store.upload(paths[name], key)
            except FileNotFoundError:
                return
            if self._local.is_unchanged(name, paths[name]):
                self._unnamed.add(digest)
            else:  # the object's content may not be that of its name
                self._store.delete(key)

        _at_once(send, sources)
        there = self._named | self._unnamed
        return {name: (piece,) for name, piece in found.items() if piece and piece.sha256 in there}

    def _has(self, digest: str) -> bool:
        """Whether the store has an object. Listings may lag behind, so an unnamed object is asked for."""
        if digest in self._named:
            return True
        if digest in self._unnamed and not self._store.exists(self._objects + digest):
            self._unnamed.discard(digest)
        return digest in self._unnamed

    def _commit_changes(self, files: Snapshot) -> None:
        if files != self._files:
            self._commit(files)

    def _commit(self, files: Snapshot) -> None:
        """Make `files` the snapshot, then delete what only the one before needed."""
        data = Index(self._writer, self._claims, files).encode()
        self._local.remember(sha256_hex(data))
        try:
            if not create(self._store, numbered(self._index, self._number + 1), data):
                raise TakenOverError
        except NoInputError as error:  # replaced already, by a process that came after
            raise TakenOverError from error
        before, self._named = self._named, digests(files)
        self._files = files
        self._number += 1
        self._discard(before - self._named)
        needed = {numbered(self._index, number) for number in (*self._claims, self._number)}
        for key in [info.key for info in self._store.list(self._index) if info.key not in needed]:
            self._store.delete(key)

    def _discard(self, unneeded: set[str]) -> None:
        _at_once(lambda digest: self._store.delete(self._objects + digest), sorted(unneeded))


def _at_once(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """`work` on every item, a few at a time; the results in order. The first error ends it."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return [*pool.map(work, items)]

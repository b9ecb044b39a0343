"""Work directories that outlive their machine: the local one is the working copy, object storage has its snapshots.

    <base>/index/000007.json    every file with its pieces; the highest number counts (see `snapshots.Index`)
    <base>/objects/<sha256>     a piece's bytes
    <base>/rank-1/...           the same of another process of the stage

A snapshot becomes visible by one conditional write, after all its pieces: whoever continues elsewhere finds the directory
as it was at one moment, never half of one, and never a checkpoint that is newer than the journals beside it. Objects are
named by their content, so what a killed process had sent already is not sent again. Who opens a directory creates the
next index; a process that was believed dead then cannot create its own any more, and goes on without saving there.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

from components.core.data.hashing import sha256_hex
from components.core.objects.store import at_once, open_store
from components.core.registry.pointer import create, highest, numbered
from components.core.resume.snapshots import (
    Index,
    Piece,
    Snapshot,
    digests,
    journal_blocks,
    newest_first,
    surviving,
    unit_of,
)
from components.core.resume.work import WorkDir
from components.core.resume.working_copy import WorkingCopy
from components.core.stage.errors import ConfigError, DataError, NoInputError, StageError

_JOURNAL = ".jsonl"
_TRIES = 3


class TakenOverError(Exception):
    """Another process has opened the same work directory."""


class Mirror:
    """A work directory's own files in object storage. `restore` once, then `sync` now and then, from one thread.

    Args:
        work: the local directory.
        uri: where its snapshots are; another process's lie below it.
        log: of the stage.
        replace: where the directory and the newest snapshot differ, the snapshot counts, and files that it lacks are
            removed; otherwise such files are refused.
    """

    def __init__(self, work: WorkDir, uri: str, log: logging.Logger, replace: bool = True) -> None:
        self._uri = uri.rstrip("/") + ("/" + work.own.name if work.rank else "")
        self._store, prefix = open_store(self._uri)
        self._index, self._objects = f"{prefix}/index/".lstrip("/"), f"{prefix}/objects/".lstrip("/")
        self._work, self._log, self._replace = work, log, replace
        self._copy = WorkingCopy(work, self._uri)
        self._writer = uuid.uuid4().hex
        self._number = 0
        self._claims: tuple[int, ...] = ()
        self._files: Snapshot = {}
        self._sealed: dict[str, str] = {}
        self._named: set[str] = set()
        """Digests of the objects that the snapshot names."""
        self._unnamed: set[str] = set()
        """Digests of objects that are stored, or were when this process began, and that no snapshot names."""
        self._tidy = False

    def restore(self) -> None:
        """Make the local directory what the newest snapshot says, unless it continues that very snapshot already.

        Raises:
            StageError: other processes keep changing the snapshot.
            DataError: it is damaged.
            ConfigError: see `replace`.
        """
        self._copy.unlink()
        for _ in range(_TRIES):
            try:
                files = self.fetch()
                stored = {info.key.removeprefix(self._objects) for info in self._store.list(self._objects)}
                self._unnamed = stored - digests(files)
                self._commit(files)
            except (NoInputError, TakenOverError):  # another process has opened it between two of these steps
                continue
            return
        raise StageError(f"{self._uri}: other processes use this work directory; try again")

    def fetch(self) -> Snapshot:
        """Bring the newest snapshot here, without saying that this process continues it; returns what it holds."""
        self._number = highest(self._store, self._index)
        index = Index()
        if self._number:
            key = numbered(self._index, self._number)
            data = self._store.get(key)
            index = Index.decode(data, f"{self._uri}: {key}")
            if not self._copy.continues(sha256_hex(data)):
                self._bring(index.files)
        self._claims = (*index.claims, self._number + 1)
        return index.files

    def _bring(self, files: Snapshot) -> None:
        """Download what differs, remove what is not in the snapshot."""
        surplus = {name: path for name, path in self._copy.files() if name not in files}
        if surplus and not self._replace:
            raise ConfigError(
                f"{self._copy.root}: holds {len(surplus)} files that {self._uri} lacks ({min(surplus)}); "
                "use another directory"
            )
        self._copy.forget()
        for path in surplus.values():
            path.unlink(missing_ok=True)
        began, total = time.time(), sum(piece.bytes for pieces in files.values() for piece in pieces)
        at_once(lambda item: self._fetch(*item), files.items())
        self._copy.order(files, began)
        if files or surplus:
            self._log.info(
                "restored the work directory",
                extra={"files": len(files), "mb": round(total / 2**20, 1), "removed": len(surplus),
                       "seconds": round(time.time() - began, 1)},
            )  # fmt: skip

    def _fetch(self, name: str, pieces: tuple[Piece, ...]) -> None:
        if self._copy.holds(name, pieces):
            return
        path = self._copy.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if len(pieces) == 1:
            self._store.download(self._objects + pieces[0].sha256, path)
        else:
            temporary = path.with_name(f".{path.name}.tmp")
            with open(temporary, "wb") as file:
                for piece in pieces:
                    file.write(self._store.get(self._objects + piece.sha256))
            os.replace(temporary, path)
        if not self._copy.holds(name, pieces):
            raise DataError(
                f"{self._uri}: {name} does not match its checksum; delete what is there to begin anew"
            )

    def sync(self) -> None:
        """Bring the snapshot up to the local directory's state.

        Checkpoints are looked for before the journals are measured, so that a snapshot never holds a checkpoint without
        the entries that were made before it. Each becomes visible as soon as it is there, the newest first.

        Raises:
            TakenOverError: another process has opened the directory; nothing will be saved any more.
            StageError: the store does not answer; the next call sends what is missing.
        """
        self._sealed = dict(self._work.sealed)
        units = self._copy.units(self._sealed)
        newest = newest_first(units)
        links = {u: self._copy.linked(u, units[u]) for u in newest if not self._is_stored(u, units[u])}
        try:
            stays = {name: pieces for name, pieces in self._files.items() if self._unit(name)}
            self._commit_changes(stays | self._send_loose())
            for unit in newest:
                if unit in links and (unit == newest[0] or (self._copy.root / unit).is_dir()):
                    others = {name: p for name, p in self._files.items() if self._unit(name) != unit}
                    sent = self._send(links[unit])
                    if len(sent) == len(units[unit]):
                        self._commit_changes(others | sent)
        finally:
            self._copy.unlink()
        kept = {"", *surviving(filter(None, map(self._unit, self._files)), units)}
        self._commit_changes({name: p for name, p in self._files.items() if self._unit(name) in kept})
        # What killed processes left, and can be used, is in use now.
        self._discard(self._unnamed - self._named)
        self._unnamed = set()
        if not self._tidy:
            self._store.discard_unfinished(self._objects)
            self._tidy = True

    def _unit(self, name: str) -> str:
        return unit_of(name, self._sealed)

    def _is_stored(self, unit: str, files: Mapping[str, int]) -> bool:
        names = [f"{unit}/{name}" for name in files]
        return all(
            name in self._files
            and self._copy.is_still(name, self._copy.root / name)
            and (self._copy.piece(name, self._copy.root / name),) == self._files[name]
            for name in names
        )

    def _send_loose(self) -> Snapshot:
        """Send what lies outside sealed directories."""
        journals = self._work.journal_ends()
        files: Snapshot = {}
        plain = {}
        for name, path in self._copy.files():
            if name in journals:
                files[name] = self._send_journal(path, journals[name], self._files.get(name, ()))
            elif "/" not in name and name.endswith(_JOURNAL):  # not opened yet: it may end in half an entry
                files |= {name: self._files[name]} if name in self._files else {}
            elif name.split("/")[0] not in self._sealed:
                plain[name] = path
        sent = self._send(plain)
        changing = plain.keys() - sent.keys()
        before = {
            name: self._files[name] for name in changing if name in self._files and plain[name].exists()
        }
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
        """Send files that differ from what is stored; returns those that did not vanish or change meanwhile."""
        found = dict(zip(paths, at_once(lambda item: self._copy.piece(*item), paths.items()), strict=True))
        sources = {piece.sha256: name for name, piece in found.items() if piece is not None}

        def send(digest: str) -> None:
            name, key = sources[digest], self._objects + digest
            if self._has(digest):
                return
            try:
                self._store.upload(paths[name], key)
            except FileNotFoundError:
                return
            if self._copy.is_still(name, paths[name]):
                self._unnamed.add(digest)
            else:  # the object may hold something else than its name says
                self._store.delete(key)

        at_once(send, sources)
        there = self._named | self._unnamed
        return {
            name: (piece,) for name, piece in found.items() if piece is not None and piece.sha256 in there
        }

    def _has(self, digest: str) -> bool:
        """Whether the store has an object; listings may lag behind, so those that no snapshot names are asked for."""
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
        self._copy.remember(sha256_hex(data))
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
        at_once(lambda digest: self._store.delete(self._objects + digest), sorted(unneeded))

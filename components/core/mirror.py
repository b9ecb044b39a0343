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

import contextlib
import hashlib
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from components.core.errors import ConfigError, DataError, NoInputError, StageError
from components.core.manifest import file_sha256, write_json_atomic
from components.core.registry.pointer import create, highest, numbered
from components.core.snapshots import (
    Index,
    Piece,
    Snapshot,
    digests,
    journal_blocks,
    listed_files,
    newest_first,
    surviving,
    unit_of,
)
from components.core.storage import at_once, open_store
from components.core.work import CACHE_TAG, WorkDir

_RECORD = ".mirror.json"
_SENDING = ".sending"
_JOURNAL = ".jsonl"
_TRIES = 3
_Stamp = tuple[int, int, int]


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
        uri = uri.rstrip("/") + ("/" + work.own.name if work.rank else "")
        self._store, prefix = open_store(uri)
        self._index, self._objects = f"{prefix}/index/".lstrip("/"), f"{prefix}/objects/".lstrip("/")
        self._work, self._root, self._uri, self._log = work, work.own, uri, log
        self._record = self._root / _RECORD
        self._writer = uuid.uuid4().hex
        self._replace = replace
        self._number = 0
        self._claims: tuple[int, ...] = ()
        self._files: Snapshot = {}
        self._stamps: dict[str, _Stamp] = {}
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
        shutil.rmtree(self._root / _SENDING, ignore_errors=True)
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
            if _sha256(data) not in self._remembered():
                self._bring(index.files)
        self._claims = (*index.claims, self._number + 1)
        return index.files

    def _bring(self, files: Snapshot) -> None:
        """Download what differs, remove what is not in the snapshot."""
        there = {name: path for name, path in self._walk() if name not in files}
        if there and not self._replace:
            raise ConfigError(
                f"{self._root}: holds {len(there)} files that {self._uri} lacks ({min(there)}); use another directory"
            )
        self._record.unlink(missing_ok=True)
        for path in there.values():
            path.unlink(missing_ok=True)
        began, total = time.time(), sum(piece.bytes for pieces in files.values() for piece in pieces)
        at_once(lambda item: self._fetch(*item), files.items())
        for name in files:
            self._stamps[name] = _stamp(self._root / name)
        folders = {"/".join(name.split("/")[:2]) for name in files if name.count("/") > 1}
        for age, folder in enumerate(newest_first(folders)):  # trainers delete the oldest by these times
            os.utime(self._root / folder, (began - age, began - age))
        if files or there:
            self._log.info(
                "restored the work directory",
                extra={"files": len(files), "mb": round(total / 2**20, 1), "removed": len(there),
                       "seconds": round(time.time() - began, 1)},
            )  # fmt: skip

    def _fetch(self, name: str, pieces: tuple[Piece, ...]) -> None:
        path = self._root / name
        if _holds(path, pieces):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if len(pieces) == 1:
            self._store.download(self._objects + pieces[0].sha256, path)
        else:
            temporary = path.with_name(f".{path.name}.tmp")
            with open(temporary, "wb") as file:
                for piece in pieces:
                    file.write(self._store.get(self._objects + piece.sha256))
            os.replace(temporary, path)
        if not _holds(path, pieces):
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
        units = self._units()
        newest = newest_first(units)
        links = {unit: self._link(unit, units[unit]) for unit in newest if not self._is_stored(unit, units)}
        try:
            stays = {name: pieces for name, pieces in self._files.items() if self._unit(name)}
            self._commit_changes(stays | self._send_loose())
            for unit in newest:
                if unit in links and (unit == newest[0] or (self._root / unit).is_dir()):
                    others = {name: p for name, p in self._files.items() if self._unit(name) != unit}
                    sent = self._send({f"{unit}/{name}": path for name, path in links[unit].items()})
                    if len(sent) == len(units[unit]):
                        self._commit_changes(others | sent)
        finally:
            shutil.rmtree(self._root / _SENDING, ignore_errors=True)
        kept = surviving(filter(None, map(self._unit, self._files)), units)
        self._commit_changes(
            {name: p for name, p in self._files.items() if not self._unit(name) or self._unit(name) in kept}
        )
        # What killed processes left, and can be used, is in use now.
        self._discard(self._unnamed - self._named)
        self._unnamed = set()
        if not self._tidy:
            self._store.discard_unfinished(self._objects)
            self._tidy = True

    def _unit(self, name: str) -> str:
        return unit_of(name, self._work.sealed)

    def _units(self) -> dict[str, dict[str, int]]:
        """The sealed directories that are whole: name -> their files with their bytes, the marker among them."""
        found = {}
        for parent, marker in self._work.sealed.items():
            for path in (self._work.path / parent).glob(f"*/{marker}"):
                try:
                    files = listed_files(path.read_bytes()) | {marker: path.stat().st_size}
                    if all((path.parent / name).stat().st_size == size for name, size in files.items()):
                        found[f"{parent}/{path.parent.name}"] = files
                except (FileNotFoundError, ValueError):  # it is being removed
                    continue
        return {} if self._work.rank else found

    def _is_stored(self, unit: str, units: Mapping[str, Mapping[str, int]]) -> bool:
        return all(
            sum(piece.bytes for piece in self._files.get(f"{unit}/{name}", ())) == size
            and f"{unit}/{name}" in self._files
            and self._stamps.get(f"{unit}/{name}") == _stamp(self._root / unit / name)
            for name, size in units[unit].items()
        )

    def _link(self, unit: str, files: Mapping[str, int]) -> dict[str, Path]:
        """The files of a sealed directory under a second name, so that they can be sent though it is removed."""
        linked = {}
        for name in files:
            path, link = self._root / unit / name, self._root / _SENDING / unit / name
            link.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, link)
            except FileNotFoundError:
                continue
            except OSError:  # a file system without links
                link = path
            linked[name] = link
        return linked

    def _send_loose(self) -> Snapshot:
        """Send what lies outside sealed directories."""
        journals = self._work.journal_ends()
        files: Snapshot = {}
        plain = {}
        for name, path in self._walk():
            if name in journals:
                files[name] = self._send_journal(path, journals[name], self._files.get(name, ()))
            elif "/" not in name and name.endswith(_JOURNAL):  # not opened yet: it may end in half an entry
                files |= {name: self._files[name]} if name in self._files else {}
            elif name.split("/")[0] not in self._work.sealed:
                plain[name] = path
        return files | self._send(plain)

    def _send_journal(self, path: Path, end: int, before: tuple[Piece, ...]) -> tuple[Piece, ...]:
        pieces, blocks = journal_blocks(end, before)
        with open(path, "rb") as file:
            for offset, length in blocks:
                file.seek(offset)
                data = file.read(length)
                piece = Piece(_sha256(data), len(data))
                if not self._has(piece.sha256):
                    self._store.put(self._objects + piece.sha256, data)
                    self._unnamed.add(piece.sha256)
                pieces += (piece,)
        return pieces

    def _send(self, paths: Mapping[str, Path]) -> Snapshot:
        """Send files that differ from what is stored; without those that vanished or changed meanwhile."""

        def send(name: str, path: Path) -> tuple[Piece, ...]:
            try:
                stamp = _stamp(path)
                if name in self._files and self._stamps.get(name) == stamp:
                    return self._files[name]
                piece = Piece(file_sha256(path), stamp[0])
                if not self._has(piece.sha256):
                    self._store.upload(path, self._objects + piece.sha256)
                    if _stamp(path) != stamp:  # then the object may hold something else than its name says
                        self._store.delete(self._objects + piece.sha256)
                        return self._files.get(name, ())
                    self._unnamed.add(piece.sha256)
                self._stamps[name] = stamp
                return (piece,)
            except FileNotFoundError:
                return ()

        sent = zip(paths, at_once(lambda item: send(*item), paths.items()), strict=True)
        return {name: pieces for name, pieces in sent if pieces}

    def _has(self, digest: str) -> bool:
        """Whether the store has an object; listings may lag behind, so those of killed processes are asked for."""
        return digest in self._named or (
            digest in self._unnamed and self._store.exists(self._objects + digest)
        )

    def _commit_changes(self, files: Snapshot) -> None:
        if files != self._files:
            self._commit(files)

    def _commit(self, files: Snapshot) -> None:
        """Make `files` the snapshot, then delete what only the one before needed."""
        data = Index(self._writer, self._claims, files).encode()
        write_json_atomic(
            self._record, {"uri": self._uri, "indexes": [*self._remembered()[-1:], _sha256(data)]}
        )
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

    def _remembered(self) -> list[str]:
        """Digests of the snapshots of which the local directory is a continuation."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            record = json.loads(self._record.read_text(encoding="utf-8"))
            if record["uri"] == self._uri:
                return list(record["indexes"])
        return []

    def _walk(self) -> Iterator[tuple[str, Path]]:
        """Files that are worth keeping: none that are hidden, temporary, caches or another process's."""
        for folder, folders, names in os.walk(self._root):
            here = Path(folder)
            if CACHE_TAG in names:
                folders.clear()
                continue
            top = here == self._root
            theirs = "outputs" if self._work.rank else "rank-"
            folders[:] = [f for f in folders if not f.startswith(".") and not (top and f.startswith(theirs))]
            for name in names:
                if not name.startswith(".") and not name.endswith(".tmp"):
                    yield (here / name).relative_to(self._root).as_posix(), here / name


def _stamp(path: Path) -> _Stamp:
    """Changes when the file does."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def _holds(path: Path, pieces: tuple[Piece, ...]) -> bool:
    if not path.is_file() or path.stat().st_size != sum(piece.bytes for piece in pieces):
        return False
    if len(pieces) == 1:
        return file_sha256(path) == pieces[0].sha256
    with open(path, "rb") as file:
        return all(_sha256(file.read(piece.bytes)) == piece.sha256 for piece in pieces)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

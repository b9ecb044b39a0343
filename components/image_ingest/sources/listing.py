"""The listing of a source, in a file: chunks of entries that any process reads by number, one in memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from components.core.data.mapping import in_batches
from components.image_ingest.entry import Entry, Reason, Rejection

_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("at", pa.binary()),  # file names need not be UTF-8
        ("size", pa.int64()),
        ("offset", pa.int64()),
        ("stamp", pa.string()),
        ("reason", pa.string()),  # "" where the entry is to be read
        ("detail", pa.string()),
    ]
)


@dataclass(frozen=True)
class Listing:
    """A listing on disk."""

    path: Path
    rows: int
    chunks: int
    chunk_files: int
    """Entries of each chunk but the last."""
    digest: str
    """SHA-256 over all entries: another digest, another state of the source."""

    def read(self, chunk: int) -> list[Entry]:
        """The entries of one chunk."""
        with pa.memory_map(str(self.path)) as file:
            return [_entry(row) for row in pa.ipc.open_file(file).get_batch(chunk).to_pylist()]

    def name(self, position: int) -> str:
        """The name of one entry."""
        chunk, row = divmod(position, self.chunk_files)
        with pa.memory_map(str(self.path)) as file:
            return str(pa.ipc.open_file(file).get_batch(chunk)["name"][row].as_py())


def write_listing(entries: Iterable[Entry], path: Path, chunk_files: int) -> Listing:
    """Write a listing in chunks of `chunk_files` entries."""
    digest = hashlib.sha256()
    rows = chunks = 0
    with pa.ipc.new_file(str(path), _SCHEMA) as writer:
        for chunk in in_batches(entries, chunk_files):
            batch = pa.RecordBatch.from_pylist([_row(entry) for entry in chunk], schema=_SCHEMA)
            for column in batch.columns:
                for value in column.to_pylist():
                    digest.update(f"{value!r}\0".encode())
            writer.write_batch(batch)
            rows += len(chunk)
            chunks += 1
    return Listing(path, rows, chunks, chunk_files, digest.hexdigest())


def _row(entry: Entry) -> dict[str, object]:
    row = {name: getattr(entry, name) for name in ("name", "size", "offset", "stamp")}
    reason, detail = (entry.rejection.reason.value, entry.rejection.detail) if entry.rejection else ("", "")
    return {**row, "at": os.fsencode(entry.at), "reason": reason, "detail": detail}


def _entry(row: dict[str, str | int | bytes]) -> Entry:
    reason, detail = row.pop("reason"), row.pop("detail")
    rejection = Rejection(Reason(str(reason)), str(detail)) if reason else None
    return Entry(**{**row, "at": os.fsdecode(row["at"])}, rejection=rejection)  # type: ignore[arg-type]

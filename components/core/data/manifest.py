"""Datasets and checkpoints that can be trusted: files first, `_MANIFEST.json` last, checksums verified by every reader.

A dataset is a directory of Parquet shards; a checkpoint is a directory of model files. Readers trust only what the
manifest lists, so leftovers of a killed attempt are ignored. The manifest's input digests are the lineage record.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from components.core.data.hashing import canonical_json, sha256_hex
from components.core.data.tables import IMAGE_TABLES, SCHEMAS, UNCOMPRESSED_COLUMNS
from components.core.stage.errors import DataError, NoInputError

MANIFEST_NAME = "_MANIFEST.json"
SCHEMA_VERSION = 1
# (rows of a row group, rows of a shard): small groups where rows carry image bytes, so that one image is read cheaply.
_IMAGE_ROWS = (100, 10_000)
_PLAIN_ROWS = (20_000, 1_000_000)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hex, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json_atomic(path: Path, value: Any) -> None:
    """Write JSON so that a reader sees the old file, the new file, or none: never half a file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, sort_keys=True, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _read_manifest(directory: Path, kind: str) -> dict[str, Any]:
    if not directory.exists():
        raise NoInputError(f"{directory}: no such {kind}; check the path")
    path = directory / MANIFEST_NAME
    if not path.is_file():
        raise DataError(
            f"{directory}: no {MANIFEST_NAME}; this {kind} was never finished, run its stage again"
        )
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error})") from error
    if manifest.get("kind") != kind:
        raise DataError(f"{directory}: holds a {manifest.get('kind')!r}, expected a {kind}")
    return manifest


def _content_digest(manifest: dict[str, Any]) -> str:
    """Digest of what is stored, whoever produced it: equal content gives equal digests."""
    files = [[entry["name"], entry["sha256"]] for entry in manifest["files"]]
    return sha256_hex(canonical_json([manifest["kind"], manifest.get("table"), files]))


def _verify(directory: Path, manifest: dict[str, Any]) -> None:
    for entry in manifest["files"]:
        path = directory / entry["name"]
        if not path.is_file() or path.stat().st_size != entry["bytes"]:
            raise DataError(
                f"{path}: missing or of another size than its manifest says; run the stage that wrote it again"
            )
        if file_sha256(path) != entry["sha256"]:
            raise DataError(
                f"{path}: checksum differs from its manifest; the file is damaged, run the stage again"
            )


def _file_entry(path: Path, name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "bytes": path.stat().st_size,
        "sha256": file_sha256(path),
        **more,
    }


@dataclass(frozen=True)
class Dataset:
    """A committed dataset of one table."""

    path: Path
    table: str
    manifest: dict[str, Any]

    @classmethod
    def open(cls, path: str | os.PathLike[str], table: str, *, verify: bool = True) -> Dataset:
        """Open a dataset and check that it is complete and unchanged.

        Raises:
            NoInputError: the directory does not exist.
            DataError: no manifest, another table or schema version, or a shard that does not match its checksum.
        """
        directory = Path(path)
        manifest = _read_manifest(directory, "dataset")
        if manifest["table"] != table:
            raise DataError(f"{directory}: holds table '{manifest['table']}', expected '{table}'")
        if manifest["schema_version"] != SCHEMA_VERSION:
            raise DataError(
                f"{directory}: schema version {manifest['schema_version']}, expected {SCHEMA_VERSION}"
            )
        if verify:
            _verify(directory, manifest)
        dataset = cls(directory, table, manifest)
        for shard in dataset.shards:
            found = pq.read_schema(shard)
            if not found.equals(SCHEMAS[table]):
                raise DataError(f"{shard}: columns {found.names} are not those of table '{table}'")
        return dataset

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.manifest["rows"])

    @property
    def digest(self) -> str:
        """SHA-256 over the shards' checksums."""
        return _content_digest(self.manifest)

    @property
    def shards(self) -> list[Path]:
        """The shard files, in order."""
        return [self.path / entry["name"] for entry in self.manifest["files"]]

    def iter_batches(
        self, columns: Sequence[str] | None = None, batch_rows: int = 1024
    ) -> Iterator[pa.RecordBatch]:
        """Record batches of at most `batch_rows` rows, in order, holding one batch in memory at a time."""
        for shard in self.shards:
            with pq.ParquetFile(shard) as file:
                yield from file.iter_batches(
                    batch_size=batch_rows, columns=list(columns) if columns else None
                )

    def rows_iter(
        self, columns: Sequence[str] | None = None, batch_rows: int = 1024
    ) -> Iterator[dict[str, Any]]:
        """Rows as dictionaries, in order."""
        for batch in self.iter_batches(columns, batch_rows):
            yield from batch.to_pylist()

    def to_table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The whole dataset in memory (leave image bytes out unless it is small)."""
        names = list(columns) if columns else SCHEMAS[self.table].names
        schema = pa.schema([SCHEMAS[self.table].field(name) for name in names])
        return pa.Table.from_batches(self.iter_batches(names), schema=schema)


class DatasetWriter:
    """Writes a dataset: shards as rows come, the manifest on `close()`.

    As a context manager it commits only when the block ends without an exception. The same rows give the same bytes,
    however they were split over `write` calls.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        table: str,
        *,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        self.path = Path(path)
        self.table = table
        self.schema = SCHEMAS[table]
        self.rows = 0
        self._provenance = provenance or {}
        self._group_rows, self._shard_rows = _IMAGE_ROWS if table in IMAGE_TABLES else _PLAIN_ROWS
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        self._files: list[dict[str, Any]] = []
        self._writer: pq.ParquetWriter | None = None
        self._shard_filled = 0
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / MANIFEST_NAME).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, exc_type: object, exc: object, traceback: object) -> None:
        if exc_type is None:
            self.close()
        elif self._writer is not None:
            self._writer.close()

    def write(self, rows: list[dict[str, Any]] | pa.Table) -> None:
        """Append rows (dicts with exactly the table's columns, or an Arrow table of its schema).

        Raises:
            DataError: columns are missing, unknown, or hold values of another type.
        """
        table = rows if isinstance(rows, pa.Table) else self._to_table(rows)
        if not table.schema.equals(self.schema):
            raise DataError(f"table '{self.table}' has columns {self.schema.names}, got {table.schema.names}")
        self.rows += table.num_rows
        self._pending.append(table)
        self._pending_rows += table.num_rows
        while self._pending_rows >= self._group_rows:
            self._flush(self._group_rows)

    def _to_table(self, rows: list[dict[str, Any]]) -> pa.Table:
        for row in rows:
            if row.keys() != set(self.schema.names):
                wrong = sorted(row.keys() ^ set(self.schema.names))
                raise DataError(f"table '{self.table}': columns missing or unknown: {', '.join(wrong)}")
        try:
            return pa.Table.from_pylist(rows, schema=self.schema)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise DataError(f"table '{self.table}': {error}") from error

    def _flush(self, count: int) -> None:
        pending = pa.concat_tables(self._pending) if len(self._pending) > 1 else self._pending[0]
        group, rest = pending.slice(0, count), pending.slice(count)
        self._pending, self._pending_rows = (
            ([rest] if rest.num_rows else []),
            rest.num_rows,
        )
        if self._writer is None:
            compression = {
                name: "NONE" if name in UNCOMPRESSED_COLUMNS else "ZSTD" for name in self.schema.names
            }
            name = f"part-{len(self._files):05d}.parquet"
            self._writer = pq.ParquetWriter(
                self.path / name,
                self.schema,
                compression=compression,
                use_dictionary=True,
            )
        self._writer.write_table(group.combine_chunks(), row_group_size=self._group_rows)
        self._shard_filled += group.num_rows
        if self._shard_filled >= self._shard_rows:
            self._end_shard()

    def _end_shard(self) -> None:
        if self._writer is None:
            return
        self._writer.close()
        name = f"part-{len(self._files):05d}.parquet"
        self._files.append(_file_entry(self.path / name, name, rows=self._shard_filled))
        self._writer, self._shard_filled = None, 0

    def close(self) -> Dataset:
        """Finish the last shard and commit the manifest."""
        if self._pending_rows or not (self._files or self._writer):
            if not self._pending:
                self._pending = [self.schema.empty_table()]
            self._flush(max(self._pending_rows, 1))
        self._end_shard()
        manifest = {
            "kind": "dataset",
            "table": self.table,
            "schema_version": SCHEMA_VERSION,
            "rows": self.rows,
            "files": self._files,
            "provenance": self._provenance,
        }
        write_json_atomic(self.path / MANIFEST_NAME, manifest)
        return Dataset(self.path, self.table, manifest)


@dataclass(frozen=True)
class Checkpoint:
    """A committed directory of model files."""

    path: Path
    digest: str
    extra: dict[str, Any] = field(default_factory=dict)


def commit_checkpoint(
    directory: str | os.PathLike[str],
    *,
    provenance: dict[str, Any] | None = None,
    extra: dict[str, Any] | None = None,
) -> Checkpoint:
    """Seal a directory of finished model files: list every file with its checksum in a manifest, written last."""
    path = Path(directory)
    (path / MANIFEST_NAME).unlink(missing_ok=True)
    files = [
        _file_entry(item, item.relative_to(path).as_posix())
        for item in sorted(path.rglob("*"))
        if item.is_file()
    ]
    if not files:
        raise DataError(f"{path}: nothing to commit as a checkpoint")
    manifest = {
        "kind": "checkpoint",
        "files": files,
        "provenance": provenance or {},
        "extra": extra or {},
    }
    write_json_atomic(path / MANIFEST_NAME, manifest)
    return Checkpoint(path, _content_digest(manifest), extra or {})


def open_checkpoint(directory: str | os.PathLike[str], *, verify: bool = True) -> Checkpoint:
    """Open a committed checkpoint; a directory without a manifest, or with a damaged file, is refused.

    Raises:
        NoInputError: the directory does not exist.
        DataError: it has no manifest, or a file does not match it.
    """
    path = Path(directory)
    manifest = _read_manifest(path, "checkpoint")
    if verify:
        _verify(path, manifest)
    return Checkpoint(path, _content_digest(manifest), manifest["extra"])

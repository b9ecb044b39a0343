"""Datasets: directories of Parquet shards of one table, written once and verified by every reader."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from components.core.data.files import write_json_atomic
from components.core.data.manifest import (
    MANIFEST_NAME,
    content_digest,
    file_entry,
    read_manifest,
    verify_files,
)
from components.core.data.tables import IMAGE_TABLES, SCHEMAS, UNCOMPRESSED_COLUMNS
from components.core.stage.errors import DataError

SCHEMA_VERSION = 1
Columns = Sequence[str] | None
"""Names of the columns to read; None for all."""
# Rows of a row group and of a shard. Groups are small where rows carry image bytes: one is read cheaply.
_IMAGE_ROWS = (100, 10_000)
_PLAIN_ROWS = (20_000, 1_000_000)


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
            DataError: no manifest, another table or schema version, or a shard with another checksum.
        """
        directory = Path(path)
        manifest = read_manifest(directory, "dataset")
        if manifest["table"] != table:
            raise DataError(f"{directory}: holds table '{manifest['table']}', expected '{table}'")
        if (version := manifest["schema_version"]) != SCHEMA_VERSION:
            raise DataError(f"{directory}: schema version {version}, expected {SCHEMA_VERSION}")
        if verify:
            verify_files(directory, manifest)
        dataset = cls(directory, table, manifest)
        for shard in dataset.shards:
            try:
                found = pq.read_schema(shard)
            except pa.ArrowInvalid as error:
                raise DataError(f"{shard}: no Parquet file ({error})") from error
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
        return content_digest(self.manifest)

    @property
    def shards(self) -> list[Path]:
        """The shard files, in order."""
        return [self.path / entry["name"] for entry in self.manifest["files"]]

    def iter_batches(self, columns: Columns = None, batch_rows: int = 1024) -> Iterator[pa.RecordBatch]:
        """Record batches of at most `batch_rows` rows, in order, holding one batch in memory at a time."""
        names = list(columns) if columns else None
        for shard in self.shards:
            with pq.ParquetFile(shard) as file:
                yield from file.iter_batches(batch_size=batch_rows, columns=names)

    def rows_iter(self, columns: Columns = None, batch_rows: int = 1024) -> Iterator[dict[str, Any]]:
        """Rows as dictionaries, in order."""
        for batch in self.iter_batches(columns, batch_rows):
            yield from batch.to_pylist()

    def to_table(self, columns: Columns = None) -> pa.Table:
        """The whole dataset in memory (leave image bytes out unless it is small)."""
        names = list(columns) if columns else SCHEMAS[self.table].names
        schema = pa.schema([SCHEMAS[self.table].field(name) for name in names])
        return pa.Table.from_batches(self.iter_batches(names), schema=schema)


class DatasetWriter:
    """Writes a dataset: shards as rows come, the manifest on `close()`.

    As a context manager it commits only when the block ends without an exception. The same rows give the same
    bytes, however they were split over `write` calls.
    """

    def __init__(
        self, path: str | os.PathLike[str], table: str, *, provenance: dict[str, Any] | None = None
    ) -> None:
        self.path, self.table, self.schema, self.rows = Path(path), table, SCHEMAS[table], 0
        self._provenance = provenance or {}
        self._group_rows, self._shard_rows = _IMAGE_ROWS if table in IMAGE_TABLES else _PLAIN_ROWS
        self._pending = [self.schema.empty_table()]
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
            self._flush()

    def _to_table(self, rows: list[dict[str, Any]]) -> pa.Table:
        for row in rows:
            if wrong := sorted(row.keys() ^ set(self.schema.names)):
                raise DataError(f"table '{self.table}': columns missing or unknown: {', '.join(wrong)}")
        try:
            return pa.Table.from_pylist(rows, schema=self.schema)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise DataError(f"table '{self.table}': {error}") from error

    def _shard(self) -> Path:
        return self.path / f"part-{len(self._files):05d}.parquet"

    def _flush(self) -> None:
        """Write the first row group of the pending rows."""
        pending = pa.concat_tables(self._pending)
        group, rest = pending.slice(0, self._group_rows), pending.slice(self._group_rows)
        self._pending, self._pending_rows = [rest], rest.num_rows
        if self._writer is None:
            names = self.schema.names
            compression = {name: "NONE" if name in UNCOMPRESSED_COLUMNS else "ZSTD" for name in names}
            self._writer = pq.ParquetWriter(self._shard(), self.schema, compression=compression)
        self._writer.write_table(group.combine_chunks(), row_group_size=self._group_rows)
        self._shard_filled += group.num_rows
        if self._shard_filled >= self._shard_rows:
            self._end_shard()

    def _end_shard(self) -> None:
        if self._writer is None:
            return
        self._writer.close()
        path = self._shard()
        self._files.append(file_entry(path, path.name, rows=self._shard_filled))
        self._writer, self._shard_filled = None, 0

    def close(self) -> Dataset:
        """Finish the last shard and commit the manifest."""
        if self._pending_rows or not (self._files or self._writer):
            self._flush()
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

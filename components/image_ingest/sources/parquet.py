"""Parquet files with an image column: bytes, Hugging Face's struct of bytes and path, or lists of either."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, repeat
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.core.stage.errors import ConfigError
from components.image_ingest.entry import Entry, Reason, Rejection
from components.image_ingest.sources.folder import Shards

Value = bytes | dict[str, Any] | None
# A picture of a list is found by one number: the row times this, plus its place in the row's list.
_PER_ROW = 2**16
_USUAL = ("image", "bytes", "img", "jpg", "png", "webp", "image_bytes")
_BATCH_ROWS = 16
# Pictures are compressed already: a column that unfolds to a hundred times its size is a decompression bomb.
_MAX_RATIO, _RATIO_FROM_BYTES = 100, 2**28


@dataclass(frozen=True)
class ParquetSource:
    """The rows of Parquet files."""

    shards: Shards
    column: str
    """Column that holds the pictures; empty takes the first that looks like one."""

    def entries(self) -> Iterator[Entry]:
        """Rows in the files' order, named by file and row number, and pictures of lists by their place too.

        Only footers are read, and of lists their lengths.

        Raises:
            ConfigError: a file has no such column.
        """
        for shard in self.shards:
            if shard.rejection:
                yield shard
                continue
            try:
                with pq.ParquetFile(shard.at) as file:
                    metadata, schema = file.metadata, file.schema_arrow
            except (pa.ArrowException, OSError) as error:
                yield Entry(shard.name, shard.at, rejection=_damaged(error))
                continue
            column = image_column(schema, self.column, shard.name)
            yield from self._rows(shard, metadata, schema.field(column))

    def _rows(self, shard: Entry, metadata: pq.FileMetaData, field: pa.Field) -> Iterator[Entry]:
        row = 0
        listed = _is_list(field.type)
        for group in range(metadata.num_row_groups):
            bomb = _bomb(metadata.row_group(group), field.name)
            count = metadata.row_group(group).num_rows
            lengths: Iterator[int | None] = repeat(None, count)
            if listed and not bomb:
                lengths = _lengths(shard.at, group, field)
            try:
                for length in lengths:
                    yield from _pictures(shard, row, length, bomb)
                    row += 1
            except (pa.ArrowException, OSError) as error:
                yield Entry(shard.name, shard.at, rejection=_damaged(error))
                return

    def read(self, entries: Sequence[Entry]) -> Iterator[bytes | Rejection]:
        """The pictures of rows. Reading in order is cheap, going back is not."""
        for entry in entries:
            try:
                yield _bytes_of(_cursor(entry.at, self.column, entry.stamp).picture(entry.offset))
            except (pa.ArrowException, OSError) as error:
                _cursor.cache_clear()
                yield _damaged(error)

    def uri(self, entry: Entry) -> str:
        """Path of the file, and the row in it."""
        return self.shards.uri(entry.name)


def image_column(schema: pa.Schema, wanted: str, name: str) -> str:
    """The column that holds pictures: `wanted`, or the first of the usual names, or the only fitting one.

    Raises:
        ConfigError: there is none, or it holds something else; names the file `name`.
    """
    fitting = [field.name for field in schema if _holds_images(field.type)]
    usual = [column for column in _USUAL if column in fitting]
    if wanted in fitting:
        return wanted
    if not wanted and (usual or len(fitting) == 1):
        return (usual or fitting)[0]
    missing = f"no image column{f' {wanted!r}' if wanted else ''}"
    columns = ", ".join(fitting) or "none"
    raise ConfigError(f"{name}: {missing}; columns of bytes: {columns}; set image_ingest.image_column")


def _holds_images(kind: pa.DataType) -> bool:
    if _is_list(kind):
        return not _is_list(kind.value_type) and _holds_images(kind.value_type)
    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _is_bytes(kind.field(index).type)
    return _is_bytes(kind)


def _is_list(kind: pa.DataType) -> bool:
    return any(
        is_kind(kind)
        for is_kind in (
            pa.types.is_list,
            pa.types.is_large_list,
            pa.types.is_fixed_size_list,
            pa.types.is_list_view,
            pa.types.is_large_list_view,
        )
    )


def _is_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_bytes(kind.value_type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def _lengths(path: str, group: int, field: pa.Field) -> Iterator[int | None]:
    """Pictures in each row's list, 0 where it is null; of structs with paths, those alone are read."""
    inner = field.type.value_type
    column = field.name
    with pq.ParquetFile(path, buffer_size=2**20, pre_buffer=False) as file:
        if pa.types.is_struct(inner) and inner.get_field_index("path") >= 0:
            leaves = [file.schema.column(index).path for index in range(len(file.schema.names))]
            column = next(p for p in leaves if p.startswith(f"{field.name}.") and p.endswith(".path"))
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=[column]):
            for value in batch.column(0):
                yield len(value) if value.is_valid else 0


def _pictures(shard: Entry, row: int, length: int | None, bomb: Rejection | None) -> Iterator[Entry]:
    """The entries of one row: itself where it is no list, else its list's pictures; none is told."""
    name = f"{shard.name}/row-{row:09d}"
    if length is None:
        yield Entry(name, shard.at, offset=row * _PER_ROW, stamp=shard.stamp, rejection=bomb)
    elif not length or length > _PER_ROW:
        fault = Rejection(Reason.EMPTY_FILE, "a row without pictures")
        if length:
            fault = Rejection(Reason.DAMAGED_ARCHIVE, f"{length} pictures in a row, limit {_PER_ROW}")
        yield Entry(name, shard.at, stamp=shard.stamp, rejection=fault)
    for place in range(length or 0) if (length or 0) <= _PER_ROW else ():
        yield Entry(f"{name}/{place}", shard.at, offset=row * _PER_ROW + place, stamp=shard.stamp)


def _damaged(error: Exception) -> Rejection:
    return Rejection(Reason.DAMAGED_ARCHIVE, f"{type(error).__name__}: {error}"[:300])


def _bytes_of(value: Value) -> bytes | Rejection:
    if isinstance(value, dict):
        if value.get("bytes") is None and value.get("path"):
            return Rejection(Reason.UNREADABLE, "the row names a path and holds no bytes")
        value = value.get("bytes")
    return value or b""


def _bomb(group: pq.RowGroupMetaData, column: str) -> Rejection | None:
    for index in range(group.num_columns):
        chunk = group.column(index)
        if chunk.path_in_schema.split(".")[0] == column:
            unfolded, stored = chunk.total_uncompressed_size, max(1, chunk.total_compressed_size)
            if unfolded > _RATIO_FROM_BYTES and unfolded / stored > _MAX_RATIO:
                detail = f"{stored} bytes of column '{column}' would unfold to {unfolded}"
                return Rejection(Reason.DAMAGED_ARCHIVE, detail)
    return None


class _Cursor:
    """Moves forward through one column with few rows in memory; going back restarts the row group."""

    def __init__(self, path: str, wanted: str) -> None:
        # Unbuffered reading would take a whole row group's column at once, gigabytes where groups are large.
        self._file = pq.ParquetFile(path, buffer_size=2**20, pre_buffer=False)
        self._column = image_column(self._file.schema_arrow, wanted, path)
        metadata = self._file.metadata
        counts = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
        self._starts = list(accumulate(counts, initial=0))
        self._group, self._at = -1, 0
        self._batch: pa.RecordBatch | None = None
        self._batches: Iterator[pa.RecordBatch] = iter(())

    def picture(self, offset: int) -> Value:
        """The picture that an entry's offset names."""
        row, place = divmod(offset, _PER_ROW)
        value = self._value(row)
        return value[place] if isinstance(value, list) else value

    def _value(self, row: int) -> Any:
        group = bisect_right(self._starts, row) - 1
        if group != self._group or row < self._at:
            self._batches = self._file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=[self._column])
            self._group, self._at, self._batch = group, self._starts[group], None
        while self._batch is None or row >= self._at + self._batch.num_rows:
            self._at += self._batch.num_rows if self._batch else 0
            self._batch = next(self._batches, None)
            if self._batch is None:
                raise pa.ArrowInvalid("fewer rows than the footer says")
        return self._batch.column(0)[row - self._at].as_py()


@lru_cache(maxsize=1)
def _cursor(path: str, column: str, stamp: str) -> _Cursor:
    """This process's place in the file it read last; `stamp` gives a changed file a cursor of its own."""
    return _Cursor(path, column)

"""Records of Parquet files: a column `messages` or `conversations`, pictures in `images` or `image`, or ids of them.

Turns are lists of structs, or JSON texts. Pictures are bytes, structs of bytes and path (Hugging Face), or paths.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.core.conversations.base import Record
from components.core.stage.errors import DataError

TURNS = ("messages", "conversations")
COLUMNS = (*TURNS, "system", "images", "image", "image_ids", "image_id")
"""What is read of a table; other columns are not looked at."""
_BATCH_ROWS = 64
_CACHED_BYTES = 2**29


def known_columns(names: Sequence[str], place: str) -> list[str]:
    """The columns that are read.

    Raises:
        DataError: there are no turns among them.
    """
    if not set(TURNS) & set(names):
        raise DataError(
            f"{place}: no column {' or '.join(TURNS)}, only {', '.join(names)}; rename the column of turns"
        )
    return [name for name in COLUMNS if name in names]


class ParquetRecords:
    """Shards of one set.

    Pictures are read a row group at a time: shards that were written with small groups (100 rows, say) are read in any
    order much faster.

    Args:
        shards: the files, in order.
        root: what their names in messages are relative to.
    """

    def __init__(self, shards: Sequence[Path], root: Path) -> None:
        self._shards = list(shards)
        self._names = [shard.relative_to(root).as_posix() for shard in shards]
        self._columns: list[list[str]] = []
        self._groups: list[tuple[int, int, int]] = []  # number of the first record, shard, group in it
        self._cache: OrderedDict[int, pa.Table] = OrderedDict()
        first = 0
        for index, shard in enumerate(self._shards):
            try:
                with pq.ParquetFile(shard) as file:
                    self._columns.append(known_columns(file.schema_arrow.names, str(shard)))
                    for group in range(file.num_row_groups):
                        self._groups.append((first, index, group))
                        first += file.metadata.row_group(group).num_rows
            except (pa.ArrowException, OSError) as error:
                raise DataError(f"{shard}: not a Parquet file ({error}); fetch it again") from error

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_cache": OrderedDict()}

    def __iter__(self) -> Iterator[Record]:
        number = 0
        for shard, name, columns in zip(self._shards, self._names, self._columns, strict=True):
            row = 0
            with pq.ParquetFile(shard, pre_buffer=False) as file:
                for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
                    for value in batch.to_pylist():
                        yield Record(number, f"{name}, row {row}", value)
                        number, row = number + 1, row + 1

    def value(self, number: int) -> Mapping[str, Any]:
        """One record; its row group stays in memory for the next ones."""
        index = bisect_right(self._groups, number, key=lambda group: group[0]) - 1
        first, shard, group = self._groups[index]
        if index not in self._cache:
            with pq.ParquetFile(self._shards[shard]) as file:
                self._cache[index] = file.read_row_group(group, columns=self._columns[shard])
            while len(self._cache) > 1 and sum(t.nbytes for t in self._cache.values()) > _CACHED_BYTES:
                self._cache.popitem(last=False)
        self._cache.move_to_end(index)
        value: Mapping[str, Any] = self._cache[index].slice(number - first, 1).to_pylist()[0]
        return value

    def folder(self, number: int) -> str:
        """Folder of the shard that holds a record."""
        index = bisect_right(self._groups, number, key=lambda group: group[0]) - 1
        return str(self._shards[self._groups[index][1]].parent)

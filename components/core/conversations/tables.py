"""Records in tables: Parquet files, and Hugging Face's `save_to_disk` folders, read without that package.

A table has a column `messages` or `conversations`: lists of structs, or JSON texts. Pictures are in `images`
or `image` (bytes, structs of bytes and path, or paths), or their ids in `image_ids` or `image_id`.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.core.conversations.base import Record
from components.core.conversations.media import OTHER_PICTURES, SOUND_AND_VIDEO
from components.core.stage.errors import DataError

STATE = "state.json"
SPLITS = "dataset_dict.json"
_TURNS = ("messages", "conversations")
_COLUMNS = (*_TURNS, "system", "images", "image", "image_ids", "image_id", *SOUND_AND_VIDEO, *OTHER_PICTURES)
_SPLIT = "train"
_BATCH_ROWS = 64
_CACHED_BYTES = 2**29


def _known_columns(names: Sequence[str], place: str) -> list[str]:
    """The columns that are read.

    Raises:
        DataError: there are no turns among them.
    """
    if not set(_TURNS) & set(names):
        raise DataError(
            f"{place}: no column {' or '.join(_TURNS)}, only {', '.join(names)}; rename the column of turns"
        )
    return [name for name in _COLUMNS if name in names]


class ParquetRecords:
    """Shards of one set.

    Pictures are read a row group at a time: small groups (100 rows, say) are read much faster in any order.

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
                    self._columns.append(_known_columns(file.schema_arrow.names, str(shard)))
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
        index = self._group_of(number)
        first, shard, group = self._groups[index]
        if index not in self._cache:
            with pq.ParquetFile(self._shards[shard]) as file:
                self._cache[index] = file.read_row_group(group, columns=self._columns[shard])
            while len(self._cache) > 1 and sum(t.nbytes for t in self._cache.values()) > _CACHED_BYTES:
                self._cache.popitem(last=False)
        self._cache.move_to_end(index)
        return _row(self._cache[index], number - first)

    @property
    def files(self) -> Sequence[Path]:
        """The shards."""
        return self._shards

    def folder(self, number: int) -> str:
        """Folder of the shard that holds a record."""
        return str(self._shards[self._groups[self._group_of(number)][1]].parent)

    def _group_of(self, number: int) -> int:
        return bisect_right(self._groups, number, key=lambda group: group[0]) - 1


class SavedRecords:
    """One saved dataset.

    `state.json` lists Arrow files in the streaming format. They are mapped into memory and not copied.

    Args:
        path: folder of the dataset, or of a saved `DatasetDict`, whose split `train` is read.
        root: what its name in messages is relative to.

    Raises:
        DataError: no split is called train, or the folder's state cannot be read.
    """

    def __init__(self, path: Path, root: Path) -> None:
        path = self.path = _split_folder(path)
        self._name = path.relative_to(root).as_posix() if path != root else path.name
        try:
            state = json.loads((path / STATE).read_text(encoding="utf-8"))
            self._files = [path / entry["filename"] for entry in state["_data_files"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: no readable {STATE} ({error}); save the set again") from error
        self._tables: list[tuple[int, pa.Table]] = []  # number of the first record, records

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_tables": []}

    def __iter__(self) -> Iterator[Record]:
        for first, table in self._opened():
            for start in range(0, table.num_rows, _BATCH_ROWS):
                for number, value in enumerate(table.slice(start, _BATCH_ROWS).to_pylist(), first + start):
                    yield Record(number, f"{self._name}, row {number}", value)

    def value(self, number: int) -> Mapping[str, Any]:
        """One record."""
        tables = self._opened()
        first, table = tables[bisect_right(tables, number, key=lambda entry: entry[0]) - 1]
        return _row(table, number - first)

    @property
    def files(self) -> Sequence[Path]:
        """The Arrow files."""
        return self._files

    def folder(self, number: int) -> str:
        """The dataset's folder."""
        return str(self.path)

    def _opened(self) -> list[tuple[int, pa.Table]]:
        """The mapped files; each process maps its own."""
        if not self._tables:
            tables, first = [], 0
            for file in self._files:
                try:
                    table = pa.ipc.open_stream(pa.memory_map(str(file))).read_all()
                except (pa.ArrowException, OSError) as error:
                    raise DataError(f"{file}: not an Arrow stream ({error}); save the set again") from error
                tables.append((first, table.select(_known_columns(table.column_names, str(file)))))
                first += table.num_rows
            self._tables = tables
        return self._tables


def _split_folder(path: Path) -> Path:
    """The folder to read of a saved dataset: itself, or the split `train` of a saved `DatasetDict`."""
    if not (path / SPLITS).is_file():
        return path
    try:
        splits = list(json.loads((path / SPLITS).read_text(encoding="utf-8"))["splits"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: no readable {SPLITS} ({error}); save the set again") from error
    if _SPLIT not in splits:
        names = ", ".join(map(str, splits))
        raise DataError(f"{path}: its splits are {names}; name the folder to train on, or call it {_SPLIT}")
    return path / _SPLIT


def _row(table: pa.Table, index: int) -> Mapping[str, Any]:
    row: Mapping[str, Any] = table.slice(index, 1).to_pylist()[0]
    return row

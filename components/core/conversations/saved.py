"""Directories that Hugging Face's `Dataset.save_to_disk` writes, read without that package.

`state.json` lists Arrow files in the streaming format; they are mapped into memory, so any row is at hand and none is
copied before it is asked for.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.core.conversations.base import Record
from components.core.conversations.parquet import known_columns
from components.core.stage.errors import DataError

STATE = "state.json"
SPLITS = "dataset_dict.json"
_SPLIT = "train"
_SLICE_ROWS = 64


def split_folder(path: Path) -> Path:
    """The folder to read of a saved dataset: itself, or the split `train` of a saved `DatasetDict`.

    Raises:
        DataError: there are splits and none is called train.
    """
    if not (path / SPLITS).is_file():
        return path
    splits = json.loads((path / SPLITS).read_text(encoding="utf-8")).get("splits", [])
    if _SPLIT not in splits:
        raise DataError(
            f"{path}: its splits are {', '.join(splits)}; name the folder of the one to train on, or call it {_SPLIT}"
        )
    return path / _SPLIT


class SavedRecords:
    """One saved dataset.

    Args:
        path: folder with `state.json`.
        root: what its name in messages is relative to.
    """

    def __init__(self, path: Path, root: Path) -> None:
        self.path = path
        self._name = path.relative_to(root).as_posix() if path != root else path.name
        try:
            state = json.loads((path / STATE).read_text(encoding="utf-8"))
            self._files = [path / entry["filename"] for entry in state["_data_files"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}: no readable {STATE} of save_to_disk ({error}); save the set again"
            ) from error
        self._tables: list[pa.Table] = []
        self._firsts: list[int] = []

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_tables": [], "_firsts": []}

    def __iter__(self) -> Iterator[Record]:
        self._open()
        for first, table in zip(self._firsts, self._tables, strict=True):
            for start in range(0, table.num_rows, _SLICE_ROWS):
                for offset, value in enumerate(table.slice(start, _SLICE_ROWS).to_pylist()):
                    number = first + start + offset
                    yield Record(number, f"{self._name}, row {number}", value)

    def value(self, number: int) -> Mapping[str, Any]:
        """One record."""
        self._open()
        index = bisect_right(self._firsts, number) - 1
        value: Mapping[str, Any] = self._tables[index].slice(number - self._firsts[index], 1).to_pylist()[0]
        return value

    def folder(self, number: int) -> str:
        """The dataset's folder."""
        return str(self.path)

    def _open(self) -> None:
        """Map the files; each process its own."""
        if self._tables:
            return
        tables: list[pa.Table] = []
        for file in self._files:
            try:
                table = pa.ipc.open_stream(pa.memory_map(str(file))).read_all()
            except (pa.ArrowException, OSError) as error:
                raise DataError(f"{file}: not an Arrow stream ({error}); save the set again") from error
            tables.append(table.select(known_columns(table.column_names, str(file))))
        rows = [table.num_rows for table in tables]
        self._firsts = [sum(rows[:index]) for index in range(len(rows))]
        self._tables = tables

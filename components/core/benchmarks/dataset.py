"""Datasets of table `benchmark`: the domain's held-out set and whatever was converted to it."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from components.core.benchmarks.base import Benchmark, BenchmarkItem
from components.core.data.dataset import Dataset

_COLUMNS = ("item_id", "image_group", "question", "answer", "answer_type", "choices", "category")
_CACHED_GROUPS = 16


class DatasetBenchmark(Benchmark):
    """A dataset of table `benchmark`; pictures are read one row group at a time, with a bounded cache."""

    format = "dataset"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        dataset = Dataset.open(path, "benchmark")
        self.digest = dataset.digest
        self._groups: list[tuple[int, Path, int]] = []  # first row, shard, number of the row group there
        self._cache: OrderedDict[int, list[bytes]] = OrderedDict()
        first = 0
        for shard in dataset.shards:
            with pq.ParquetFile(shard) as file:
                for number in range(file.num_row_groups):
                    self._groups.append((first, shard, number))
                    first += file.metadata.row_group(number).num_rows
        self.items = [_item(row, place) for place, row in enumerate(dataset.rows_iter(columns=_COLUMNS))]

    def load(self, picture: int) -> bytes:
        """Encoded picture of one row."""
        index = bisect_right(self._groups, picture, key=lambda group: group[0]) - 1
        first, shard, number = self._groups[index]
        if index not in self._cache:
            with pq.ParquetFile(shard) as file:
                self._cache[index] = file.read_row_group(number, columns=["image"]).column(0).to_pylist()
            if len(self._cache) > _CACHED_GROUPS:
                self._cache.popitem(last=False)
        self._cache.move_to_end(index)
        return self._cache[index][picture - first]


def _item(row: dict[str, Any], place: int) -> BenchmarkItem:
    return BenchmarkItem(
        item_id=row["item_id"],
        question=row["question"],
        answer=row["answer"],
        image_group=row["image_group"] or row["item_id"],
        pictures=(place,),
        choices=tuple(row["choices"] or ()),
        answer_type=row["answer_type"],
        category=row["category"] or "",
    )

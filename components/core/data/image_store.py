"""Image bytes by id: rows carry `image_id`, pixels live once in the ingest dataset and are read on demand."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from pathlib import Path

import pyarrow.parquet as pq

from components.core.data.dataset import Dataset
from components.core.stage.errors import DataError


class BytesColumn:
    """One column of a dataset by row number, read one row group at a time, with a bounded cache.

    Picklable: worker processes of a data loader open their own files.
    """

    def __init__(self, dataset: Dataset, column: str, cached_groups: int) -> None:
        self._column, self._cached_groups = column, cached_groups
        self._cache: OrderedDict[int, list[bytes]] = OrderedDict()
        self._groups: list[tuple[int, Path, int]] = []  # first row, shard, number of the row group in it
        first = 0
        for shard in dataset.shards:
            with pq.ParquetFile(shard) as file:
                for number in range(file.num_row_groups):
                    self._groups.append((first, shard, number))
                    first += file.metadata.row_group(number).num_rows

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_cache": OrderedDict()}

    def __getitem__(self, row: int) -> bytes:
        index = bisect_right(self._groups, row, key=lambda group: group[0]) - 1
        first, shard, number = self._groups[index]
        if index not in self._cache:
            with pq.ParquetFile(shard) as file:
                self._cache[index] = file.read_row_group(number, columns=[self._column]).column(0).to_pylist()
            if len(self._cache) > self._cached_groups:
                self._cache.popitem(last=False)
        self._cache.move_to_end(index)
        return self._cache[index][row - first]


class ImageStore:
    """Random access to the bytes of an `images` dataset; picklable."""

    def __init__(self, dataset: Dataset, cached_groups: int = 64) -> None:
        self.path: Path = dataset.path
        self._bytes = BytesColumn(dataset, "bytes", cached_groups)
        ids = (row["image_id"] for row in dataset.rows_iter(columns=("image_id",)))
        self._rows: dict[str, int] = {image_id: row for row, image_id in enumerate(ids)}

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._rows

    def get(self, image_id: str) -> bytes:
        """Encoded bytes of one image.

        Raises:
            DataError: no such image.
        """
        if image_id not in self._rows:
            raise DataError(f"image {image_id} is not in {self.path}")
        return self._bytes[self._rows[image_id]]

"""Image bytes by id: rows carry `image_id`, pixels live once in the ingest dataset and are read on demand."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pyarrow.parquet as pq

from components.core.data.dataset import Dataset
from components.core.stage.errors import DataError


class ImageStore:
    """Random access to the bytes of an `images` dataset, one row group at a time, with a bounded cache.

    Picklable: worker processes of a data loader open their own files.
    """

    def __init__(self, dataset: Dataset, cached_groups: int = 64) -> None:
        self.path: Path = dataset.path
        self._shards = dataset.shards
        self._cached_groups = cached_groups
        self._cache: OrderedDict[tuple[int, int], list[bytes]] = OrderedDict()
        self._location: dict[str, tuple[int, int, int]] = {}
        for shard_no, shard in enumerate(self._shards):
            with pq.ParquetFile(shard) as file:
                for group_no in range(file.num_row_groups):
                    ids = file.read_row_group(group_no, columns=["image_id"]).column(0).to_pylist()
                    self._location.update({key: (shard_no, group_no, row) for row, key in enumerate(ids)})

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_cache": OrderedDict()}

    def __len__(self) -> int:
        return len(self._location)

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._location

    def get(self, image_id: str) -> bytes:
        """Encoded bytes of one image.

        Raises:
            DataError: no such image.
        """
        if image_id not in self._location:
            raise DataError(f"image {image_id} is not in {self.path}")
        shard_no, group_no, row = self._location[image_id]
        key = (shard_no, group_no)
        if key not in self._cache:
            with pq.ParquetFile(self._shards[shard_no]) as file:
                self._cache[key] = file.read_row_group(group_no, columns=["bytes"]).column(0).to_pylist()
            while len(self._cache) > self._cached_groups:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key][row]

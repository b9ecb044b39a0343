"""Datasets of table `benchmark`: the domain's held-out set and whatever was converted to it."""

from __future__ import annotations

from pathlib import Path

from components.core.benchmarks.base import BenchmarkItem, BenchmarkReader
from components.core.data.dataset import Dataset
from components.core.data.image_store import BytesColumn

_COLUMNS = ("item_id", "image_group", "question", "answer", "answer_type", "choices", "category")


class DatasetReader(BenchmarkReader):
    """A dataset of table `benchmark`; a picture's place is the number of its row."""

    format = "dataset"
    fallback_kind = "agreement"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        dataset = Dataset.open(path, "benchmark")
        self.digest = dataset.digest
        self._images = BytesColumn(dataset, "image", cached_groups=16)
        self.items = [
            BenchmarkItem(
                item_id=row["item_id"],
                question=row["question"],
                answer=row["answer"],
                image_group=row["image_group"] or row["item_id"],
                pictures=(number,),
                choices=tuple(row["choices"] or ()),
                answer_type=row["answer_type"],
                category=row["category"] or "",
            )
            for number, row in enumerate(dataset.rows_iter(columns=_COLUMNS))
        ]

    def load(self, picture: int) -> bytes:
        """Encoded picture of one row."""
        return self._images[picture]

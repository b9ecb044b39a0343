"""General training data in people's formats (README.md): rows of the table `samples`, pictures by id.

Nothing heavy is imported: preflight reads general data by the same readers, before anything is paid for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from components.core.conversations.base import SOURCE, BadRecord, Ids, Records, Row
from components.core.conversations.json_files import JsonRecords
from components.core.conversations.pictures import FolderPictures
from components.core.conversations.sample_set import SampleSet
from components.core.conversations.tables import SPLITS, STATE, ParquetRecords, SavedRecords
from components.core.data.dataset import Dataset
from components.core.data.image_store import ImageStore
from components.core.data.manifest import MANIFEST_NAME
from components.core.stage.errors import DataError, NoInputError

_NOT_SAMPLES = (MANIFEST_NAME, STATE, SPLITS, "dataset_info.json", "dataset_infos.json")
_DEPTH = 2


@dataclass
class GeneralData:
    """Opened general data."""

    image_sets: list[Dataset] = field(default_factory=list)
    """Datasets of table `images`."""
    stores: Sequence[SampleSet | FolderPictures] = ()
    """The other pictures: bytes and sizes by id."""
    samples: Dataset | None = None
    """Dataset of table `samples`."""
    sets: Sequence[SampleSet] = ()

    def __iter__(self) -> Iterator[Row | BadRecord]:
        """Rows of the table `samples`, the sets one after the other; an unreadable record gives its fault.

        The rows' `source` is general; `set` names the set.
        """
        if self.samples is not None:
            return ({**row, "source": SOURCE, "set": row["source"]} for row in self.samples.rows_iter())
        return chain.from_iterable(self.sets)


def open_general(root: Path, *, verify: bool = True) -> GeneralData:
    """Open general data.

    Args:
        root: a folder, or a file whose records hold their pictures themselves.
        verify: check the datasets' checksums.

    Raises:
        NoInputError: the root is missing.
        DataError: it holds no set of a known format, or a file is not of its format.
    """
    if not root.exists():
        raise NoInputError(f"{root}: no such general data; check preflight.general_data")
    if is_dataset(root):
        images = Dataset.open(root / "images", "images", verify=verify)
        return GeneralData([images], samples=Dataset.open(root / "samples", "samples", verify=verify))
    beside = root / "images"
    image_sets = [Dataset.open(beside, "images", verify=verify)] if (beside / MANIFEST_NAME).is_file() else []
    known: Ids = ImageStore(image_sets[0]) if image_sets else frozenset[str]()
    folder = FolderPictures(root if root.is_dir() else None)
    found = list(_sets(root, root if root.is_dir() else root.parent, _DEPTH))
    if not found:
        raise DataError(
            f"{root}: no training samples; give datasets images/ and samples/, .jsonl, .json or .parquet "
            "files, or what save_to_disk wrote"
        )
    names = [name for name, _ in found]
    if len(set(names)) < len(names):
        raise DataError(f"{root}: two sets have the same name among {', '.join(names)}; rename one")
    sets = [SampleSet(name, records, folder, known) for name, records in found]
    return GeneralData(image_sets, [*sets, folder], None, sets)


def is_dataset(root: Path) -> bool:
    """Whether a folder has the two folders of this project's datasets."""
    return (root / "samples").is_dir() and (root / "images").is_dir()


def _sets(place: Path, root: Path, depth: int) -> Iterator[tuple[str, Records]]:
    """Name and records of every set at a place and below, by name; hidden files are not looked at."""
    if place.is_file():
        if place.suffix.lower() == ".parquet":
            yield place.name, ParquetRecords([place], root)
        elif place.suffix.lower() in (".jsonl", ".json") and place.name not in _NOT_SAMPLES:
            name = place.relative_to(root).as_posix()
            yield name, JsonRecords(place, name)
        return
    name = place.relative_to(root).as_posix() if place != root else place.name
    if (place / STATE).is_file() or (place / SPLITS).is_file():
        yield name, SavedRecords(place, root)
        return
    if (place / MANIFEST_NAME).is_file():
        return
    inside = _inside(place)
    shards = [
        place / item for item, is_folder in inside if item.lower().endswith(".parquet") and not is_folder
    ]
    if shards:
        yield name, ParquetRecords(_training(shards), root)
    for item, is_folder in inside:
        if (is_folder and depth) or (not is_folder and item.lower().endswith((".json", ".jsonl"))):
            yield from _sets(place / item, root, depth - 1)


def _inside(place: Path) -> list[tuple[str, bool]]:
    """Names in a folder and whether each is a folder, sorted; none of one that may not be read."""
    try:
        # scandir tells files from folders without a question for each of a million pictures.
        with os.scandir(place) as found:
            return sorted((e.name, e.is_dir()) for e in found if not e.name.startswith("."))
    except PermissionError:  # `lost+found`, say; preflight tells of it (`left_out`)
        return []


def _training(shards: list[Path]) -> list[Path]:
    """The shards of the split `train`, if names begin with their split as on Hugging Face's hub."""
    return [shard for shard in shards if shard.name.startswith("train-")] or shards

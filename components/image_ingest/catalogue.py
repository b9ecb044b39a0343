"""Images of earlier runs: what they took is not taken again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from components.core.data.dataset import Dataset
from components.core.data.pins import fingerprint, split_pin
from components.core.stage.errors import DataError
from components.image_ingest.embeddings import Encoder, kept_vectors
from components.image_ingest.phash import to_unsigned
from components.image_ingest.selection import Chooser

_ROWS = 256


def open_catalogue(references: Sequence[str]) -> list[Dataset]:
    """The datasets of earlier runs.

    Raises:
        NoInputError, DataError: one is missing, damaged, or not what its pin says.
    """
    datasets = []
    for reference in references:
        path, pinned = split_pin(reference)
        dataset = Dataset.open(path, "images")
        if pinned and fingerprint(path) != pinned:
            raise DataError(f"{path}: not the dataset that image_ingest.catalogue pins; pin it again")
        datasets.append(dataset)
    return datasets


def add_catalogue(
    chooser: Chooser, datasets: Sequence[Dataset], encoder: Encoder | None, hashed: bool, work: Path
) -> int:
    """Tell the chooser of every image of the catalogue.

    Args:
        chooser: compares by hash if `hashed`, and by embedding if there is an encoder.
        datasets: images of earlier runs, read a batch at a time; their bytes only for the encoder.
        encoder: embeds them, each dataset's images once.
        hashed: whether perceptual hashes are compared.
        work: directory that keeps embeddings for a restart.

    Returns:
        The number of images.
    """
    count = 0
    columns = ["image_id", "phash", *(["bytes"] if encoder else [])]
    for dataset in datasets:
        for number, batch in enumerate(dataset.iter_batches(columns, _ROWS)):
            rows: list[np.ndarray] = []
            if hashed:
                rows.append(to_unsigned(batch["phash"].to_numpy()))
            if encoder:
                path = work / f"catalogue-{dataset.digest[:16]}-{number:06d}.npy"
                rows.append(kept_vectors(path, _values(batch["bytes"]), encoder))
            ids = [bytes.fromhex(id_) for id_ in batch["image_id"].to_pylist()]
            chooser.add_known(ids, rows)
            count += len(ids)
    return count


def _values(column: pa.Array) -> list[bytes]:
    return [value.as_py() for value in column]

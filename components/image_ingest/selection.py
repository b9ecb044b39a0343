"""Selection of pictures: no repeats, none of an earlier run, a replay sample of those seen before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from components.core.data.dataset import Dataset
from components.core.data.pins import fingerprint, split_pinned_uri
from components.core.sources.copies import local_copy
from components.core.stage.context import StageContext
from components.core.stage.errors import DataError
from components.image_ingest.config import OFF, Config
from components.image_ingest.draws import read_seen
from components.image_ingest.duplicates.chooser import Chooser, Repeat
from components.image_ingest.duplicates.embeddings import VectorIndex, VisionEncoder, kept_vectors
from components.image_ingest.duplicates.near_duplicates import HashIndex
from components.image_ingest.duplicates.nearness import Nearness
from components.image_ingest.duplicates.phash import to_unsigned
from components.image_ingest.entry import Entry, Reason, Source
from components.image_ingest.rows import contents
from components.image_ingest.sources.listing import Listing

_CATALOGUE_ROWS = 256


class Selection:
    """Compares pictures with earlier ones in every way that the settings name.

    Raises:
        NoInputError, DataError: the encoder, a catalogue or the list of seen pictures is missing or damaged.
    """

    def __init__(self, config: Config, ctx: StageContext, source: Source, listing: Listing) -> None:
        self._source, self._listing = source, listing
        self._hashed = config.near_duplicate_bits != OFF
        self._encoder = VisionEncoder(config.embedding) if config.embedding.encoder else None
        measures: list[Nearness] = [HashIndex(config.near_duplicate_bits)] if self._hashed else []
        if self._encoder:
            measures.append(VectorIndex(self._encoder.dimension, config.embedding.min_cosine))
        self._chooser = Chooser(measures)
        catalogue = open_catalogue(config.catalogue)
        ctx.provenance["catalogue"] = [dataset.digest for dataset in catalogue]
        self._vectors = ctx.work.dir("embeddings") if self._encoder else ctx.work.path
        self.known = sum(map(self._add_known, catalogue))
        """Images of the catalogue."""
        self._seen = read_seen(ctx.params["seen"], config.replay_share)
        self.replayed = 0
        """Pictures that the promoted model has seen and that were taken again."""

    def _add_known(self, dataset: Dataset) -> int:
        """Remember the images of an earlier run; returns their number. Only the encoder needs their bytes."""
        columns = ["image_id", "phash", *(["bytes"] if self._encoder else [])]
        for number, batch in enumerate(dataset.iter_batches(columns, _CATALOGUE_ROWS)):
            rows = [to_unsigned(batch["phash"].to_numpy())] if self._hashed else []
            if self._encoder:
                path = self._vectors / f"catalogue-{dataset.digest[:16]}-{number:06d}.npy"
                rows.append(kept_vectors(path, (value.as_py() for value in batch["bytes"]), self._encoder))
            self._chooser.add_known([bytes.fromhex(id_) for id_ in batch["image_id"].to_pylist()], rows)
        return dataset.rows

    def choose(
        self, number: int, entries: list[Entry], findings: pa.Table
    ) -> tuple[np.ndarray, dict[int, Repeat]]:
        """The rows of a chunk that stay, (n,) int64, and the images of it that do not, by row."""
        good = np.flatnonzero(np.array(findings["reason"].to_pylist()) == "")
        images = findings.take(good)
        rows = [to_unsigned(images["phash"].to_numpy())] if self._hashed else []
        if self._encoder:
            path = self._vectors / f"{self._listing.digest[:16]}-{number:07d}.npy"
            data = contents(self._source, [entries[row] for row in good], images)
            rows.append(kept_vectors(path, data, self._encoder))
        ids = [bytes.fromhex(id_) for id_ in images["image_id"].to_pylist()]
        found = self._chooser.choose(ids, rows, number * self._listing.chunk_files + good)
        for row, id_ in enumerate(ids):
            if row in found or id_.hex() not in self._seen.ids:
                continue
            if self._seen.replays(id_.hex()):
                self.replayed += 1
            else:
                found[row] = Repeat(Reason.KNOWN, self._chooser.member(id_), "seen by the promoted model")
        return np.delete(good, list(found)), {int(good[row]): repeat for row, repeat in found.items()}

    def describe(self, repeat: Repeat) -> str:
        """The image that another repeats: its id, its entry in the source, and how near the two are."""
        position = self._chooser.position(repeat.member)
        source = f"source={self._listing.name(position)}" if position >= 0 else ""
        parts = (f"image_id={self._chooser.image_id(repeat.member)}", source, repeat.how)
        return " ".join(part for part in parts if part)


def open_catalogue(references: Sequence[str]) -> list[Dataset]:
    """The datasets of earlier runs.

    Raises:
        NoInputError, DataError: one is missing, damaged, or differs from its pin.
    """
    datasets = []
    for reference in references:
        uri, pinned = split_pinned_uri(reference)
        path = local_copy(uri)
        datasets.append(Dataset.open(path, "images"))
        if pinned and fingerprint(path) != pinned:
            raise DataError(f"{path}: not the dataset that image_ingest.catalogue pins; pin it again")
    return datasets

"""Decoding and hashing, in parallel: chunk by chunk, each chunk's findings committed to a file.

A chunk file holds facts about its pictures, and bytes only where they differ from the source's. It exists
whole or not at all; a killed scan continues with the missing ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from components.core.data.files import atomic_file
from components.core.data.mapping import map_tasks
from components.image_ingest.checks.decontaminate import BenchmarkImages
from components.image_ingest.checks.verify import Stored, too_large, verify
from components.image_ingest.config import Config
from components.image_ingest.duplicates.phash import phash, to_signed
from components.image_ingest.entry import Entry, Reason, Rejection, Source
from components.image_ingest.sources.listing import Listing

FINDINGS = pa.schema(
    [
        ("reason", pa.string()),  # "" where the entry is an image
        ("detail", pa.string()),
        ("image_id", pa.string()),
        ("bytes", pa.large_binary()),  # null where the stored bytes are the source's
        ("format", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("phash", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Scan:
    """The data that every worker needs."""

    source: Source
    listing: Listing
    folder: Path
    """Where findings are committed."""
    config: Config
    benchmarks: BenchmarkImages


def scan(job: Scan) -> Iterator[pa.Table]:
    """The findings of every chunk of the listing, in its order; missing ones are scanned.

    Raises:
        StageError: a worker process died, or the source cannot be reached. Finished chunks are kept.
    """
    for path in map_tasks(scan_chunk, range(job.listing.chunks), job, job.config.engine):
        with pa.memory_map(str(path)) as file:  # columns that are not touched are not read
            yield pa.ipc.open_file(file).read_all()


def scan_chunk(job: Scan, number: int) -> Path:
    """Decode and hash one chunk of entries; commits and returns its findings file."""
    path = job.folder / f"{number:07d}.arrow"
    if path.exists():
        return path
    rows = list(_findings(job, job.listing.read(number)))
    with atomic_file(path) as temporary, pa.ipc.new_file(str(temporary), FINDINGS) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema=FINDINGS))
    return path


def _findings(job: Scan, entries: list[Entry]) -> Iterator[dict[str, object]]:
    rejections = [entry.rejection or too_large(entry.size, job.config) for entry in entries]
    pairs = zip(entries, rejections, strict=True)
    contents = iter(job.source.read([entry for entry, rejection in pairs if rejection is None]))
    for rejection in rejections:
        content = rejection or next(contents)
        outcome = content if isinstance(content, Rejection) else verify(content, job.config)
        if isinstance(outcome, Stored):  # its decoded pixels are freed before the next picture
            yield _facts(job, outcome)
        else:
            yield {"reason": outcome.reason.value, "detail": outcome.detail}


def _facts(job: Scan, image: Stored) -> dict[str, object]:
    hash_ = phash(image.thumbnail)
    if found := job.benchmarks.find(image, hash_[0], job.config.decontamination_bits):
        return {"reason": Reason.IN_BENCHMARK.value, "detail": found}
    return {
        "reason": "",
        "detail": "",
        "image_id": image.image_id,
        "bytes": image.data if image.changed else None,
        "format": image.format,
        "width": image.width,
        "height": image.height,
        "phash": int(to_signed(hash_)[0]),
    }

"""Pass 1, in parallel: decode and hash files, chunk by chunk, each chunk's findings committed to a file.

A chunk file holds facts about its files, not their pixels: bytes are kept only where they differ from the source's,
so the work directory stays small. A chunk file exists whole or not at all; a killed scan continues with the missing ones.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from components.core.errors import StageError
from components.image_ingest.config import Config
from components.image_ingest.decontaminate import BenchmarkImages
from components.image_ingest.folder import SourceFile
from components.image_ingest.phash import phash, to_signed
from components.image_ingest.reasons import Reason
from components.image_ingest.verify import Refused, Stored, verify

FINDINGS = pa.schema(
    [
        ("name", pa.string()),  # relative path of the source file
        ("reason", pa.string()),  # "" where the file is an image
        ("detail", pa.string()),
        ("image_id", pa.string()),
        ("bytes", pa.large_binary()),  # null where the stored bytes are the file's
        ("format", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("phash", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Scan:
    """What every worker needs to know."""

    root: Path
    chunks: Path
    config: Config
    benchmarks: BenchmarkImages

    def chunk_path(self, number: int) -> Path:
        """Where the findings of a chunk lie once they are complete."""
        return self.chunks / f"{number:07d}.arrow"


def scan(job: Scan, files: list[SourceFile]) -> Iterator[Path]:
    """Yield the findings file of every chunk, in file order, scanning those that do not exist yet.

    Raises:
        StageError: a worker process died, e.g. for lack of memory. What was finished is kept.
    """
    size = job.config.chunk_files
    chunks = [files[start : start + size] for start in range(0, len(files), size)]
    workers = min(job.config.workers or usable_cores(), len(chunks))
    if workers <= 1:
        yield from (scan_chunk(job, number, chunk) for number, chunk in enumerate(chunks))
        return
    # Not fork: the parent may hold threads, of Arrow for one, and a forked lock stays locked.
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(job,)) as pool:
        try:
            yield from pool.map(_scan_here, range(len(chunks)), chunks)
        except BrokenProcessPool as error:
            raise StageError(
                "a decoding process was killed, probably for lack of memory; run again, with fewer workers"
            ) from error


def usable_cores() -> int:
    """Cores this process may run on, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0))


_job: Scan


def _start_worker(job: Scan) -> None:
    global _job
    _job = job


def _scan_here(number: int, files: list[SourceFile]) -> Path:
    return scan_chunk(_job, number, files)


def scan_chunk(job: Scan, number: int, files: list[SourceFile]) -> Path:
    """Decode and hash one chunk of files; commits and returns its findings file."""
    path = job.chunk_path(number)
    if path.exists():
        return path
    rows = _findings(job, files)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_file(file, FINDINGS) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema=FINDINGS))
    os.replace(temporary, path)
    return path


def read_findings(path: Path) -> pa.Table:
    """The findings of one chunk, memory-mapped: columns that are not touched are not read."""
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


def _findings(job: Scan, files: list[SourceFile]) -> list[dict[str, object]]:
    rows = []
    for file in files:
        outcome = _verify_file(job.root / file.name, file.size, job.config)
        row: dict[str, object] = {"name": file.name, "reason": "", "detail": ""}
        if isinstance(outcome, Refused):
            row |= {"reason": outcome.reason.value, "detail": outcome.detail}
        else:
            row |= _facts(job, outcome)
        rows.append(row)  # decoded pixels end here: one picture at a time is in memory
    return rows


def _facts(job: Scan, image: Stored) -> dict[str, object]:
    hash_ = phash(image.thumbnail[None])
    found = job.benchmarks.find(image.pixels, hash_[0], job.config.decontamination_bits)
    if found is not None:
        return {"reason": Reason.IN_BENCHMARK.value, "detail": found}
    return {
        "image_id": image.image_id,
        "bytes": image.data if image.changed else None,
        "format": image.format,
        "width": image.width,
        "height": image.height,
        "phash": int(to_signed(hash_)[0]),
    }


def _verify_file(path: Path, size: int, config: Config) -> Stored | Refused:
    if size > config.max_file_bytes:
        return Refused(Reason.TOO_LARGE_FILE, f"{size} bytes, limit {config.max_file_bytes}")
    try:
        data = path.read_bytes()
    except OSError as error:
        return Refused(Reason.UNREADABLE, f"{type(error).__name__}: {error.strerror}")
    return verify(data, config)

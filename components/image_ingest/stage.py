"""The image_ingest stage: a folder of files to the `images` table, with every file accounted for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from components.core.config import canonical_json, sha256_hex
from components.core.errors import DataError, NoInputError, StageError
from components.core.manifest import Dataset
from components.core.pins import split_pin
from components.core.runner import StageContext, StageIO
from components.image_ingest.config import Config
from components.image_ingest.decontaminate import BenchmarkImages, collect
from components.image_ingest.folder import SourceFile, list_files
from components.image_ingest.phash import to_unsigned
from components.image_ingest.reasons import Reason
from components.image_ingest.report import SAMPLES, thumbnail, write_report
from components.image_ingest.scan import Scan, read_findings, scan
from components.image_ingest.selection import Repeat, repeats
from components.image_ingest.split import split_of

IO = StageIO(params=("source", "benchmarks"), outputs=("images", "rejected"))


def run(config: Config, ctx: StageContext) -> None:
    """Scan the folder (pass 1), choose among the images (pass 2), write what stays and what does not.

    Raises:
        NoInputError: the folder is missing or holds no file.
        DataError: no image is left.
    """
    root, _ = split_pin(ctx.params["source"])
    files, links = list_files(root)
    if not files:
        raise NoInputError(f"{root}: holds no files; put images there or change preflight.images")
    ctx.log.info("found %d files in %s", len(files), root)
    job = Scan(root, _chunk_folder(ctx, files), config, _benchmark_images(config, ctx))
    total = -(-len(files) // config.chunk_files)
    chunks = list(ctx.progress(scan(job, files), total=total, desc="decode and hash"))

    verdict = _choose(chunks, config)
    outcome = _Outcome(root, config, verdict, kept_total=len(files) - len(verdict))
    outcome.reject([_rejected(name, Reason.UNREADABLE, "a link that leaves the folder") for name in links])
    if not outcome.kept_total:
        counts = Counter(row["reason"] for row in verdict.values())
        raise DataError(f"{root}: none of {len(files)} files is usable: {dict(counts.most_common())}")
    with ctx.writer("images", table="images") as images, ctx.writer("rejected", table="rejected") as rejected:
        rejected.write(outcome.rejected)
        position = 0
        for path in ctx.progress(chunks, total=total, desc="write"):
            findings = read_findings(path)
            kept, out = outcome.split(findings, position)
            images.write(kept)
            rejected.write(out)
            position += findings.num_rows
    counts = outcome.counts
    ctx.metrics |= {"files": len(files) + len(links), "kept": counts["train"] + counts["heldout"]}
    ctx.metrics |= {"heldout": counts["heldout"], "rejected": len(outcome.rejected)}
    ctx.metrics |= {
        f"rejected_{reason.value}": counts[reason.value] for reason in Reason if counts[reason.value]
    }
    ctx.log.info("kept %d of %d files", ctx.metrics["kept"], ctx.metrics["files"])
    if not counts["heldout"] and config.heldout_fraction:
        ctx.log.warning(
            "no image is held out: too few images for heldout_fraction %g", config.heldout_fraction
        )
    write_report(ctx.report, counts, outcome.sides, outcome.samples, outcome.rejected)


def _chunk_folder(ctx: StageContext, files: list[SourceFile]) -> Path:
    """Findings belong to one listing: a folder that changed under an unpinned path starts afresh."""
    listing = sha256_hex(canonical_json([[file.name, file.size, file.mtime_ns] for file in files]))
    return ctx.work.dir(f"scan-{listing[:16]}")


def _benchmark_images(config: Config, ctx: StageContext) -> BenchmarkImages:
    def images() -> Iterator[tuple[str, bytes]]:
        for benchmark in json.loads(ctx.params["benchmarks"] or "[]"):
            path, _ = split_pin(benchmark["ref"])
            dataset = Dataset.open(path, "benchmark")
            for row in dataset.rows_iter(["item_id", "image"], batch_rows=64):
                yield f"benchmark={benchmark['name']} item={row['item_id']}", row["image"]

    found, skipped = collect(images(), config)
    for name in skipped[:5]:
        ctx.log.warning("not compared with the images: %s", name)
    ctx.log.info(
        "benchmark images to keep out", extra={"distinct": len(found.names), "not_compared": len(skipped)}
    )
    return found


def _choose(chunks: list[Path], config: Config) -> dict[int, dict[str, str]]:
    """The rejected row of every file that does not stay, by position in the listing."""
    columns = ["name", "reason", "detail", "image_id", "phash"]
    facts = pa.concat_tables(read_findings(path).select(columns) for path in chunks)
    names, reasons, details = (facts[column].to_pylist() for column in columns[:3])
    out = {i: _rejected(names[i], Reason(reasons[i]), details[i]) for i in range(len(names)) if reasons[i]}
    good = np.array([i for i in range(len(names)) if not reasons[i]], dtype=np.int64)
    ids = facts["image_id"].take(good).to_pylist()
    hashes = to_unsigned(facts["phash"].take(good).to_numpy())
    for position, repeat in repeats(ids, hashes, config.near_duplicate_bits).items():
        name = names[good[position]]
        out[int(good[position])] = _rejected(
            name, repeat.reason, _of(repeat, ids, [names[i] for i in good[[repeat.first]]])
        )
    return out


def _of(repeat: Repeat, ids: list[str], source: list[str]) -> str:
    distance = f" distance={repeat.distance}" if repeat.reason is Reason.NEAR_DUPLICATE else ""
    return f"image_id={ids[repeat.first]} source={source[0]}{distance}"


def _rejected(name: str, reason: Reason, detail: str) -> dict[str, str]:
    return {"id": name, "reason": reason.value, "detail": detail}


@dataclass
class _Outcome:
    """Splits findings into rows of the two output tables and keeps what the report shows."""

    root: Path
    config: Config
    verdict: dict[int, dict[str, str]]
    kept_total: int

    def __post_init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.sides: list[tuple[int, int]] = []
        self.samples: list[tuple[bytes, str]] = []
        self.rejected: list[dict[str, str]] = []
        self._step = max(1, self.kept_total // SAMPLES)

    def reject(self, rows: list[dict[str, str]]) -> list[dict[str, str]]:
        """Count rejected rows."""
        self.rejected += rows
        self.counts.update(row["reason"] for row in rows)
        return rows

    def split(self, findings: pa.Table, start: int) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
        """Rows of `images` and of `rejected` of one chunk whose first file has position `start`."""
        kept = []
        for row, fact in enumerate(findings.to_pylist()):
            if start + row not in self.verdict:
                kept.append(self._image(fact))
        here = [self.verdict[i] for i in range(start, start + findings.num_rows) if i in self.verdict]
        return kept, self.reject(here)

    def _image(self, fact: dict[str, Any]) -> dict[str, Any]:
        path = self.root / fact["name"]
        data = fact["bytes"]
        if data is None:
            data = path.read_bytes()
            if sha256_hex(data) != fact["image_id"]:
                raise StageError(
                    f"{path}: changed while the stage ran; run it again when the folder is at rest"
                )
        split = split_of(fact["image_id"], self.config.heldout_fraction)
        if len(self.sides) % self._step == 0 and len(self.samples) < SAMPLES:
            self.samples.append((thumbnail(data), f"{fact['name']} {fact['width']}x{fact['height']} {split}"))
        self.counts[split] += 1
        self.sides.append((fact["width"], fact["height"]))
        return {
            **{key: fact[key] for key in ("image_id", "format", "width", "height", "phash")},
            "bytes": data,
            "source_uri": str(path),
            "split": split,
        }

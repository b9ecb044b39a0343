"""The image_ingest stage: a source of pictures to the `images` table, with every entry accounted for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from components.core.benchmarks import open_benchmark
from components.core.data.pins import split_pin, split_pinned_uri
from components.core.stage.context import StageContext
from components.core.stage.errors import DataError, NoInputError, StageError
from components.image_ingest.catalogue import add_catalogue, open_catalogue
from components.image_ingest.config import OFF, Config
from components.image_ingest.decontaminate import BenchmarkImages, collect
from components.image_ingest.embeddings import Encoder, VectorIndex, kept_vectors
from components.image_ingest.listing import write_listing
from components.image_ingest.near_duplicates import HashIndex
from components.image_ingest.outcome import Summary, contents, image_rows, rejected_rows
from components.image_ingest.phash import to_unsigned
from components.image_ingest.reasons import Reason
from components.image_ingest.report import write_report
from components.image_ingest.scan import Scan, scan
from components.image_ingest.seen import read_seen
from components.image_ingest.selection import Chooser, Nearness, Repeat
from components.image_ingest.sources import Entry, open_source


def run(config: Config, ctx: StageContext) -> None:
    """List the source, then decode, choose and write chunk by chunk: chunks are decoded ahead while others are written.

    Raises:
        NoInputError: the source is missing or holds no entry.
        DataError: no image is left, and none is known from earlier runs.
        StageError: nothing could be downloaded.
    """
    uri, _ = split_pinned_uri(ctx.params["source"])
    source = open_source(uri, config, ctx.work.path)
    listing = write_listing(source.entries(), ctx.work.path / "listing.arrow", config.chunk_files)
    if not listing.rows:
        raise NoInputError(f"{uri}: holds no pictures; put images there or change preflight.images")
    ctx.log.info("found %d entries in %s", listing.rows, uri)
    # Findings belong to one listing: a source that changed under an unpinned reference starts afresh.
    folder = ctx.work.dir(f"scan-{listing.digest[:16]}")
    job = Scan(source, listing, folder, config, _benchmark_images(config, ctx))
    selection = _Selection(config, ctx, job)
    summary = Summary()
    with ctx.writer("images", table="images") as images, ctx.writer("rejected", table="rejected") as rejected:
        chunks = ctx.progress(scan(job), total=listing.chunks, desc="decode, choose, write")
        for number, findings in enumerate(chunks):
            entries = listing.read(number)
            stays, repeats = selection.choose(number, entries, findings)
            kept = [entries[row] for row in stays]
            images.write(image_rows(source, kept, findings.take(stays), config.heldout_fraction, summary))
            out = rejected_rows(entries, findings, repeats, selection.describe)
            summary.reject(out)
            rejected.write(out)
        if not summary.kept and not summary.counts[Reason.KNOWN.value]:
            raise _nothing_left(uri, summary, folder)
    _tell(config, ctx, summary, selection)


def _benchmark_images(config: Config, ctx: StageContext) -> BenchmarkImages:
    def images() -> Iterator[tuple[str, bytes]]:
        for benchmark in json.loads(ctx.params["benchmarks"] or "[]"):
            path, _ = split_pin(benchmark["ref"])
            for item, data in open_benchmark(path, benchmark.get("format", "auto")).iter_images():
                yield f"benchmark={benchmark['name']} item={item}", data

    found, skipped = collect(images(), config)
    for name in skipped[:5]:
        ctx.log.warning("not compared with the images: %s", name)
    ctx.log.info(
        "benchmark images to keep out", extra={"distinct": len(found.names), "not_compared": len(skipped)}
    )
    return found


class _Selection:
    """Which images of a chunk stay, by everything the settings compare."""

    def __init__(self, config: Config, ctx: StageContext, job: Scan) -> None:
        self._job = job
        self._hashed = config.near_duplicate_bits != OFF
        self._encoder = Encoder(config.embedding) if config.embedding.encoder else None
        measures: list[Nearness] = [HashIndex(config.near_duplicate_bits)] if self._hashed else []
        if self._encoder:
            measures.append(VectorIndex(self._encoder.dimension, config.embedding.min_cosine))
        self._chooser = Chooser(measures)
        catalogue = open_catalogue(config.catalogue)
        ctx.provenance["catalogue"] = [dataset.digest for dataset in catalogue]
        self._vectors = ctx.work.dir("embeddings") if self._encoder else ctx.work.path
        self.known = add_catalogue(self._chooser, catalogue, self._encoder, self._hashed, self._vectors)
        self._seen = read_seen(ctx.params["seen"], config.replay_share)
        self.replayed = 0
        """Pictures that an earlier model has seen and that were taken again."""

    def choose(
        self, number: int, entries: list[Entry], findings: pa.Table
    ) -> tuple[np.ndarray, dict[int, Repeat]]:
        """The rows of a chunk that stay, (n,) int64, and the images of it that do not, by row."""
        good = np.flatnonzero(np.array(findings["reason"].to_pylist()) == "")
        images = findings.take(good)
        rows = [to_unsigned(images["phash"].to_numpy())] if self._hashed else []
        if self._encoder:
            path = self._vectors / f"{self._job.listing.digest[:16]}-{number:07d}.npy"
            data = contents(self._job.source, [entries[row] for row in good], images)
            rows.append(kept_vectors(path, data, self._encoder))
        ids = [bytes.fromhex(id_) for id_ in images["image_id"].to_pylist()]
        positions = number * self._job.listing.chunk_files + good
        found = self._chooser.choose(ids, rows, positions)
        for row, id_ in enumerate(ids):
            if row not in found and id_.hex() in self._seen:
                if self._seen.replays(id_.hex()):
                    self.replayed += 1
                else:
                    found[row] = Repeat(Reason.KNOWN, self._chooser.member(id_), "seen by the promoted model")
        stays = np.delete(good, list(found))
        return stays, {int(good[row]): repeat for row, repeat in found.items()}

    def describe(self, repeat: Repeat) -> str:
        """What an image repeats: the id of the one that stands for it, where that came from, and how near the two are."""
        position = self._chooser.position(repeat.member)
        source = f"source={self._job.listing.name(position)}" if position >= 0 else ""
        parts = (f"image_id={self._chooser.image_id(repeat.member)}", source, repeat.how)
        return " ".join(part for part in parts if part)


def _nothing_left(uri: str, summary: Summary, folder: Path) -> StageError:
    if set(summary.counts) == {Reason.DOWNLOAD_FAILED.value}:
        shutil.rmtree(folder)  # so that the next attempt asks again
        return StageError(
            f"{uri}: none of {summary.counts.total()} URLs could be downloaded; try again later"
        )
    counts = dict(summary.counts.most_common())
    return DataError(f"{uri}: none of {summary.counts.total()} entries is usable: {counts}")


def _tell(config: Config, ctx: StageContext, summary: Summary, selection: _Selection) -> None:
    counts = summary.counts
    new = summary.kept - selection.replayed
    enough = new >= config.min_new_images
    ctx.set_output("enough", "true" if enough else "false")
    ctx.metrics |= {"new": new, "replayed": selection.replayed, "enough": float(enough)}
    if not enough:
        told = f"{new} new pictures are fewer than min_new_images ({config.min_new_images}): nothing to train on yet."
        ctx.log.info(told)
        ctx.report.text(told)
    ctx.metrics |= {"files": counts.total(), "kept": summary.kept, "heldout": counts["heldout"]}
    ctx.metrics |= {"rejected": counts.total() - summary.kept, "catalogue": selection.known}
    ctx.metrics |= {"known": counts[Reason.KNOWN.value]}
    ctx.metrics |= {
        f"rejected_{reason.value}": counts[reason.value] for reason in Reason if counts[reason.value]
    }
    ctx.log.info(
        "kept %d new images of %d entries; %d are known", summary.kept, counts.total(), counts["known"]
    )
    if summary.kept and not counts["heldout"] and config.heldout_fraction:
        ctx.log.warning(
            "no image is held out: too few images for heldout_fraction %g", config.heldout_fraction
        )
    write_report(ctx.report, counts, summary.longer_sides, summary.samples, summary.rejected)

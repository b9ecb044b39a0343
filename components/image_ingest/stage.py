"""The image_ingest stage: a source of pictures to the `images` table, with every entry accounted for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from components.core.benchmarks import open_benchmark
from components.core.data.pins import split_pinned_uri
from components.core.sources.address import is_hub_uri
from components.core.sources.copies import local_copy
from components.core.stage.context import StageContext
from components.core.stage.errors import DataError, NoInputError, StageError
from components.image_ingest.checks.decontaminate import BenchmarkImages, collect
from components.image_ingest.checks.scan import Scan, scan
from components.image_ingest.config import Config
from components.image_ingest.entry import Reason
from components.image_ingest.report import Summary
from components.image_ingest.rows import image_rows, rejected_rows
from components.image_ingest.selection import Selection
from components.image_ingest.sources import open_source
from components.image_ingest.sources.listing import write_listing


def run(config: Config, ctx: StageContext) -> None:
    """List the source, then decode, choose and write chunk by chunk; later chunks are decoded meanwhile.

    Raises:
        NoInputError: the source is missing or holds no entry.
        DataError: no image is left, and none is known from earlier runs.
        StageError: nothing could be downloaded.
    """
    uri, _ = split_pinned_uri(ctx.params["source"])
    place = str(local_copy(ctx.params["source"])) if is_hub_uri(uri) else uri
    source = open_source(place, config, ctx.work.path)
    listing = write_listing(source.entries(), ctx.work.path / "listing.arrow", config.chunk_files)
    if not listing.rows:
        raise NoInputError(f"{uri}: holds no pictures; put images there or change preflight.images")
    ctx.log.info("found %d entries in %s", listing.rows, uri)
    # Findings belong to one listing: a source that changed under an unpinned reference starts afresh.
    folder = ctx.work.dir(f"scan-{listing.digest[:16]}")
    job = Scan(source, listing, folder, config, _benchmark_images(config, ctx))
    selection = Selection(config, ctx, source, listing)
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
            path = local_copy(benchmark["ref"])
            for item, data in open_benchmark(path, benchmark.get("format", "auto")).iter_images():
                yield f"benchmark={benchmark['name']} item={item}", data

    found, skipped = collect(images(), config)
    for name in skipped[:5]:
        ctx.log.warning("not compared with the images: %s", name)
    counts = {"distinct": len(found.names), "not_compared": len(skipped)}
    ctx.log.info("benchmark images to keep out", extra=counts)
    return found


def _nothing_left(uri: str, summary: Summary, folder: Path) -> StageError:
    total = summary.counts.total()
    if set(summary.counts) == {Reason.DOWNLOAD_FAILED.value}:
        shutil.rmtree(folder)  # so that the next attempt asks again
        return StageError(f"{uri}: none of {total} URLs could be downloaded; try again later")
    return DataError(f"{uri}: none of {total} entries is usable: {dict(summary.counts.most_common())}")


def _tell(config: Config, ctx: StageContext, summary: Summary, selection: Selection) -> None:
    """Set the output `enough`, the metrics and the report."""
    new = summary.kept - selection.replayed
    enough = new >= config.min_new_images
    ctx.set_output("enough", "true" if enough else "false")
    ctx.metrics |= {"new": new, "replayed": selection.replayed, "enough": float(enough)}
    ctx.metrics |= {"catalogue": selection.known, **summary.metrics()}
    if not enough:
        fewer = f"{new} new pictures are fewer than min_new_images ({config.min_new_images})"
        told = f"{fewer}: nothing to train on yet."
        ctx.log.info(told)
        ctx.report.text(told)
    counts, share = summary.counts, config.heldout_fraction
    told = "kept %d new images of %d entries; %d are known"
    ctx.log.info(told, summary.kept, counts.total(), counts["known"])
    if summary.kept and not counts["heldout"] and share:
        ctx.log.warning("no image is held out: too few images for heldout_fraction %g", share)
    summary.write(ctx.report)

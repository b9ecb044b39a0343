"""The stage's report: what came in, what stayed, what went out and why."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence

from PIL import Image

from components.core.stage.report import Report, figure_axes
from components.image_ingest.reasons import Reason

SHOWN_IMAGES = 12
SHOWN_REJECTED = 20
_THUMBNAIL_PX = 240


def thumbnail(data: bytes) -> bytes:
    """A small JPEG of a stored image."""
    with Image.open(io.BytesIO(data)) as image:
        small = image.convert("RGB")
    small.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def write_report(
    report: Report,
    counts: Counter[str],
    longer_sides: Sequence[int],
    samples: list[tuple[bytes, str]],
    rejected: list[dict[str, str]],
) -> None:
    """Fill the report.

    Args:
        counts: images by split ("train", "heldout") and rejections by reason.
        longer_sides: longer side of every kept image, px; empty where nothing was new.
        samples: (thumbnail, caption) of some kept images.
        rejected: the first rows of the rejected table.
    """
    kept = counts["train"] + counts["heldout"]
    total = sum(counts.values())
    report.text(
        f"{total:,} entries: {kept:,} images kept ({counts['train']:,} for training, {counts['heldout']:,} held out), "
        f"{total - kept:,} rejected, of which {counts['known']:,} are in the catalogue of earlier runs."
    )
    report.heading("Rejected, by reason")
    rows = [{"reason": r.value, "entries": counts[r.value]} for r in Reason if counts[r.value]]
    report.table(rows)
    if rejected:
        inner = Report("rejected")
        inner.table(rejected)
        report.details(f"The first {len(rejected)} rejected entries", inner)
    if not longer_sides:
        return
    report.heading("Kept images")
    figure, axes = figure_axes(height=2.6)
    axes.hist(longer_sides, bins=30, range=(0, max(longer_sides) * 1.1), color="#1f5fa8")
    axes.set_xlabel("longer side of the stored image, px")
    axes.set_ylabel("images")
    report.figure(figure, "Sizes of kept images")
    report.images(samples)

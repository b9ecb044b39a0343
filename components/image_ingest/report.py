"""The stage's report: what came in, what stayed, what went out and why."""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

from PIL import Image

from components.core.report import Report, figure_axes
from components.image_ingest.reasons import Reason

SAMPLES = 12
_SHOWN_REJECTED = 20
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
    sides: list[tuple[int, int]],
    samples: list[tuple[bytes, str]],
    rejected: list[dict[str, Any]],
) -> None:
    """Fill the report.

    Args:
        counts: images by split ("train", "heldout") and rejections by reason.
        sides: width and height of kept images.
        samples: (thumbnail, caption) of some kept images.
        rejected: some rows of the rejected table.
    """
    kept = counts["train"] + counts["heldout"]
    total = sum(counts.values())
    report.text(
        f"{total:,} files: {kept:,} images kept ({counts['train']:,} for training, {counts['heldout']:,} held out), "
        f"{total - kept:,} rejected."
    )
    report.heading("Rejected, by reason")
    rows = [{"reason": r.value, "files": counts[r.value]} for r in Reason if counts[r.value]]
    report.table(rows)
    if rejected:
        inner = Report("rejected")
        inner.table(rejected[:_SHOWN_REJECTED])
        report.details(f"The first {min(len(rejected), _SHOWN_REJECTED)} rejected files", inner)
    report.heading("Kept images")
    figure, axes = figure_axes(height=2.6)
    longest = [max(width, height) for width, height in sides]
    axes.hist(longest, bins=30, range=(0, max(longest) * 1.1), color="#1f5fa8")
    axes.set_xlabel("longer side of the stored image, px")
    axes.set_ylabel("images")
    report.figure(figure, "Sizes of kept images")
    report.images(samples)

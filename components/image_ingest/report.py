"""The stage's counts and its report: entries, kept images, rejected entries and why."""

from __future__ import annotations

import heapq
import io
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from components.core.pictures import decode
from components.core.stage.report import Report, histogram
from components.image_ingest.entry import Reason

_SHOWN_IMAGES = 12
_SHOWN_REJECTED = 20
_THUMBNAIL_PX = 240


@dataclass
class Summary:
    """Counts and examples of a run. Its size does not depend on the number of images."""

    counts: Counter[str] = field(default_factory=Counter)
    """Images by side of the split ("train", "heldout"), rejected entries by reason."""
    longer_sides: array[int] = field(default_factory=lambda: array("H"))
    """Longer side of every kept image, px."""
    rejected: list[dict[str, str]] = field(default_factory=list)
    """The first rejected rows."""
    _shown: list[tuple[str, int, bytes, str]] = field(default_factory=list)

    @property
    def kept(self) -> int:
        """Images that stay."""
        return self.counts["train"] + self.counts["heldout"]

    def keep(self, image_id: str, split: str, width: int, height: int, data: bytes, name: str) -> None:
        """Count a kept image; those of the highest ids, which are as good as drawn by lot, are shown."""
        self.counts[split] += 1
        self.longer_sides.append(min(max(width, height), 2**16 - 1))
        if len(self._shown) == _SHOWN_IMAGES and image_id < self._shown[0][0]:
            return
        item = (image_id, self.kept, _thumbnail(data), f"{name} {width}x{height} {split}")
        add = heapq.heappush if len(self._shown) < _SHOWN_IMAGES else heapq.heapreplace
        add(self._shown, item)

    def reject(self, rows: Sequence[dict[str, str]]) -> None:
        """Count rejected rows."""
        self.counts.update(row["reason"] for row in rows)
        self.rejected += rows[: _SHOWN_REJECTED - len(self.rejected)]

    def metrics(self) -> dict[str, float]:
        """The stage's metrics about entries."""
        total = self.counts.total()
        rejected = {f"rejected_{r.value}": self.counts[r.value] for r in Reason if self.counts[r.value]}
        return {
            "files": total,
            "kept": self.kept,
            "heldout": self.counts["heldout"],
            "rejected": total - self.kept,
            "known": self.counts[Reason.KNOWN.value],
            **rejected,
        }

    def write(self, report: Report) -> None:
        """Fill the report."""
        counts, kept, total = self.counts, self.kept, self.counts.total()
        split = f"{counts['train']:,} for training, {counts['heldout']:,} held out"
        known = f"of which {counts['known']:,} are in the catalogue of earlier runs"
        report.text(f"{total:,} entries: {kept:,} images kept ({split}), {total - kept:,} rejected, {known}.")
        report.heading("Rejected, by reason")
        report.table([{"reason": r.value, "entries": counts[r.value]} for r in Reason if counts[r.value]])
        if self.rejected:
            inner = Report("rejected")
            inner.table(self.rejected)
            report.details(f"The first {len(self.rejected)} rejected entries", inner)
        if not self.longer_sides:
            return
        report.heading("Kept images")
        labels = ("longer side of the stored image, px", "images")
        bins: dict[str, Any] = {"bins": 30, "range": (0, max(self.longer_sides) * 1.1)}
        histogram(report, self.longer_sides, "Sizes of kept images", labels=labels, height=2.6, **bins)
        in_order = sorted(self._shown, key=lambda item: item[1])
        report.images([(picture, caption) for _, _, picture, caption in in_order])


def _thumbnail(data: bytes) -> bytes:
    """A small JPEG of a stored image."""
    small = decode(data)
    small.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()

"""Findings and choices to rows of the two output tables, and to what metrics and report show."""

from __future__ import annotations

import heapq
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from components.core.data.hashing import sha256_hex
from components.core.data.tables import SCHEMAS
from components.core.stage.errors import StageError
from components.image_ingest.reasons import Refused
from components.image_ingest.report import SHOWN_IMAGES, SHOWN_REJECTED, thumbnail
from components.image_ingest.selection import Repeat
from components.image_ingest.sources import Entry, Source
from components.image_ingest.split import split_of


@dataclass
class Summary:
    """What is counted and shown of a run. Its size does not depend on the number of images."""

    counts: Counter[str] = field(default_factory=Counter)
    """Images by side of the split, rejected entries by reason."""
    longer_sides: array[int] = field(default_factory=lambda: array("H"))
    """Longer side of every kept image, px."""
    rejected: list[dict[str, str]] = field(default_factory=list)
    """The first rejected rows."""
    _shown: list[tuple[str, int, bytes, str]] = field(default_factory=list)

    @property
    def kept(self) -> int:
        """Images that stay."""
        return self.counts["train"] + self.counts["heldout"]

    @property
    def samples(self) -> list[tuple[bytes, str]]:
        """Thumbnail and caption of some kept images, in their order."""
        return [
            (picture, caption) for _, _, picture, caption in sorted(self._shown, key=lambda item: item[1])
        ]

    def keep(self, image_id: str, split: str, width: int, height: int, data: bytes, name: str) -> None:
        """Count a kept image; those of the highest ids, which are as good as drawn by lot, are shown."""
        self.counts[split] += 1
        self.longer_sides.append(min(max(width, height), 2**16 - 1))
        if len(self._shown) == SHOWN_IMAGES and image_id < self._shown[0][0]:
            return
        item = (image_id, self.kept, thumbnail(data), f"{name} {width}x{height} {split}")
        if len(self._shown) < SHOWN_IMAGES:
            heapq.heappush(self._shown, item)
        else:
            heapq.heapreplace(self._shown, item)

    def reject(self, rows: Sequence[dict[str, str]]) -> None:
        """Count rejected rows."""
        self.counts.update(row["reason"] for row in rows)
        self.rejected += rows[: SHOWN_REJECTED - len(self.rejected)]


def contents(source: Source, entries: Sequence[Entry], findings: pa.Table) -> Iterator[bytes]:
    """Stored bytes of images, one at a time: from the findings where they changed, else from the source.

    Raises:
        StageError: the source changed since it was scanned.
    """
    changed = findings["bytes"].is_valid().to_pylist()
    ids = findings["image_id"].to_pylist()
    read = iter(source.read([entry for entry, own in zip(entries, changed, strict=True) if not own]))
    for row, entry in enumerate(entries):
        if changed[row]:
            yield findings["bytes"][row].as_py()
            continue
        data = next(read)
        if isinstance(data, Refused) or sha256_hex(data) != ids[row]:
            raise StageError(
                f"{source.uri(entry)}: changed while the stage ran; run it again when the source is at rest"
            )
        yield data


def image_rows(
    source: Source, entries: Sequence[Entry], findings: pa.Table, heldout_fraction: float, summary: Summary
) -> pa.Table:
    """Rows of the `images` table.

    Args:
        entries: of the images that stay.
        findings: theirs.
    """
    ids = findings["image_id"].to_pylist()
    splits = [split_of(id_, heldout_fraction) for id_ in ids]
    widths, heights = findings["width"].to_pylist(), findings["height"].to_pylist()
    stored = []
    for row, data in enumerate(contents(source, entries, findings)):
        summary.keep(ids[row], splits[row], widths[row], heights[row], data, entries[row].name)
        stored.append(data)
    columns = {
        **{name: findings[name] for name in ("image_id", "format", "width", "height", "phash")},
        "bytes": pa.array(stored, pa.binary()),
        "source_uri": pa.array([source.uri(entry) for entry in entries], pa.string()),
        "split": pa.array(splits, pa.string()),
    }
    return pa.table({name: columns[name] for name in SCHEMAS["images"].names}, schema=SCHEMAS["images"])


def rejected_rows(
    entries: Sequence[Entry],
    findings: pa.Table,
    repeats: Mapping[int, Repeat],
    describe: Callable[[Repeat], str],
) -> list[dict[str, str]]:
    """Rows of the `rejected` table, in the entries' order.

    Args:
        repeats: images that others stand for, by row.
        describe: says what an image repeats.
    """
    reasons, details = findings["reason"].to_pylist(), findings["detail"].to_pylist()
    for row, repeat in repeats.items():
        reasons[row], details[row] = repeat.reason.value, describe(repeat)
    return [
        {"id": entry.name, "reason": reason, "detail": detail}
        for entry, reason, detail in zip(entries, reasons, details, strict=True)
        if reason
    ]

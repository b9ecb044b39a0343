"""Rows of the tables `images` and `rejected`, from findings and choices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import pyarrow as pa

from components.core.data.hashing import sha256_hex
from components.core.data.tables import SCHEMAS
from components.core.stage.errors import StageError
from components.image_ingest.draws import split_of
from components.image_ingest.duplicates.chooser import Repeat
from components.image_ingest.entry import Entry, Rejection, Source
from components.image_ingest.report import Summary


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
        if isinstance(data, Rejection) or sha256_hex(data) != ids[row]:
            told = "changed while the stage ran; run it again when the source is at rest"
            raise StageError(f"{source.uri(entry)}: {told}")
        yield data


def image_rows(
    source: Source, entries: Sequence[Entry], findings: pa.Table, heldout_fraction: float, summary: Summary
) -> pa.Table:
    """Rows of the `images` table for the images that stay; counted in the summary too."""
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
    schema = SCHEMAS["images"]
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def rejected_rows(
    entries: Sequence[Entry],
    findings: pa.Table,
    repeats: Mapping[int, Repeat],
    describe: Callable[[Repeat], str],
) -> list[dict[str, str]]:
    """Rows of the `rejected` table, in order; `repeats` are by row, `describe` gives their detail."""
    reasons, details = findings["reason"].to_pylist(), findings["detail"].to_pylist()
    for row, repeat in repeats.items():
        reasons[row], details[row] = repeat.reason.value, describe(repeat)
    return [
        {"id": entry.name, "reason": reason, "detail": detail}
        for entry, reason, detail in zip(entries, reasons, details, strict=True)
        if reason
    ]

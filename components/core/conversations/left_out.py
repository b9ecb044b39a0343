"""Files of general data that no set takes, with the reason: what is not trained on is said before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from components.core.data.manifest import MANIFEST_NAME

_PACKED = (".gz", ".tgz", ".bz2", ".xz", ".zst", ".lz4", ".zip", ".7z", ".tar")
_DATA = (
    ".parquet", ".json", ".jsonl", ".arrow", ".csv", ".tsv", ".txt", ".ndjson", ".xlsx", ".yaml", ".yml",
    ".pkl", ".npy", ".npz", ".h5", ".db", ".sqlite", ".tfrecord", ".avro", ".orc", ".feather",
)  # fmt: skip
_OF_A_DATASET = (MANIFEST_NAME, "state.json", "dataset_dict.json", "dataset_info.json", "dataset_infos.json")


def left_out(root: Path, taken: frozenset[Path]) -> Iterator[tuple[str, str]]:
    """Name and reason of every folder that cannot be read, and of every file of data that is not taken.

    Pictures are not named: records name those that they need. Hidden files are not looked at.

    Args:
        root: the folder of general data.
        taken: files of its sets.
    """
    unread: list[OSError] = []
    for folder, folders, names in os.walk(root, onerror=unread.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if MANIFEST_NAME in names:
            place = Path(folder).relative_to(root).as_posix()
            if place != "images":
                yield f"{place}/", "a dataset of this project; only images/ beside samples/ is read so"
            folders.clear()
            continue
        for name in sorted(names):
            path = Path(folder) / name
            if name.startswith(".") or name in _OF_A_DATASET or path in taken:
                continue
            if reason := _reason(name):
                yield path.relative_to(root).as_posix(), reason
    for error in unread:
        yield f"{Path(os.fsdecode(error.filename)).relative_to(root)}/", f"cannot be read ({error.strerror})"


def _reason(name: str) -> str:
    lower = name.lower()
    if lower.endswith(_PACKED):
        return "packed; unpack it"
    if lower.endswith((".parquet", ".json", ".jsonl", ".arrow")):
        return (
            "of another split, of another set's folder, or too deep below; move it if it is to be trained on"
        )
    if any(f"{ending}." in lower for ending in (".parquet", ".json", ".jsonl")):
        return "its ending hides what it is; rename it"
    return "no format that is read" if lower.endswith(_DATA) else ""

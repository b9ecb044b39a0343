"""Checks of the image folder, the benchmarks and the disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

from components.core.answers import AnswerType
from components.core.errors import ConfigError, DataError, NoInputError
from components.preflight.general_data import open_checked

_ANSWER_TYPES = get_args(AnswerType)
_SHOWN = 5


def check_images(root: Path, extensions: Sequence[str]) -> str:
    """The folder holds at least one file that is named like an image; stops at the first one.

    Raises:
        NoInputError: no such folder, or nothing in it that is named like an image.
    """
    if not root.is_dir():
        raise NoInputError(f"{root}: no such folder of images; check preflight.images")
    endings = tuple(ending.lower() for ending in extensions)
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and (not endings or name.lower().endswith(endings)):
                return f"first: {(Path(folder) / name).relative_to(root)}"
    wanted = f"no file that ends with {', '.join(endings)}" if endings else "no file"
    raise NoInputError(f"{root}: {wanted}; put images there or check preflight.images")


def check_benchmark(path: Path) -> str:
    """A dataset of table `benchmark` whose items can be scored.

    Raises:
        NoInputError: missing or empty.
        DataError: wrong schema, unknown answer types, choice items without choices, repeated item ids.
    """
    dataset = open_checked(path, "benchmark")
    seen: set[str] = set()
    problems: list[str] = []
    for row in dataset.rows_iter(["item_id", "answer_type", "choices", "answer"], batch_rows=4096):
        problem = ""
        if row["answer_type"] not in _ANSWER_TYPES:
            problem = f"answer_type '{row['answer_type']}'; known: {', '.join(_ANSWER_TYPES)}"
        elif row["answer_type"] == "choice" and not row["choices"]:
            problem = "answer_type 'choice' without choices"
        elif not row["answer"]:
            problem = "no answer"
        elif row["item_id"] in seen:
            problem = "item_id occurs twice"
        seen.add(row["item_id"])
        if problem:
            problems.append(f"item {row['item_id']}: {problem}")
    if problems:
        raise DataError(
            f"{path}: {len(problems)} of {dataset.rows} items are unusable:\n  "
            + "\n  ".join(problems[:_SHOWN])
        )
    return f"{dataset.rows:,} items"


def check_disk(paths: Iterable[Path], min_free_gib: float) -> str:
    """Every file system that the run writes to has room.

    Raises:
        ConfigError: one has less than `min_free_gib`.
    """
    free = {str(place): shutil.disk_usage(place).free / 2**30 for place in map(_existing, paths)}
    low = [f"{place} has {gib:.1f} GiB free" for place, gib in free.items() if gib < min_free_gib]
    if low:
        raise ConfigError(
            f"{'; '.join(low)}; free space up to {min_free_gib:g} GiB or lower preflight.min_free_disk_gib"
        )
    return f"{min(free.values()):.1f} GiB free"


def _existing(path: Path) -> Path:
    path = path.absolute()
    return path if path.exists() else _existing(path.parent)

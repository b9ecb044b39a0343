"""Checks of the image folder, the benchmarks and the disk."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import get_args

from components.core.answers import AnswerType
from components.core.benchmarks import Format, open_benchmark
from components.core.benchmarks.base import BenchmarkItem
from components.core.benchmarks.kinds import kind_for
from components.core.data.manifest import MANIFEST_NAME
from components.core.data.pins import local_path
from components.core.objects import is_object_uri, list_below, open_store
from components.core.stage.errors import ConfigError, DataError, NoInputError
from components.core.vlm.messages import numbered_images
from components.preflight.config import BenchmarkSource
from components.preflight.general_data import open_checked
from components.preflight.pictures import damaged, evenly

_ANSWER_TYPES = get_args(AnswerType)
_SHOWN = 5
_SHARD_ENDINGS = (".tar", ".parquet")


def check_images(uri: str, extensions: Sequence[str]) -> str:
    """Check that a source holds pictures, by the endings of their names, and count what else is there.

    Raises:
        NoInputError: nothing there is named like a picture or like a shard of pictures.
    """
    endings = tuple(ending.lower() for ending in (*extensions, *_SHARD_ENDINGS)) if extensions else ()
    unread: list[OSError] = []
    if is_object_uri(uri):
        store, prefix = open_store(uri)
        names: Iterator[str] = (item.key for item in list_below(store, prefix))
    else:
        root = local_path(uri)
        if root.is_file():
            if not root.stat().st_size:
                raise NoInputError(f"{root}: is empty; check preflight.images")
            return f"file of {root.stat().st_size:,} bytes"
        if not root.is_dir():
            raise NoInputError(f"{root}: no such folder of images; check preflight.images")
        names = _files_below(root, unread)
    first, fitting, others = "", 0, Counter[str]()
    for name in names:
        if not endings or name.lower().endswith(endings):
            first, fitting = first or name, fitting + 1
        else:
            others[PurePosixPath(name).suffix.lower() or "no ending"] += 1
    if not fitting:
        wanted = f"no file that ends with {', '.join(endings)}" if endings else "no file"
        raise NoInputError(f"{uri}: {wanted}; put images there or check preflight.images")
    told = [f"first: {first}", f"{fitting:,} named as pictures or shards"]
    if others:
        kinds = ", ".join(f"{ending} {count:,}" for ending, count in others.most_common(_SHOWN))
        told.append(
            f"{others.total():,} other files ({kinds}), of which image_ingest tells why it refuses them"
        )
    if unread:
        places = ", ".join(str(error.filename) for error in unread[:_SHOWN])
        told.append(f"{len(unread):,} folders cannot be read and are left out: {places}")
    return "; ".join(told)


def _files_below(root: Path, unread: list[OSError]) -> Iterator[str]:
    """Relative paths of the files below a folder, in order, without hidden ones; `unread` gets the rest."""
    for folder, folders, names in os.walk(root, onerror=unread.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield (Path(folder) / name).relative_to(root).as_posix()


def check_benchmark(source: BenchmarkSource, path: Path, checked_pictures: int = _SHOWN) -> str:
    """Check that a benchmark has a known format, and that its items can be asked and scored.

    Args:
        source: what the profile says of it.
        path: where it lies on this machine.
        checked_pictures: pictures that are decoded.

    Raises:
        NoInputError: missing or empty, or a picture is missing.
        DataError: another format, or unusable items; names the first of them.
        ConfigError: the kind is not set and cannot be derived.
    """
    if source.format == "dataset" or (path / MANIFEST_NAME).is_file():
        open_checked(path, "benchmark")
    benchmark = open_benchmark(path, source.format)
    kind = kind_for(source.name, benchmark) if source.kind == "auto" else source.kind
    seen: set[str] = set()
    problems: list[str] = []
    for item in benchmark.items:
        twice = "item_id occurs twice" if item.item_id in seen else ""
        seen.add(item.item_id)
        if problem := twice or _problem(item, benchmark.format):
            problems.append(f"item {item.item_id}: {problem}")
    if problems:
        count = f"{len(problems)} of {len(benchmark.items)} items are unusable"
        raise DataError(f"{path}: {count}:\n  " + "\n  ".join(problems[:_SHOWN]))
    places = list(dict.fromkeys(picture for item in benchmark.items for picture in item.pictures))
    if broken := damaged(evenly(places, checked_pictures), benchmark.load):
        raise DataError(f"{path}: {len(broken)} pictures cannot be read:\n  " + "\n  ".join(broken[:_SHOWN]))
    skipped = f", {benchmark.skipped:,} without a picture left out" if benchmark.skipped else ""
    return f"{len(benchmark.items):,} items, {benchmark.format}, {kind}{skipped}"


def _problem(item: BenchmarkItem, format: Format) -> str:
    """Why an item cannot be asked or scored, "" if it can."""
    if format == "dataset" and item.answer_type not in _ANSWER_TYPES:
        return f"answer_type '{item.answer_type}'; known: {', '.join(_ANSWER_TYPES)}"
    if item.answer_type == "choice" and not item.choices:
        return "answer_type 'choice' without choices"
    if not item.answer:
        return "no answer; take the split whose answers are public"
    placeholders = {*numbered_images(item.question)}
    if any(not 1 <= number <= len(item.pictures) for number in placeholders):
        return f"it names pictures {sorted(placeholders)} and has {len(item.pictures)}"
    return ""


def check_disk(paths: Iterable[Path], min_free_gib: float) -> str:
    """Check that every file system that the run writes to has room.

    Raises:
        ConfigError: one has less than `min_free_gib`.
    """
    places = [next(p for p in (path.absolute(), *path.absolute().parents) if p.exists()) for path in paths]
    free = {str(place): shutil.disk_usage(place).free / 2**30 for place in places}
    low = [f"{place} has {gib:.1f} GiB free" for place, gib in free.items() if gib < min_free_gib]
    if low:
        advice = f"free space up to {min_free_gib:g} GiB or lower preflight.min_free_disk_gib"
        raise ConfigError(f"{'; '.join(low)}; {advice}")
    return f"{min(free.values()):.1f} GiB free"

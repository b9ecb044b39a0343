"""Published benchmarks: how they are stored (`formats`), and how each kind is asked and scored (`kinds`).

`open_benchmark` reads all formats alike. This package imports nothing heavy: settings use its names.
"""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from components.core.benchmarks.base import BenchmarkReader, Format
from components.core.benchmarks.kinds import Kind
from components.core.stage.errors import DataError, NoInputError

__all__ = ["BenchmarkReader", "Format", "Kind", "open_benchmark"]


def open_benchmark(path: Path | str, format: Format = "auto") -> BenchmarkReader:
    """Open a benchmark.

    Args:
        path: dataset directory, TSV file, POPE file or directory, or needle settings.
        format: how it is stored.

    Raises:
        NoInputError: it does not exist or holds no items.
        DataError: it is not of its format, or a row cannot be read.
    """
    from components.core.benchmarks.formats.dataset import DatasetReader
    from components.core.benchmarks.formats.needle import NeedleReader
    from components.core.benchmarks.formats.pope import PopeReader
    from components.core.benchmarks.formats.vlmevalkit import TsvReader

    path = Path(path)
    if not path.exists():
        raise NoInputError(f"{path}: no such benchmark; check the path")
    readers = (DatasetReader, TsvReader, PopeReader, NeedleReader)
    wanted = _detect(path) if format == "auto" else format
    benchmark = next(reader for reader in readers if reader.format == wanted)(path)
    if not benchmark.items:
        raise NoInputError(f"{path}: the benchmark has no items; leave it out or fill it")
    return benchmark


def _detect(path: Path) -> Format:
    """The format of what lies at `path`.

    Raises:
        DataError: neither a known suffix nor a directory that holds a manifest or POPE's JSON files.
    """
    from components.core.data.manifest import MANIFEST_NAME

    name = path.name.lower()
    if path.is_dir():
        if (path / MANIFEST_NAME).is_file():
            return "dataset"
        if any(path.glob("*.json")) or any(path.glob("*.jsonl")):
            return "pope"
    elif name.endswith(".tsv"):
        return "vlmevalkit"
    elif name.endswith(".needle.json"):
        return "needle"
    elif name.endswith((".json", ".jsonl")):
        return "pope"
    known = ", ".join(get_args(Format)[1:])
    raise DataError(
        f"{path}: neither a dataset with a manifest, a .tsv, a .json or .jsonl nor a .needle.json file; "
        f"set `format` to one of {known} or convert it"
    )

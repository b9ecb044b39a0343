"""Published benchmarks as they are distributed: VLMEvalKit's TSV, POPE's JSON lines, the table `benchmark`, needles.

`open_benchmark` reads all of them alike: items without pixels, pictures on demand. How an item is asked and scored is
the evaluation stage's business. Importing this package loads nothing heavy, so configurations may use its names.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from components.core.stage.errors import DataError, NoInputError

if TYPE_CHECKING:
    from components.core.benchmarks.base import Benchmark

Format = Literal["auto", "dataset", "vlmevalkit", "pope", "needle"]
"""auto: by suffix, or by the manifest of a directory; dataset: table `benchmark`; vlmevalkit: a TSV file; pope: JSON lines
beside a folder of pictures; needle: settings of a needle in a haystack (`*.needle.json`)."""

Kind = Literal[
    "auto",
    "agreement",
    "choice",
    "circular",
    "mmmu",
    "mathvista",
    "mathvision",
    "ocrbench",
    "anls",
    "relaxed_accuracy",
    "pope",
    "judged",
    "needle_text",
    "needle_images",
]
"""How a benchmark is asked and scored; auto: by its name (see `kinds.kind_for`)."""


def open_benchmark(path: Path | str, format: Format = "auto") -> Benchmark:
    """Open a benchmark.

    Args:
        path: dataset directory, TSV file, POPE file or directory, or needle settings.
        format: how it is stored.

    Raises:
        NoInputError: it does not exist or holds no items.
        DataError: it is not of its format, or a row cannot be read.
    """
    from components.core.benchmarks.dataset import DatasetBenchmark
    from components.core.benchmarks.needle import NeedleBenchmark
    from components.core.benchmarks.pope import PopeBenchmark
    from components.core.benchmarks.vlmevalkit import TsvBenchmark

    path = Path(path)
    if not path.exists():
        raise NoInputError(f"{path}: no such benchmark; check the path")
    readers: dict[str, type[Benchmark]] = {
        "dataset": DatasetBenchmark,
        "vlmevalkit": TsvBenchmark,
        "pope": PopeBenchmark,
        "needle": NeedleBenchmark,
    }
    benchmark = readers[detect(path) if format == "auto" else format](path)
    if not benchmark.items:
        raise NoInputError(f"{path}: the benchmark has no items; leave it out or fill it")
    return benchmark


def detect(path: Path) -> Format:
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

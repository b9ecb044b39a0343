"""Which kind a published benchmark is, by its name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import get_args

from components.core.benchmarks import Kind
from components.core.benchmarks.base import Benchmark, BenchmarkItem
from components.core.stage.errors import ConfigError

_KNOWN: tuple[tuple[str, Kind], ...] = (
    (r"mmbench|ccbench|circular", "circular"),
    (r"mmmu", "mmmu"),
    (r"mmstar|ai2d|realworldqa|seedbench|scienceqa|blink", "choice"),
    (r"mathvista", "mathvista"),
    (r"mathvision", "mathvision"),
    (r"ocrbench(?!v2)", "ocrbench"),
    (r"docvqa|infovqa|infographicvqa", "anls"),
    (r"chartqa(?!pro)", "relaxed_accuracy"),
    (r"pope", "pope"),
)


def kind_for(name: str, benchmark: Benchmark) -> Kind:
    """The kind of a benchmark whose kind is not set: by its name or its file's, else by its content.

    Raises:
        ConfigError: a TSV file of an unknown name that is not multiple choice throughout.
    """
    if benchmark.format == "needle":
        return benchmark.settings.kind  # type: ignore[attr-defined]
    names = [name] if benchmark.format == "dataset" else [name, benchmark.path.stem]
    for candidate in names:
        plain = re.sub(r"[^a-z0-9]", "", candidate.lower())
        for pattern, kind in _KNOWN:
            if re.search(pattern, plain) and _fits(kind, benchmark.items):
                return kind
    if benchmark.format == "dataset":
        return "agreement"
    if benchmark.format == "pope":
        return "pope"
    if _fits("choice", benchmark.items):
        return "choice"
    raise ConfigError(
        f"benchmark '{name}' ({benchmark.path}): no known name and not multiple choice; "
        f"set `kind` to one of {', '.join(get_args(Kind)[1:])}"
    )


def _fits(kind: Kind, items: Sequence[BenchmarkItem]) -> bool:
    """Whether items have what the kind needs: a dataset called `my-pope` may hold other questions."""
    if kind in ("choice", "circular"):
        return all(item.choices for item in items)
    if kind == "pope":
        return all(item.answer.strip().lower() in ("yes", "no") for item in items)
    return True

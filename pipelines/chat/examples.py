"""Pictures and questions to begin with: held-out items of the run's benchmarks, which no model has seen."""

from __future__ import annotations

import json
from pathlib import Path

from components.core.benchmarks import open_benchmark
from components.core.data.pins import split_pin
from components.core.stage.errors import StageError
from components.core.stats.even_draw import draw_evenly

SHOWN = 6


def write_examples(root: Path, folder: Path) -> list[tuple[Path, str]]:
    """Write the pictures of a few items into `folder`; (picture, question) of each.

    Items come from the benchmarks of the run below `root`, many categories of them; none where a benchmark
    is not there any more.
    """
    pinned = root / "outputs" / "preflight" / "benchmarks"
    if not pinned.is_file():
        return []
    examples: list[tuple[Path, str]] = []
    described = json.loads(pinned.read_text(encoding="utf-8"))
    ordered = sorted(described, key=lambda benchmark: benchmark.get("role") != "domain")
    for benchmark in ordered:
        path = split_pin(benchmark["ref"])[0]
        try:
            opened = open_benchmark(path, benchmark.get("format", "auto"))
        except StageError:  # moved or damaged since: the chat works without its examples
            continue
        items = [item for item in opened.items if item.pictures and item.question]
        for item in draw_evenly(
            items, SHOWN, kind=lambda i: i.category, key=lambda i: i.item_id, seed=("examples",)
        ):
            picture = folder / f"{benchmark['name']}-{len(examples)}.png"
            picture.write_bytes(opened.load(item.pictures[0]))
            examples.append((picture, item.question))
            if len(examples) == SHOWN:
                return examples
    return examples

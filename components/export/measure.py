"""What quantisation costs: the same items answered before and after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from components.core.answers import AnswerType, agree, extract
from components.core.benchmarks import open_benchmark
from components.core.benchmarks.base import BenchmarkItem, BenchmarkReader
from components.core.data.hashing import sha256_hex
from components.core.stage.errors import DataError
from components.core.stats import PairedComparison, paired_comparison
from components.core.vlm import format_question, generate, load_model, load_processor


@dataclass(frozen=True)
class Asked:
    """Items of one benchmark that can be scored by rule, in a fixed pseudo-random order."""

    name: str
    benchmark: BenchmarkReader
    items: Sequence[BenchmarkItem]


def choose(name: str, path: Path, limit: int) -> Asked:
    """The items to ask of a benchmark; at most `limit` of them, 0 for all.

    Raises:
        DataError: none of them has one picture and a type of answer.
    """
    benchmark = open_benchmark(path)
    usable = [item for item in benchmark.items if item.answer_type and len(item.pictures) == 1]
    if not usable:
        raise DataError(f"{path}: no item has one picture and an answer that rules can score")
    usable.sort(key=lambda item: sha256_hex(item.item_id))
    return Asked(name, benchmark, usable[: limit or None])


def scores(
    checkpoint: Path, asked: Asked, max_new_tokens: int, on_batch: Callable[[int], object] | None = None
) -> list[float]:
    """1 for each item that the checkpoint answers right greedily, else 0."""
    model, processor = load_model(checkpoint), load_processor(checkpoint)
    shown = [(asked.benchmark.images(i)[0], format_question(i.question, i.choices)) for i in asked.items]
    said = generate(model, processor, shown, max_new_tokens=max_new_tokens, on_batch=on_batch)
    return [
        float(agree(extract(group[0].text, kind, i.choices), i.answer, kind, i.choices))
        for group, i in zip(said, asked.items, strict=True)
        for kind in [cast(AnswerType, i.answer_type)]  # `choose` leaves out items without one
    ]


def compare(before: Sequence[float], after: Sequence[float], asked: Asked) -> PairedComparison:
    """The paired difference after - before, clustered by picture."""
    return paired_comparison(before, after, [item.image_group for item in asked.items])

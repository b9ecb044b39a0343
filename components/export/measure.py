"""Loss of accuracy by quantisation: the same items answered before and after."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from components.core.answers import AnswerType, agree, extract
from components.core.benchmarks import BenchmarkReader, open_benchmark
from components.core.benchmarks.base import BenchmarkItem
from components.core.data.hashing import sha256_hex
from components.core.stage.errors import DataError
from components.core.stage.log import ProgressBar
from components.core.stats import paired_comparison
from components.core.vlm import format_question, generate, load_model, load_processor


def measure(
    name: str,
    path: Path,
    checkpoints: tuple[Path, Path],
    limit: int,
    max_new_tokens: int,
    log: logging.Logger,
) -> dict[str, Any]:
    """Accuracy of two checkpoints on a benchmark, and the paired difference after - before by picture.

    Items are those that rules can score, in a fixed pseudo-random order; at most `limit`, 0 for all.

    Raises:
        DataError: no item has one picture and a type of answer.
    """
    benchmark = open_benchmark(path)
    usable = [item for item in benchmark.items if item.answer_type and len(item.pictures) == 1]
    if not usable:
        raise DataError(f"{path}: no item has one picture and an answer that rules can score")
    items = sorted(usable, key=lambda item: sha256_hex(item.item_id))[: limit or None]
    with ProgressBar(2 * len(items), f"{name}: before and after", log) as bar:
        before, after = (
            _scores(checkpoint, benchmark, items, max_new_tokens, bar.update) for checkpoint in checkpoints
        )
    change = paired_comparison(before, after, [item.image_group for item in items])
    return {
        "items": len(items),
        "accuracy_before": round(sum(before) / len(before), 6),
        "accuracy_after": round(sum(after) / len(after), 6),
        "change": change.to_json(),
    }


def _scores(
    checkpoint: Path,
    benchmark: BenchmarkReader,
    items: Sequence[BenchmarkItem],
    max_new_tokens: int,
    on_batch: Callable[[int], object],
) -> list[float]:
    """1 for each item that the checkpoint answers right greedily, else 0."""
    model, processor = load_model(checkpoint), load_processor(checkpoint)
    shown = [(benchmark.images(item)[0], format_question(item.question, item.choices)) for item in items]
    said = generate(model, processor, shown, max_new_tokens=max_new_tokens, on_batch=on_batch)
    scores = []
    for group, item in zip(said, items, strict=True):
        answer_type = cast(AnswerType, item.answer_type)
        answer = extract(group[0].text, answer_type, item.choices, item.question)
        scores.append(float(agree(answer, item.answer, answer_type, item.choices)))
    return scores

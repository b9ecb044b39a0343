"""What `benchmarks.rl.rewards` measures of a checkpoint, item by item."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.rl.questions import Item
from benchmarks.scores import Measures, Row, Values, by_item
from components.core.answers import extract
from components.core.answers.comparison import agree
from components.core.resume.journal import Journal
from components.core.stage.settings import Endpoint
from components.core.vlm import generate, load_model, load_processor, set_threads
from components.hybrid_rl.rewards.asked.judge import Judge
from components.hybrid_rl.rollouts.rollout import Rollout
from components.hybrid_rl.settings import Judge as JudgeSettings
from demo.world import open_questions

SAMPLES, MAX_TOKENS = 8, 32
_SAMPLED = ("domain", "open")


def measure(checkpoint: Path, items: Sequence[Item], judge: Endpoint, sampled: int, out: Path) -> list[Row]:
    """Greedy and sampled answers of a checkpoint, scored; read from `out` where they are known.

    Args:
        judge: grades the open ones.
        sampled: items of a benchmark with sampled answers.
    """
    if out.is_file():
        rows: list[Row] = json.loads(out.read_text(encoding="utf-8"))
        return rows
    set_threads()
    model, processor = load_model(checkpoint, "float32"), load_processor(checkpoint)
    rows = []
    counted: dict[str, int] = defaultdict(int)
    wanted = []
    for item in items:
        counted[item.benchmark] += 1
        if item.benchmark in _SAMPLED and counted[item.benchmark] <= sampled:
            wanted.append(item)
    for some, count, temperature in ((items, 1, 0.0), (wanted, SAMPLES, 1.0)):
        asked = [(item.picture, item.question) for item in some]
        found = generate(
            model, processor, asked, max_new_tokens=MAX_TOKENS, temperature=temperature, num_samples=count
        )
        for item, completions in zip(some, found, strict=True):
            rows += [
                _row(item, number + (temperature > 0), completion.text, completion.tokens)
                for number, completion in enumerate(completions)
            ]
    _grade(rows, items, judge, out.with_suffix(".journal"))
    out.write_text(json.dumps(rows), encoding="utf-8")
    return rows


def _row(item: Item, sample: int, response: str, tokens: int) -> Row:
    said = extract(response, item.answer_type, item.choices, item.question)  # type: ignore[arg-type]
    row = {"benchmark": item.benchmark, "item": item.item_id, "group": item.group, "sample": sample,
           "response": response, "said": said, "tokens": tokens, "absent": item.absent}  # fmt: skip
    if item.benchmark != "open":
        right = bool(said) and agree(said, item.answer, item.answer_type, item.choices)  # type: ignore[arg-type]
        return {**row, "score": float(right)}
    reading = open_questions.read(item.scene, item.question, response)
    return {**row, "score": float(reading.right), "meaning": " ".join(sorted(reading.true))}


def _grade(rows: Sequence[Row], items: Sequence[Item], judge: Endpoint, journal: Path) -> None:
    """Add the judge's quality to greedy open answers, however long they are."""
    by_id = {item.item_id: item for item in items}
    told = [row for row in rows if row["benchmark"] == "open" and row["sample"] == 0]
    settings = JudgeSettings(endpoint=judge, max_words=10_000)
    grades = Judge(
        settings, None, Journal(journal), lambda key: by_id[key].picture, logging.getLogger("measured")
    )
    asked = []
    for row in told:
        item = by_id[row["item"]]
        asked.append(
            Rollout(
                prompt_id=item.item_id, image_id=item.item_id, question=item.question, answers=(item.answer,),
                answer_type="open", response=row["response"], answer=row["said"], tokens=row["tokens"],
            )
        )  # fmt: skip
    for row, quality in zip(told, grades(asked), strict=True):
        row["quality"] = quality


_by = partial(by_item, item="item", cluster="group")


def _greedy(benchmark: str, column: str = "score", *, bounded: bool = True) -> Callable[[list[Row]], Values]:
    """A column of the greedy answers."""

    def of(rows: list[Row]) -> Values:
        own = [row for row in rows if row["benchmark"] == benchmark and row["sample"] == 0]
        return _by(own, lambda told: float(told[0][column]), bounded=bounded)

    return of


def _sampled(
    benchmark: str, value: Callable[[list[Row]], float], *, bounded: bool = True
) -> Callable[[list[Row]], Values]:
    """A value of an item's samples."""

    def of(rows: list[Row]) -> Values:
        own = [row for row in rows if row["benchmark"] == benchmark and row["sample"] > 0]
        return _by(own, value, bounded=bounded)

    return of


def _mean(own: list[Row]) -> float:
    return float(np.mean([row["score"] for row in own]))


def _any(own: list[Row]) -> float:
    return max(row["score"] for row in own)


def _all(own: list[Row]) -> float:
    return min(row["score"] for row in own)


def _meanings(own: list[Row]) -> float:
    return float(len({row["meaning"] for row in own if row["score"]}))


def _absent(rows: list[Row]) -> Values:
    own = [row for row in rows if row["benchmark"] == "hallucination" and row["absent"]]
    return _by(own, lambda told: float(told[0]["said"] == "yes"))


def _swapped(rows: list[Row]) -> Values:
    return _by([row for row in rows if row["benchmark"] == "swapped"], _all, item="group")


MEASURES: Measures = {
    "domain": _greedy("domain"),
    "pass@1": _sampled("domain", _mean),
    f"pass@{SAMPLES}": _sampled("domain", _any),
    "tokens": _greedy("domain", "tokens", bounded=False),
    "hallucination": _absent,
    "probe accuracy": _greedy("hallucination"),
    "swapped": _swapped,
    "open right": _sampled("open", _mean),
    "open meanings": _sampled("open", _meanings, bounded=False),
    "open quality": _greedy("open", "quality"),
    "open tokens": _greedy("open", "tokens", bounded=False),
}
"""Swapped: both of two pictures are answered rightly. Meanings: different right ones among eight samples."""
COUNTS = frozenset({"tokens", "open meanings", "open tokens"})
"""Measures that are no shares."""

"""Benchmark items as a person sees them: picture, question, reference; found again from a run's directory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.core.benchmarks import open_benchmark
from components.core.data.dataset import Dataset
from components.core.data.image_store import ImageStore
from components.core.data.pins import split_pin

RIGHT = 0.5
"""From this score on an answer counts as right."""
_LONGEST_QUESTION = 400

Key = tuple[str, str]
"""Benchmark and item."""


@dataclass(frozen=True)
class Shown:
    """An item with its (first) picture."""

    image: bytes
    question: str
    answer: str


def scored_answers(predictions: Path) -> dict[Key, dict[str, Any]]:
    """The scored answer (sample 0) of every item: the rows of the predictions without the samples."""
    rows = Dataset.open(predictions, "predictions").rows_iter()
    return {(row["benchmark"], row["item_id"]): row for row in rows if row["sample_no"] == 0}


def find_items(root: Path, keys: Iterable[Key]) -> dict[Key, Shown]:
    """The wanted items, from the benchmarks that preflight pinned and, for voted items, from the kept questions.

    Items without pictures, and those of benchmarks that are gone, are not found.
    """
    wanted = set(keys)
    found: dict[Key, Shown] = {}
    pinned = root / "outputs" / "preflight" / "benchmarks"
    for benchmark in json.loads(pinned.read_text(encoding="utf-8")):
        names = {item for of, item in wanted if of == benchmark["name"]}
        if names:
            path = split_pin(benchmark["ref"])[0]
            found.update(_from_benchmark(path, benchmark, names))
    missing = {item: (of, item) for of, item in wanted - set(found)}
    if missing:
        found.update(_voted(root, missing))
    return found


def caption(item: Shown, said: Mapping[str, Mapping[Key, Mapping[str, Any]]], key: Key) -> str:
    """Question, reference and what each model said, marked right or wrong."""
    lines = [item.question, f"reference: {item.answer}"]
    for label, answers in said.items():
        answer = answers[key]
        mark = "✓" if answer["score"] >= RIGHT else "✗"
        lines.append(f"{mark} {label}: {answer['extracted'] or answer['response'] or '(nothing)'}")
    return "\n".join(lines)


def _from_benchmark(path: Path, benchmark: Mapping[str, Any], names: set[str]) -> Iterable[tuple[Key, Shown]]:
    if not path.exists():
        return
    opened = open_benchmark(path, benchmark.get("format", "auto"))
    rows = {item.item_id: item for item in opened.items if item.pictures}
    for name in names:
        row = rows.get(name) or rows.get(name.partition("@")[0])  # a rotation is <row>@<shift>
        if row is not None:
            shown = Shown(opened.load(row.pictures[0]), _question(row.question, row.choices), row.answer)
            yield (benchmark["name"], name), shown


def _voted(root: Path, missing: Mapping[str, Key]) -> Iterable[tuple[Key, Shown]]:
    images = ImageStore(Dataset.open(root / "outputs" / "image_ingest" / "images", "images", verify=False))
    kept = Dataset.open(root / "outputs" / "voting_filter" / "qa_kept", "qa_kept", verify=False)
    for row in kept.rows_iter(["qa_id", "image_id", "question", "choices", "answer"]):
        if row["qa_id"] in missing:
            question = _question(row["question"], row["choices"] or ())
            yield missing[row["qa_id"]], Shown(images.get(row["image_id"]), question, row["answer"])


def _question(question: str, choices: Iterable[str]) -> str:
    cut = question if len(question) <= _LONGEST_QUESTION else f"{question[:_LONGEST_QUESTION]} …"
    lettered = (f"{chr(ord('A') + index)}. {choice}" for index, choice in enumerate(choices))
    return "\n".join([cut, *lettered])

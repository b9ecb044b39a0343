"""Answers before and after training, side by side with their pictures: items whose outcome changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.core.config import sha256_hex
from components.core.image_store import ImageStore
from components.core.manifest import Dataset
from components.core.pins import split_pin
from components.core.report import Report

COMPARED = ("base", "sft_1_domain", "hybrid_rl")
SHOWN = 8
_RIGHT = 0.5

Key = tuple[str, str]
"""Benchmark and item."""


@dataclass(frozen=True)
class Item:
    """A benchmark item as a person sees it."""

    image: bytes
    question: str
    answer: str


def changed_answers(root: Path) -> Report | None:
    """Items that training changed, below a run's directory; None until the compared models are evaluated.

    Outcomes are shown with what the model said, for three kinds of item: learned, forgotten by domain training and
    restored later, lost.
    """
    folders = {label: root / "outputs" / f"evaluation_{label}" / "predictions" for label in COMPARED}
    if not all(folder.is_dir() for folder in folders.values()):
        return None
    said = {label: _answers(folder) for label, folder in folders.items()}
    groups = {
        "Learned: wrong before training, right at the end": lambda base, _, final: final and not base,
        "Restored: right before training, wrong after domain training, right at the end": (
            lambda base, domain, final: base and final and not domain
        ),
        "Lost: right before training, wrong at the end": lambda base, _, final: base and not final,
    }
    chosen = {title: _choose(said, changed) for title, changed in groups.items()}
    items = _items(root, {key for keys in chosen.values() for key in keys})
    report = Report("answers before and after")
    for title, keys in chosen.items():
        report.heading(title)
        pictures = [(items[key].image, _caption(key, items[key], said)) for key in keys if key in items]
        if pictures:
            report.images(pictures)
        else:
            report.text("No such item.")
    return report


def _answers(folder: Path) -> dict[Key, dict[str, Any]]:
    """The scored answer (sample 0) of every item."""
    columns = ["benchmark", "item_id", "sample_no", "extracted", "response", "score"]
    rows = Dataset.open(folder, "predictions").rows_iter(columns)
    return {(row["benchmark"], row["item_id"]): row for row in rows if row["sample_no"] == 0}


def _choose(
    said: Mapping[str, Mapping[Key, Mapping[str, Any]]], changed: Callable[[bool, bool, bool], bool]
) -> list[Key]:
    """Up to `SHOWN` items with the change, a fixed pseudo-random choice."""
    common = set.intersection(*(set(answers) for answers in said.values()))
    found = [key for key in common if changed(*(said[label][key]["score"] >= _RIGHT for label in COMPARED))]
    return sorted(found, key=lambda key: sha256_hex("/".join(key)))[:SHOWN]


def _items(root: Path, keys: set[Key]) -> dict[Key, Item]:
    """The wanted items, from the benchmarks that preflight pinned and, for voted items, from the kept questions."""
    found: dict[Key, Item] = {}
    pinned = root / "outputs" / "preflight" / "benchmarks"
    for benchmark in json.loads(pinned.read_text(encoding="utf-8")):
        name, path = benchmark["name"], split_pin(benchmark["ref"])[0]
        wanted = {item for of, item in keys if of == name}
        if wanted:
            rows = Dataset.open(path, "benchmark", verify=False).rows_iter(batch_rows=128)
            found.update(
                ((name, row["item_id"]), Item(row["image"], _question(row), row["answer"]))
                for row in rows
                if row["item_id"] in wanted
            )
    missing = {item: (of, item) for of, item in keys - set(found)}
    if missing:
        found.update(_voted(root, missing))
    return found


def _voted(root: Path, missing: Mapping[str, Key]) -> Iterable[tuple[Key, Item]]:
    images = ImageStore(Dataset.open(root / "outputs" / "image_ingest" / "images", "images", verify=False))
    kept = Dataset.open(root / "outputs" / "voting_filter" / "qa_kept", "qa_kept", verify=False)
    for row in kept.rows_iter(["qa_id", "image_id", "question", "choices", "answer"]):
        if row["qa_id"] in missing:
            yield missing[row["qa_id"]], Item(images.get(row["image_id"]), _question(row), row["answer"])


def _question(row: Mapping[str, Any]) -> str:
    lettered = (f"{chr(ord('A') + index)}. {choice}" for index, choice in enumerate(row["choices"] or ()))
    return "\n".join([row["question"], *lettered])


def _caption(key: Key, item: Item, said: Mapping[str, Mapping[Key, Mapping[str, Any]]]) -> str:
    lines = [item.question, f"reference: {item.answer}"]
    for label in COMPARED:
        answer = said[label][key]
        mark = "✓" if answer["score"] >= _RIGHT else "✗"
        lines.append(f"{mark} {label}: {answer['extracted'] or answer['response'] or '(nothing)'}")
    return "\n".join(lines)

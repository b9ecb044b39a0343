"""Answers on benchmark items: shown with pictures, and the items whose outcome training changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.core.benchmarks import open_benchmark
from components.core.data.dataset import Dataset
from components.core.data.even_draw import draw_evenly
from components.core.data.image_store import ImageStore
from components.core.data.pins import split_pin
from components.core.stage.report import Report

COMPARED = ("base", "sft_1_domain", "hybrid_rl")
"""Models whose answers are compared."""
SHOWN = 8
RIGHT = 0.5
"""From this score on an answer counts as right."""
_LONGEST_QUESTION = 400

Key = tuple[str, str]
"""Benchmark and item."""
Answers = Mapping[Key, Mapping[str, Any]]
"""Item -> the row of its scored answer."""


@dataclass(frozen=True)
class ShownItem:
    """An item with its first picture."""

    image: bytes
    question: str
    answer: str


def changed_answers(root: Path) -> Report | None:
    """Items that training changed, below a run's directory; None until the compared models are evaluated.

    Outcomes are shown with the models' answers, for three kinds of item: learned, forgotten by domain
    training and restored later, lost.
    """
    folders = {label: root / "outputs" / f"evaluation_{label}" / "predictions" for label in COMPARED}
    if not all(folder.is_dir() for folder in folders.values()):
        return None
    said = {label: scored_answers(folder) for label, folder in folders.items()}
    groups: dict[str, Callable[[bool, bool, bool], bool]] = {
        "Learned: wrong before training, right at the end": lambda base, _, final: final and not base,
        "Restored: right before training, wrong after domain training, right at the end": (
            lambda base, domain, final: base and final and not domain
        ),
        "Lost: right before training, wrong at the end": lambda base, _, final: base and not final,
    }
    report = Report("answers before and after")
    for title, changed in groups.items():
        report.heading(title)
        show_items(report, root, choose(said, changed), said, "No such item.")
    return report


def choose(said: Mapping[str, Answers], changed: Callable[[bool, bool, bool], bool]) -> list[Key]:
    """Up to `SHOWN` items with the change, of many categories: a fixed pseudo-random choice."""
    common = set.intersection(*(set(answers) for answers in said.values()))
    found = [key for key in common if changed(*(said[label][key]["score"] >= RIGHT for label in COMPARED))]
    categories = said[COMPARED[0]]
    return draw_evenly(
        found, SHOWN, kind=lambda key: str(categories[key]["category"]), key="/".join, seed=("answers",)
    )


def scored_answers(predictions: Path) -> dict[Key, dict[str, Any]]:
    """The scored answer (sample 0) of every item: the rows of the predictions without the samples."""
    rows = Dataset.open(predictions, "predictions").rows_iter()
    return {(row["benchmark"], row["item_id"]): row for row in rows if row["sample_no"] == 0}


def find_items(root: Path, keys: Iterable[Key]) -> dict[Key, ShownItem]:
    """The wanted items, from the benchmarks that preflight pinned, or from the kept questions.

    Items without pictures, and those of benchmarks that are gone, are not found.
    """
    wanted = set(keys)
    found: dict[Key, ShownItem] = {}
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


def show_items(
    report: Report, root: Path, keys: Sequence[Key], said: Mapping[str, Answers], none: str
) -> None:
    """Add the items to a report: picture, question, reference, each model's answer marked right or wrong.

    Args:
        report: the pictures are added to it; without any, the text `none`.
        root: directory of the run whose benchmarks hold the items.
        keys: the items, in order.
        said: name of a model -> its scored answers.
        none: text where no item has a picture.
    """
    items = find_items(root, keys)
    pictures = [(items[key].image, _caption(items[key], said, key)) for key in keys if key in items]
    if pictures:
        report.images(pictures)
    else:
        report.text(none)


def _caption(item: ShownItem, said: Mapping[str, Answers], key: Key) -> str:
    lines = [item.question, f"reference: {item.answer}"]
    for label, answers in said.items():
        answer = answers[key]
        mark = "✓" if answer["score"] >= RIGHT else "✗"
        lines.append(f"{mark} {label}: {answer['extracted'] or answer['response'] or '(nothing)'}")
    return "\n".join(lines)


def _from_benchmark(
    path: Path, benchmark: Mapping[str, Any], names: set[str]
) -> Iterable[tuple[Key, ShownItem]]:
    if not path.exists():
        return
    opened = open_benchmark(path, benchmark.get("format", "auto"))
    rows = {item.item_id: item for item in opened.items if item.pictures}
    for name in names:
        row = rows.get(name) or rows.get(name.partition("@")[0])  # a rotation is <row>@<shift>
        if row is not None:
            shown = ShownItem(opened.load(row.pictures[0]), _question(row.question, row.choices), row.answer)
            yield (benchmark["name"], name), shown


def _voted(root: Path, missing: Mapping[str, Key]) -> Iterable[tuple[Key, ShownItem]]:
    images = ImageStore(Dataset.open(root / "outputs" / "image_ingest" / "images", "images", verify=False))
    kept = Dataset.open(root / "outputs" / "voting_filter" / "qa_kept", "qa_kept", verify=False)
    for row in kept.rows_iter(["qa_id", "image_id", "question", "choices", "answer"]):
        if row["qa_id"] in missing:
            question = _question(row["question"], row["choices"] or ())
            yield missing[row["qa_id"]], ShownItem(images.get(row["image_id"]), question, row["answer"])


def _question(question: str, choices: Iterable[str]) -> str:
    cut = question if len(question) <= _LONGEST_QUESTION else f"{question[:_LONGEST_QUESTION]} …"
    lettered = (f"{chr(ord('A') + index)}. {choice}" for index, choice in enumerate(choices))
    return "\n".join([cut, *lettered])

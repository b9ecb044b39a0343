"""Answers on benchmark items: shown with pictures, and the items whose outcome training changed."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from components.core.benchmarks import open_benchmark
from components.core.data.dataset import Dataset
from components.core.data.image_store import ImageStore
from components.core.sources.copies import local_copy
from components.core.stage.errors import StageError
from components.core.stage.report import Report
from components.core.stats.even_draw import draw_evenly

COMPARED = ("base", "sft_1_domain", "hybrid_rl")
"""Models whose answers are compared."""
SHOWN = 8
RIGHT = 0.5
"""From this score on an answer counts as right."""
_log = logging.getLogger("report")

Key = tuple[str, str]
"""Benchmark and item."""
Answers = Mapping[Key, Mapping[str, Any]]
"""Item -> the row of its scored answer."""


class Item(NamedTuple):
    """An item with its first picture."""

    key: Key
    image: bytes
    question: str
    choices: Iterable[str]
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
    report = Report("answers before and after")

    def show(title: str, changed: Callable[[bool, bool, bool], bool]) -> None:
        report.heading(title)
        show_items(report, root, choose(said, changed), said, "No such item.")

    show("Learned: wrong before training, right at the end", lambda base, _, final: final and not base)
    show(
        "Restored: right before training, wrong after domain training, right at the end",
        lambda base, domain, final: base and final and not domain,
    )
    show("Lost: right before training, wrong at the end", lambda base, _, final: base and not final)
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
    found = find_items(root, keys)
    pictures = [(found[key].image, _caption(found[key], said)) for key in keys if key in found]
    if pictures:
        report.images(pictures)
    else:
        report.text(none)


def find_items(root: Path, keys: Iterable[Key]) -> dict[Key, Item]:
    """Those of the items below a run's directory that have a picture and still exist."""
    wanted = list(keys)
    pinned = root / "outputs" / "preflight" / "benchmarks"
    found = {item.key: item for item in _from_benchmarks(pinned, wanted)}
    missing = {item: (of, item) for of, item in set(wanted) - set(found)}
    if missing and (root / "outputs" / "voting_filter" / "qa_kept").is_dir():
        found |= {item.key: item for item in _voted(root / "outputs", missing)}
    return found


def _caption(item: Item, said: Mapping[str, Answers]) -> str:
    question = item.question if len(item.question) <= 400 else f"{item.question[:400]} …"
    lettered = (f"{chr(ord('A') + index)}. {choice}" for index, choice in enumerate(item.choices))
    lines = [question, *lettered, f"reference: {item.answer}"]
    for label, answers in said.items():
        answer = answers[item.key]
        mark = "✓" if answer["score"] >= RIGHT else "✗"
        lines.append(f"{mark} {label}: {answer['extracted'] or answer['response'] or '(nothing)'}")
    return "\n".join(lines)


def _from_benchmarks(pinned: Path, keys: Iterable[Key]) -> Iterator[Item]:
    """The items with pictures in the benchmarks that preflight pinned, where they still exist."""
    for benchmark in json.loads(pinned.read_text(encoding="utf-8")):
        wanted = [key for key in keys if key[0] == benchmark["name"]]
        if not wanted:
            continue
        try:
            path = local_copy(benchmark["ref"])
        except StageError as error:
            _log.warning("the page shows no pictures of the benchmark %s: %s", benchmark["name"], error)
            continue
        if not path.exists():
            continue
        opened = open_benchmark(path, benchmark.get("format", "auto"))
        rows = {item.item_id: item for item in opened.items if item.pictures}
        for key in wanted:
            row = rows.get(key[1]) or rows.get(key[1].partition("@")[0])  # a rotation is <row>@<shift>
            if row is not None:
                yield Item(key, opened.load(row.pictures[0]), row.question, row.choices, row.answer)


def _voted(outputs: Path, missing: Mapping[str, Key]) -> Iterator[Item]:
    """The missing items that are among the kept questions."""
    images = ImageStore(Dataset.open(outputs / "image_ingest" / "images", "images", verify=False))
    kept = Dataset.open(outputs / "voting_filter" / "qa_kept", "qa_kept", verify=False)
    for row in kept.rows_iter(["qa_id", "image_id", "question", "choices", "answer"]):
        if key := missing.get(row["qa_id"]):
            image = images.get(row["image_id"])
            yield Item(key, image, row["question"], row["choices"] or (), row["answer"])

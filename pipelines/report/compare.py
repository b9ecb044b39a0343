"""Two runs side by side on one page: metrics with paired differences, categories, and the items that flipped."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from components.core.data.hashing import sha256_hex
from components.core.stage.errors import DataError, NoInputError
from components.core.stage.report import Report, figure_axes, page
from components.core.stats import PairedComparison, paired_comparison
from components.stages import EVALUATED
from pipelines.report.items import RIGHT, Key, caption, find_items, scored_answers
from pipelines.report.page import metric_cell, metric_title

SHOWN = 12
_NAMES = {"domain": "domain accuracy", "general": "general accuracy", "hallucination": "probe accuracy"}

Answers = Mapping[Key, Mapping[str, Any]]


class Evaluated(NamedTuple):
    """What a run measured of one model."""

    scores: Mapping[str, Any]
    answers: Answers


class Pair(NamedTuple):
    """One model of two runs."""

    model: str
    a: Evaluated
    b: Evaluated

    @property
    def common(self) -> list[Key]:
        """Items that both runs asked, sorted."""
        return sorted(set(self.a.answers) & set(self.b.answers))


def write_comparison(run_a: Path, run_b: Path, output: Path, model: str = "") -> Path:
    """Compare two runs' directories on the items that both evaluated, and write the page.

    Args:
        run_a, run_b: directories of the runs; differences are B minus A.
        output: where the page goes.
        model: whose items are shown in detail; default the last model that both runs evaluated.

    Raises:
        NoInputError: a run has no evaluation, or the two have none of the same model.
        DataError: the runs have no item in common.
    """
    pairs = [
        Pair(name, _evaluated(run_a, name), _evaluated(run_b, name))
        for name in EVALUATED
        if all((run / "outputs" / f"evaluation_{name}" / "scores").is_file() for run in (run_a, run_b))
    ]
    if not pairs:
        raise NoInputError(f"{run_a} and {run_b}: no model is evaluated in both; finish the runs first")
    chosen = next((pair for pair in pairs if pair.model == model), None) if model else pairs[-1]
    if chosen is None:
        names = ", ".join(pair.model for pair in pairs)
        raise NoInputError(f"--model {model}: not evaluated in both runs; choose from {names}")
    for pair in pairs:
        if not pair.common:
            raise DataError(f"{pair.model}: the runs have no item in common; they asked other benchmarks")
    labels = _labels(run_a, run_b)
    report = Report(f"{labels[0]} and {labels[1]}")
    report.text(
        f"A = {run_a}, B = {run_b}. Differences are B minus A on the items that both asked, with 95 % intervals; p "
        "flips the signs of whole pictures' differences."
    )
    for pair in pairs:
        _measured(report, pair)
    _categories(report, chosen)
    _flips(report, chosen, labels, (run_a, run_b))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(page("Two runs compared", [report.fragment()]), encoding="utf-8")
    return output


def _evaluated(run: Path, model: str) -> Evaluated:
    folder = run / "outputs" / f"evaluation_{model}"
    try:
        scores = json.loads((folder / "scores").read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{folder / 'scores'}: not valid JSON; evaluate {model} again") from error
    return Evaluated(scores, scored_answers(folder / "predictions"))


def _labels(run_a: Path, run_b: Path) -> tuple[str, str]:
    """Short names of the runs."""
    a, b = run_a.absolute().name, run_b.absolute().name
    return (f"{a} (A)", f"{b} (B)")


def _measured(report: Report, pair: Pair) -> None:
    """A model's metrics in both runs, and the paired differences of its accuracies."""
    report.heading(pair.model)
    metrics = [pair.a.scores["metrics"], pair.b.scores["metrics"]]
    report.table(
        [
            {
                "metric": metric_title(name),
                "A": metric_cell(name, metrics[0].get(name)),
                "B": metric_cell(name, metrics[1].get(name)),
            }
            for name in dict.fromkeys([*metrics[0], *metrics[1]])
        ]
    )
    roles = {source["name"]: source["role"] for source in pair.b.scores["settings"]["benchmarks"]}
    found = compare_by(pair, lambda row: _NAMES.get(roles.get(row["benchmark"], ""), ""))
    report.table([_row("paired difference", name, paired) for name, paired in found.items() if name])


def _row(heading: str, name: str, paired: PairedComparison) -> dict[str, object]:
    estimate = paired.difference
    return {
        heading: name,
        "B - A": f"{100 * estimate.value:+.1f} points",
        "interval": f"{100 * estimate.low:+.1f} to {100 * estimate.high:+.1f}",
        "only B right": paired.gained,
        "only A right": paired.lost,
        "p": f"{paired.p_value_clustered:.3g}",
        "questions": estimate.n,
    }


def compare_by(pair: Pair, name_of: Callable[[Mapping[str, Any]], str]) -> dict[str, PairedComparison]:
    """Paired comparisons of the common items by what `name_of` says of their rows, names sorted.

    The rotations of a circular item count once, with the lowest of their scores.
    """
    units: dict[str, dict[Key, tuple[float, float, str]]] = {}
    for key in pair.common:
        row, other = pair.b.answers[key], pair.a.answers[key]
        unit = (row["benchmark"], row["group"] or row["item_id"])
        group = units.setdefault(name_of(row), {})
        before, after, _ = group.get(unit, (1.0, 1.0, ""))
        cluster = f"{row['benchmark']}\x1f{row['image_group']}"
        group[unit] = (min(before, other["score"]), min(after, row["score"]), cluster)
    return {name: _paired(list(units[name].values())) for name in sorted(units)}


def _paired(rows: Sequence[tuple[float, float, str]]) -> PairedComparison:
    before, after, clusters = zip(*rows, strict=True)
    return paired_comparison(np.array(before), np.array(after), clusters)


def _categories(report: Report, pair: Pair) -> None:
    report.heading(f"{pair.model}: by category")
    found = compare_by(pair, lambda row: f"{row['benchmark']} · {row['category']}")
    figure, axes = figure_axes(7.5, 0.6 + 0.28 * len(found))
    for place, paired in enumerate(found.values()):
        low, value, high = (
            100 * number
            for number in (paired.difference.low, paired.difference.value, paired.difference.high)
        )
        colour = "#2b7a4b" if low > 0 else "#b5403a" if high < 0 else "#7fa8d1"
        axes.plot([low, high], [place, place], color=colour, linewidth=2)
        axes.plot(value, place, "o", color=colour)
    axes.axvline(0, color="#1c2430", linewidth=0.8)
    axes.set_yticks(range(len(found)), list(found))
    axes.invert_yaxis()
    axes.set_xlabel("B - A in points, with interval")
    report.figure(figure, "Green: the interval lies above 0; red: below.")
    details = Report("categories")
    details.table([_row("category", name, paired) for name, paired in found.items()])
    report.details("The same as a table", details)


def _flips(report: Report, pair: Pair, labels: tuple[str, str], runs: tuple[Path, Path]) -> None:
    said = {labels[0]: pair.a.answers, labels[1]: pair.b.answers}
    outcomes = {
        key: (pair.a.answers[key]["score"] >= RIGHT, pair.b.answers[key]["score"] >= RIGHT)
        for key in pair.common
    }
    for title, flip in (("only B is right", (False, True)), ("only A is right", (True, False))):
        flipped = [key for key, outcome in outcomes.items() if outcome == flip]
        report.heading(f"{pair.model}: {title} ({len(flipped)} items)")
        keys = sorted(flipped, key=lambda key: sha256_hex("/".join(key)))[:SHOWN]
        items = find_items(runs[1], keys)
        pictures = [(items[key].image, caption(items[key], said, key)) for key in keys if key in items]
        if pictures:
            report.images(pictures)
        else:
            report.text("No such item with a picture.")

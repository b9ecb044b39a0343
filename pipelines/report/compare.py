"""The comparison of two runs on one page: metrics with paired differences, categories, items that flipped."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from components.core.data.hashing import sha256_hex
from components.core.stage.errors import DataError, NoInputError
from components.core.stage.report import Report, figure_axes, page
from components.core.stats import PairedComparison, paired_comparison
from components.stages import EVALUATED
from pipelines.report.answers import RIGHT, Answers, Key, scored_answers, show_items
from pipelines.report.page import metric_cell, metric_title

SHOWN = 12
_SCORES = "predictions/scores"
_NAMES = {"domain": "domain accuracy", "general": "general accuracy", "hallucination": "probe accuracy"}


class Evaluated(NamedTuple):
    """A run's evaluation of one model."""

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
        if all((run / "outputs" / f"evaluation_{name}" / _SCORES).is_file() for run in (run_a, run_b))
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
    labels = (f"{run_a.absolute().name} (A)", f"{run_b.absolute().name} (B)")
    report = Report(" and ".join(labels))
    report.text(
        f"A = {run_a}, B = {run_b}. Differences are B minus A on the items that both asked, with 95 % "
        "intervals; p flips the signs of whole pictures' differences."
    )
    for pair in pairs:
        _measured(report, pair)
    _categories(report, chosen)
    _flips(report, chosen, labels, run_b)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(page("Two runs compared", [report.fragment()]), encoding="utf-8")
    return output


def _evaluated(run: Path, model: str) -> Evaluated:
    folder = run / "outputs" / f"evaluation_{model}"
    try:
        scores = json.loads((folder / _SCORES).read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{folder / _SCORES}: not valid JSON; evaluate {model} again") from error
    return Evaluated(scores, scored_answers(folder / "predictions"))


def _measured(report: Report, pair: Pair) -> None:
    """A model's metrics in both runs, and the paired differences of its accuracies."""
    report.heading(pair.model)
    a, b = pair.a.scores["metrics"], pair.b.scores["metrics"]
    report.table(
        {"metric": metric_title(name)}
        | {run: metric_cell(name, of.get(name)) for run, of in (("A", a), ("B", b))}
        for name in {**a, **b}
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
    """Paired comparisons of the common items, grouped by `name_of` their rows, names sorted.

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
    columns = {name: zip(*units[name].values(), strict=True) for name in sorted(units)}
    return {
        name: paired_comparison(np.array(before), np.array(after), clusters)
        for name, (before, after, clusters) in columns.items()
    }


def _categories(report: Report, pair: Pair) -> None:
    report.heading(f"{pair.model}: by category")
    found = compare_by(pair, lambda row: f"{row['benchmark']} · {row['category']}")
    figure, axes = figure_axes(7.5, 0.6 + 0.28 * len(found))
    for place, measured in enumerate(paired.difference for paired in found.values()):
        low, value, high = 100 * measured.low, 100 * measured.value, 100 * measured.high
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


def _flips(report: Report, pair: Pair, labels: tuple[str, str], run_b: Path) -> None:
    said = dict(zip(labels, (pair.a.answers, pair.b.answers), strict=True))
    for run, better, worse in (("B", pair.b.answers, pair.a.answers), ("A", pair.a.answers, pair.b.answers)):
        flipped = [key for key in pair.common if better[key]["score"] >= RIGHT > worse[key]["score"]]
        report.heading(f"{pair.model}: only {run} is right ({len(flipped)} items)")
        keys = sorted(flipped, key=lambda key: sha256_hex("/".join(key)))[:SHOWN]
        show_items(report, run_b, keys, said, "No such item with a picture.")

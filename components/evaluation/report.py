"""Report of an evaluation and its Markdown: metrics, categories, confusion, comparison, examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from components.core.answers import AnswerType
from components.core.benchmarks.rules import Item
from components.core.data.hashing import sha256_hex
from components.core.stage.report import Report
from components.core.stats import Estimate, PairedComparison
from components.evaluation.items import Questions
from components.evaluation.results.comparison import OtherRun, RunComparison
from components.evaluation.results.confusion import confusion, outcomes
from components.evaluation.results.figures import accuracy_bars, confusion_plot, difference_plot, needle_plot
from components.evaluation.results.summary import RIGHT, Answered, Results

_LONGEST_QUESTION = 400
_CLOSED: dict[AnswerType, str] = {"yes_no": "yes/no questions", "choice": "multiple choice"}


class EvaluatedModel(NamedTuple):
    """A model's label, the questions, its greedy answers to them, and the numbers made of these."""

    label: str
    questions: Questions
    greedy: Answered
    results: Results


def write_report(
    report: Report,
    model: EvaluatedModel,
    comparison: RunComparison | None,
    other: OtherRun | None,
    confidence: float,
    examples: int,
) -> None:
    """Fill the report; `comparison` and `other` are those of the compared run, if there is one."""
    label, questions, greedy, results = model
    items, scored = questions.items, [found for _, found in greedy]
    report.heading(f"Scores of {label}")
    report.text(
        f"Intervals: {confidence:.0%}, pictures as what was sampled. Accuracy, hallucination and tokens are "
        "of greedy answers, pass@k of sampled ones."
    )
    report.table(_metric_rows(results.metrics))
    report.table(_benchmark_rows(questions, results))
    if comparison is not None and other is not None:
        _compare(report, model, comparison, other, examples)
    if probes := results.details.get("probes"):
        report.heading("Yes/no probes")
        report.table([{name: round(value, 4) for name, value in probes.items()}])
    for name, categories in results.by_category.items():
        title = f"{name}: accuracy by category"
        report.heading(title)
        report.figure(accuracy_bars(categories), f"{title}; whiskers are intervals, n is the items")
    for name, table in results.details.get("needle", {}).items():
        report.heading(f"{name}: needle in a haystack")
        report.figure(needle_plot(table), f"{name}: percent found by length and depth")
    report.heading("Confusion")
    for answer_type, name in _CLOSED.items():
        matrix = confusion(items, scored, (answer_type,))
        if matrix.categories:
            report.figure(confusion_plot(matrix), f"{name}: what was said for what is true; items")
    table_of_outcomes = Report("outcomes")
    table_of_outcomes.table(outcomes(items, scored, RIGHT))
    report.details("Outcomes by category", table_of_outcomes)
    right = [i for i, found in enumerate(scored) if found.score >= RIGHT]
    wrong = sorted(set(range(len(items))) - set(right))
    for title, group in (("Right answers", right), ("Wrong answers", wrong)):
        _examples(report, title, questions, group, examples, lambda i: _caption(items[i], greedy[i][0].text))


def markdown(label: str, results: Results, comparison: RunComparison | None) -> str:
    """The metrics, and the comparison if there is one, as Markdown for Kubeflow's page of the run."""
    parts = [f"# {label}", _markdown_table(_metric_rows(results.metrics))]
    if comparison is not None:
        parts += [f"## Against {comparison.label}", _markdown_table(_difference_rows(comparison.metrics))]
    return "\n\n".join(parts) + "\n"


def _title_of(name: str) -> str:
    """A metric's name for people."""
    return name.replace("pass_at_", "pass@").replace("_", " ").capitalize()


def _metric_rows(metrics: Mapping[str, Estimate]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for name, estimate in metrics.items():
        unit, scale = ("", 1) if name == "mean_response_tokens" else (" %", 100)
        shown = {key: f"{scale * getattr(estimate, key):.1f}{unit}" for key in ("value", "low", "high")}
        rows.append({"metric": _title_of(name), **shown, "items": estimate.n})
    return rows


def _benchmark_rows(questions: Questions, results: Results) -> list[dict[str, object]]:
    return [
        {
            "benchmark": source["name"],
            "counts as": source["role"],
            "kind": source["kind"],
            "accuracy": f"{100 * found.value:.1f} %",
            "interval": f"{100 * found.low:.1f} to {100 * found.high:.1f} %",
            "questions": found.n,
        }
        for source in questions.sources
        for found in [results.by_benchmark[source["name"]]]
    ]


def _difference_rows(metrics: Mapping[str, PairedComparison]) -> list[dict[str, object]]:
    return [
        {
            "metric": _title_of(name),
            "difference": f"{100 * paired.difference.value:+.1f} points",
            "interval": f"{100 * paired.difference.low:+.1f} to {100 * paired.difference.high:+.1f}",
            "only here": paired.gained,
            "only there": paired.lost,
            "p (pictures)": f"{paired.p_value_clustered:.3g}",
            "p (McNemar)": f"{paired.p_value:.3g}",
        }
        for name, paired in metrics.items()
    ]


def _compare(
    report: Report, model: EvaluatedModel, comparison: RunComparison, other: OtherRun, examples: int
) -> None:
    label, items = model.label, model.questions.items
    report.heading(f"{label} against {comparison.label}")
    report.text(
        f"The same {comparison.items} items, {label} minus {comparison.label}. p (pictures) flips the signs "
        "of whole pictures' differences and is the one to decide by; "
        "McNemar's test takes items as independent."
    )
    report.table(_difference_rows(comparison.metrics))
    for name, categories in comparison.by_category.items():
        report.figure(difference_plot(categories), f"{name}: change in accuracy by category")

    def caption(i: int) -> str:
        before = f"{other.label} said: {other.answers[i][0] or '(nothing)'}"
        return f"{_caption(items[i], model.greedy[i][0].text, label)}\n{before}"

    for title, group in (
        (f"Better: only {label} is right ({len(comparison.better)})", comparison.better),
        (f"Worse: only {comparison.label} is right ({len(comparison.worse)})", comparison.worse),
    ):
        _examples(report, title, model.questions, group, examples, caption)


def _examples(
    report: Report,
    title: str,
    questions: Questions,
    indices: Iterable[int],
    count: int,
    caption: Callable[[int], str],
) -> None:
    """Items with their (first) picture, under a heading; nothing if there are none."""
    shown = _choose_examples(questions.items, indices, count)
    if shown:
        report.heading(title)
        report.images([(questions.pictures(questions.items[i])[0], caption(i)) for i in shown])


def _choose_examples(items: Sequence[Item], indices: Iterable[int], count: int) -> list[int]:
    """A pseudo-random choice of items, at most one of a picture, from each benchmark in turn."""
    ranked: dict[str, list[int]] = {}
    for index in sorted(indices, key=lambda i: sha256_hex(f"{items[i].benchmark}/{items[i].item_id}")):
        if items[index].pictures:
            ranked.setdefault(items[index].benchmark, []).append(index)
    shown: list[int] = []
    pictures: set[tuple[str, str]] = set()
    while len(shown) < count and any(ranked.values()):
        for candidates in ranked.values():
            while candidates and len(shown) < count:
                item = items[index := candidates.pop(0)]
                if (item.benchmark, item.image_group) not in pictures:
                    pictures.add((item.benchmark, item.image_group))
                    shown.append(index)
                    break
    return shown


def _caption(item: Item, response: str, who: str = "") -> str:
    options = "".join(f"\n{chr(65 + n)}. {choice}" for n, choice in enumerate(item.choices))
    cut = " …" if len(item.question) > _LONGEST_QUESTION else ""
    question = item.question[:_LONGEST_QUESTION] + cut
    more = f" · first of {len(item.pictures)} pictures" if len(item.pictures) > 1 else ""
    said = f"{who} said" if who else "said"
    return (
        f"{item.benchmark} · {item.category}{more}\n{question}{options}\n"
        f"expected: {' | '.join(item.answers)}\n{said}: {response or '(nothing)'}"
    )


def _markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "(nothing measured)"
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([str(row[name]) for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

"""The stage's report: headline metrics, accuracy by category, right and wrong answers with their pictures."""

from __future__ import annotations

from collections.abc import Sequence

from components.core.config import sha256_hex
from components.core.report import Report, figure_axes
from components.evaluation.benchmarks import Item, Questions
from components.evaluation.inference import Response
from components.evaluation.scoring import Results, Scored
from components.evaluation.stats import Estimate

TITLES = {
    "domain_accuracy": "Domain accuracy",
    "general_accuracy": "General accuracy",
    "hallucination_rate": "Hallucination rate",
    "mean_response_tokens": "Mean response tokens",
}


def write_report(
    report: Report,
    label: str,
    questions: Questions,
    results: Results,
    greedy: Sequence[tuple[Response, Scored]],
    *,
    confidence: float,
    examples: int,
) -> None:
    """Fill the report."""
    report.heading(f"Scores of {label}")
    report.text(
        f"Intervals: {confidence:.0%}, bootstrap over pictures. Accuracy, hallucination and tokens are of greedy "
        "answers, pass@k of sampled ones."
    )
    report.table([_row(title_of(name), name, estimate) for name, estimate in results.metrics.items()])
    report.table(
        [
            {
                "benchmark": source["name"],
                "counts as": source["role"],
                "scorer": source["scorer"],
                "items": source["items"],
            }
            for source in questions.sources
        ]
    )
    if probes := results.details.get("probes"):
        report.heading("Yes/no probes")
        report.table([{name: round(value, 4) for name, value in probes.items()}])
    for name, categories in results.by_category.items():
        report.heading(f"{name}: accuracy by category")
        report.figure(
            _bars(categories), f"{name}: accuracy by category; whiskers are intervals, n is the items"
        )
    if examples:
        for title, right in (("Right answers", True), ("Wrong answers", False)):
            shown = _examples(questions.items, greedy, right, examples)
            if shown:
                report.heading(title)
                report.images(
                    [
                        (questions.picture(questions.items[i]), _caption(questions.items[i], greedy[i]))
                        for i in shown
                    ]
                )


def title_of(name: str) -> str:
    """A metric's name for people."""
    return TITLES.get(name, name.replace("pass_at_", "pass@"))


def _row(title: str, name: str, estimate: Estimate) -> dict[str, object]:
    unit, scale = ("", 1) if name == "mean_response_tokens" else (" %", 100)
    value, low, high = (
        f"{scale * number:.1f}{unit}" for number in (estimate.value, estimate.low, estimate.high)
    )
    return {"metric": title, "value": value, "low": low, "high": high, "items": estimate.n}


def _bars(categories: dict[str, Estimate]) -> object:
    names = list(categories)
    figure, axes = figure_axes(7.0, 0.6 + 0.32 * len(names))
    values = [categories[name].value for name in names]
    below = [categories[name].value - categories[name].low for name in names]
    above = [categories[name].high - categories[name].value for name in names]
    rows = range(len(names))
    axes.barh(rows, values, xerr=[below, above], color="#7fa8d1", ecolor="#1c2430", capsize=2)
    axes.set_yticks(rows, [f"{name} (n = {categories[name].n})" for name in names])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("accuracy")
    return figure


def _examples(
    items: Sequence[Item], greedy: Sequence[tuple[Response, Scored]], right: bool, count: int
) -> list[int]:
    """Items answered right (or wrong), a pseudo-random choice, at most one of a picture, in turn from each benchmark."""
    ranked: dict[str, list[int]] = {}
    for index in sorted(
        range(len(items)), key=lambda i: sha256_hex(f"{items[i].benchmark}/{items[i].item_id}")
    ):
        if (greedy[index][1].score >= 0.5) == right:
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


def _caption(item: Item, answered: tuple[Response, Scored]) -> str:
    options = "".join(f"\n{chr(65 + n)}. {choice}" for n, choice in enumerate(item.choices))
    said = answered[0].text or "(nothing)"
    return (
        f"{item.benchmark} · {item.category}\n{item.question}{options}\nexpected: {item.answer}\nsaid: {said}"
    )

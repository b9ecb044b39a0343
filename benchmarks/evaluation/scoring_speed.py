"""Time to score 20,000 predictions, with intervals by category and paired tests against another run.

Synthetic predictions of a fixed seed: 5,000 pictures of four items, 40 categories in four benchmarks, 600
items sampled eight times for pass@k. Six ways of answering: letter, sentence with a letter, number with a
unit in a sentence, yes or no with a reason, span, chart value. Timed: extraction and scoring of all
responses, all metrics with 2,000 bootstrap resamples over pictures, and the comparison with a second run.
Target: 20 s on two cores.

    python -m benchmarks.evaluation.scoring_speed [--scale 1.0]
"""

from __future__ import annotations

import argparse
from typing import Any, get_args

import numpy as np

from benchmarks.harness import result, timed
from components.core.benchmarks.rules import Role
from components.core.stats import Bootstrap
from components.evaluation.engines import Response
from components.evaluation.items import Item
from components.evaluation.results.comparison import OtherRun, compare
from components.evaluation.results.summary import summarise
from components.evaluation.scoring import Scored, score_all

PREDICTIONS = 20_000
SAMPLED, SAMPLES = 600, 8
ITEMS_A_PICTURE = 4
CATEGORIES_A_BENCHMARK = 10
COLOURS = ("red", "green", "blue", "yellow")
ROLES: tuple[Role, ...] = (*get_args(Role), "general")


def make_items(count: int) -> list[Item]:
    """Items of four benchmarks in turn; the third is of yes/no probes."""
    items = []
    for number in range(count):
        benchmark = number % 4
        kind, answer_type, answers, choices = (
            ("agreement", "choice", (COLOURS[number // 4 % 4],), COLOURS),
            ("agreement", "number", (str(number % 97),), ()),
            ("pope", "yes_no", (("yes", "no")[number // 4 % 2],), ()),
            ("anls", "span", (f"exit {number % 31}",), ()),
        )[benchmark]
        if kind == "agreement" and answer_type == "choice":
            answers = ("ABCD"[number // 4 % 4],)
        items.append(
            Item(
                benchmark=f"benchmark {benchmark}",
                role=ROLES[benchmark],
                kind=kind,
                item_id=str(number),
                image_group=str(number // 4 // ITEMS_A_PICTURE),
                question="What does the picture show?",
                answers=answers,
                answer_type=answer_type,  # type: ignore[arg-type]
                choices=choices,
                category=f"category {number // 4 % CATEGORIES_A_BENCHMARK}",
                pictures=(),
                pixels=0,
            )
        )
    return items


def respond(item: Item, rng: np.random.Generator, skill: float) -> Response:
    """A response in one of several forms, right with chance `skill`."""
    right = rng.random() < skill
    long = rng.random() < 0.5
    if item.answer_type == "choice":
        letter = item.reference if right else "ABCD"[(ord(item.reference) - 64) % 4]
        text = f"The sign in the middle is painted, so the answer is ({letter})." if long else letter
    elif item.answer_type == "number":
        value = int(item.reference) + (0 if right else 7)
        text = f"Counting from the left there are {value} km/h shown. Answer: {value}" if long else str(value)
    elif item.answer_type == "yes_no":
        word = item.reference if right else {"yes": "no", "no": "yes"}[item.reference]
        text = f"{word.capitalize()}, as far as the picture shows." if long else word
    else:
        text = item.reference if right else "entrance"
        text = f"It says: {text}" if long else text
    return Response(text, len(text.split()) + 1, True)


def score_run(items: list[Item], responses: list[Response]) -> list[Scored]:
    """Extraction and scores of all responses."""
    return score_all(items, [response.text for response in responses], None)


def main() -> None:
    """Time the parts and their sum."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the 20,000 predictions")
    count = max(100, round(PREDICTIONS * parser.parse_args().scale))
    rng = np.random.default_rng(0)
    items = make_items(count)
    responses = [respond(item, rng, 0.7) for item in items]
    others = [respond(item, rng, 0.66) for item in items]
    chosen = [i for i, item in enumerate(items) if item.role == "domain"][:SAMPLED]
    drawn = [(i, respond(items[i], rng, 0.6)) for i in chosen for _ in range(SAMPLES)]
    bootstrap = Bootstrap()

    scored, scoring_s = timed(lambda: score_run(items, responses))
    found, samples_s = timed(lambda: score_run([items[i] for i, _ in drawn], [r for _, r in drawn]))
    samples: dict[int, list[Scored]] = {}
    for (i, _), one in zip(drawn, found, strict=True):
        samples.setdefault(i, []).append(one)
    greedy = list(zip(responses, scored, strict=True))
    results, summary_s = timed(
        lambda: summarise(items, greedy, samples, pass_k=(1, SAMPLES), bootstrap=bootstrap)
    )
    before = score_run(items, others)
    answers = {i: (response.text, one) for i, (response, one) in enumerate(zip(others, before, strict=True))}
    comparison, comparison_s = timed(lambda: compare(items, scored, OtherRun("before", answers), bootstrap))
    figures: dict[str, Any] = {name: round(e.value, 4) for name, e in results.metrics.items()}
    total = scoring_s + samples_s + summary_s + comparison_s
    result(
        "evaluation_scoring_speed",
        predictions=count,
        samples=len(drawn),
        scoring_s=round(scoring_s + samples_s, 2),
        intervals_s=round(summary_s, 2),
        paired_s=round(comparison_s, 2),
        total_s=round(total, 2),
        target_s=20,
        met=total <= 20,
        p_value_clustered=comparison.metrics["domain_accuracy"].p_value_clustered,
        metrics=figures,
    )


if __name__ == "__main__":
    main()

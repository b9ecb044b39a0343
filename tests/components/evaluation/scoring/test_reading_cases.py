"""Responses to published kinds of benchmarks, scored as `cases/reading.jsonl` says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.core.benchmarks.base import BenchmarkItem
from components.evaluation.items import Item, build_items
from components.evaluation.scoring import Scored, score

CASES = Path(__file__).parent / "cases" / "reading.jsonl"
OPTIONS = Path(__file__).parents[2] / "core" / "answers" / "cases" / "options.jsonl"


def _cases(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _score(
    kind: str, question: str, answer: str, response: str, options: tuple[str, ...] = (), **fields: str
) -> Scored:
    category = fields.get("category", "")
    row = BenchmarkItem(
        item_id="1", question=question, answer=answer, image_group="1", pictures=(), choices=options,
        category=category, fields={"answer_type": "integer", "precision": "", **fields},
    )  # fmt: skip
    blank = Item(
        benchmark="own", role="general", kind=kind, item_id="1", image_group="1", pictures=(), pixels=0,
        question=question, answers=(answer,), answer_type="span", choices=options, category=category,
    )  # fmt: skip
    return score(response, build_items(blank, row, True)[0])


@pytest.mark.parametrize("kind", ["mathvista", "mmmu", "mathvision", "ocrbench"])
def test_recorded_scores(kind: str):
    wrong = []
    for case in _cases(CASES):
        if case["kind"] != kind:
            continue
        fields = {"category": case["category"]} if "category" in case else {}
        scored = _score(kind, case["question"], case["answer"], case["response"], **fields)
        if scored.score != case["score"]:
            wrong.append((case, scored))
    assert not wrong


@pytest.mark.parametrize("kind", ["choice", "mmmu", "mathvision"])
def test_recorded_options(kind: str):
    wrong = []
    for case in _cases(OPTIONS):
        if case["kind"] != kind:
            continue
        scored = _score(kind, case["question"], "A", case["response"], tuple(case["options"]))
        if scored.extracted != case["read"]:
            wrong.append((case, scored))
    assert not wrong


def test_a_formula_of_the_same_value_names_an_option_of_a_mathematical_benchmark_alone():
    options = ("$\\frac{1}{2}$", "$\\frac{1}{3}$")
    assert _score("mathvision", "q", "A", "\\boxed{0.5}", options).extracted == "A"
    assert _score("choice", "q", "A", "0.5", ("1/2", "1/3")).extracted == ""

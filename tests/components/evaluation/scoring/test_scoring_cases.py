"""Recorded responses with the scores that the benchmarks' definitions give them: `cases/<kind>.jsonl`.

Each case gives its reason in `why`. The cases were written for this project. Their scores follow from the
papers' definitions: MMBench (one letter, all rotations right), POPE (yes or no), MathVista (equal after
normalisation by answer type), ST-VQA and DocVQA (ANLS), ChartQA (within 5 % or equal), OCRBench (a reference
occurs in the response).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.evaluation.items import rotations
from components.evaluation.scoring import aggregate, score

CASES = Path(__file__).parent / "cases"
KINDS = ("choice", "circular", "pope", "mathvista", "anls", "chartqa", "ocrbench")


def _read(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CASES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def _mathvista_type(case: dict[str, Any]) -> str:
    if case["choices"]:
        return "choice"
    return "number" if case["form"] in ("integer", "float") else "span"


FIELDS = {
    "choice": lambda c: {"kind": "choice", "answer_type": "choice", "choices": tuple(c["choices"])},
    "pope": lambda c: {"kind": "pope", "answer_type": "yes_no"},
    "mathvista": lambda c: {
        "kind": "mathvista",
        "answer_type": _mathvista_type(c),
        "form": c["form"],
        "precision": c["precision"],
        "unit": c["unit"],
        "choices": tuple(c["choices"]),
    },
    "anls": lambda c: {"kind": "anls", "answer_type": "span"},
    "chartqa": lambda c: {"kind": "relaxed_accuracy", "answer_type": "span"},
    "ocrbench": lambda c: {"kind": "ocrbench", "answer_type": "span", "category": c["category"]},
}


@pytest.mark.parametrize("name", KINDS)
def test_there_are_at_least_200_different_cases_right_and_wrong(name: str):
    cases = _read(name)
    contents = {json.dumps({k: v for k, v in c.items() if k not in ("id", "why")}) for c in cases}
    assert len(contents) == len(cases) == len({c["id"] for c in cases}) >= 200
    assert len(cases) / 5 < sum(c["score"] > 0 for c in cases) < len(cases) * 4 / 5
    assert all(c["why"] for c in cases)


@pytest.mark.parametrize("name", [name for name in KINDS if name != "circular"])
def test_recorded_scores(name: str, any_item):
    wrong = []
    for case in _read(name):
        answers = tuple(case["answers"]) if "answers" in case else (case["answer"],)
        scored = score(case["response"], any_item(answers=answers, **FIELDS[name](case)))
        if scored.score != pytest.approx(case["score"], abs=1e-9):
            wrong.append((case["id"], case["response"], case["why"], case["score"], scored))
        if "extracted" in case and scored.extracted != case["extracted"]:
            wrong.append((case["id"], case["response"], case["why"], case["extracted"], scored))
        assert (scored.stage == "none") <= (scored.score == 0)
    assert not wrong


def test_recorded_circular_groups(any_item):
    wrong = []
    for case in _read("circular"):
        item = any_item(
            kind="circular", answer=case["answer"], answer_type="choice", choices=tuple(case["choices"])
        )
        items = rotations(item)
        (unit,) = aggregate(items, [score(r, i) for r, i in zip(case["responses"], items, strict=True)])
        if unit.score != case["score"]:
            wrong.append((case["id"], case["responses"], case["why"]))
    assert not wrong


def test_recorded_anls_follow_from_the_definition():
    """Maximum over references of 1 - NL, if NL = distance / longer length is below 0.5 (Biten et al.)."""
    for case in _read("anls"):
        said = " ".join(case["said"].lower().split())
        best = 0.0
        for reference in case["answers"]:
            truth = " ".join(reference.lower().split())
            normalised = _distance(said, truth) / max(len(said), len(truth))
            best = max(best, 1 - normalised if normalised < 0.5 else 0.0)
        assert case["score"] == pytest.approx(best, abs=1e-9), case["id"]


def _distance(a: str, b: str) -> int:
    """Levenshtein's table, row by row: independent of the bit-parallel one that is tested."""
    above = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        row = [i]
        for j, y in enumerate(b, start=1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y)))
        above = row
    return above[-1]

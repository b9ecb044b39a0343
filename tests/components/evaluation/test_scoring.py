"""From responses to metrics, worked out by hand."""

from __future__ import annotations

import pytest

from components.evaluation.benchmarks import Item
from components.evaluation.inference import Response
from components.evaluation.scoring import Scored, score, summarise
from components.evaluation.stats import Bootstrap


def _item(number: int, **fields) -> Item:
    defaults = {
        "benchmark": "b", "role": "domain", "scorer": "agreement", "item_id": str(number), "image_group": str(number),
        "question": "q", "answer": "yes", "answer_type": "yes_no", "choices": (), "category": "c",
        "picture": (0, number), "pixels": 1,
    }  # fmt: skip
    return Item(**{**defaults, **fields})


@pytest.mark.parametrize(
    ("response", "fields", "expected"),
    [
        ("Yes.", {}, ("yes", 1.0)),
        ("I see it. Answer: no", {}, ("no", 0.0)),
        ("who knows", {}, ("", 0.0)),
        ("red", {"answer": "B", "answer_type": "choice", "choices": ("blue", "red")}, ("B", 1.0)),
        ("Answer: 42 km/h", {"answer": "42", "answer_type": "number"}, ("42 km/h", 1.0)),
        ("104", {"answer": "100", "answer_type": "number"}, ("104", 0.0)),
        ("104", {"answer": "100", "answer_type": "number", "scorer": "relaxed_accuracy"}, ("104", 1.0)),
        ("helo", {"answer": "hello", "answer_type": "span", "scorer": "anls"}, ("helo", 0.8)),
        ("helo", {"answer": "hello", "answer_type": "span"}, ("helo", 0.0)),
    ],
)
def test_score(response: str, fields: dict, expected: tuple[str, float]):
    scored = score(response, _item(0, **fields))
    assert (scored.extracted, scored.score) == expected


def _answered(text: str, value: float, tokens: int = 1, finished: bool = True) -> tuple[Response, Scored]:
    return Response(text, tokens, finished), Scored(text, "exact", value)


def test_summary_by_hand():
    items = [
        _item(0, category="x"),
        _item(1, category="y"),
        _item(2, benchmark="g", role="general"),
        _item(3, benchmark="h", role="hallucination", answer="no"),
        _item(4, benchmark="h", role="hallucination", answer="no"),
        _item(5, benchmark="h", role="hallucination", answer="yes"),
    ]
    greedy = [
        _answered("yes", 1.0, tokens=2),
        _answered("no", 0.0, tokens=6, finished=False),
        _answered("yes", 1.0),
        _answered("yes", 0.0),  # a hallucination
        _answered("no", 1.0),
        _answered("yes", 1.0),
    ]
    samples = {
        0: [Scored("yes", "exact", 1.0), Scored("no", "exact", 0.0)],
        1: [Scored("no", "exact", 0.0), Scored("no", "exact", 0.0)],
    }
    results = summarise(items, greedy, samples, pass_k=(1, 2), bootstrap=Bootstrap(resamples=200))
    assert {name: (e.value, e.n) for name, e in results.metrics.items()} == {
        "domain_accuracy": (0.5, 2),
        "general_accuracy": (1.0, 1),
        "hallucination_rate": (0.5, 2),
        "pass_at_1": (0.25, 2),
        "pass_at_2": (0.5, 2),
        "mean_response_tokens": (4.0, 2),
    }
    assert {name: set(found) for name, found in results.by_category.items()} == {
        "b": {"x", "y"},
        "g": {"c"},
        "h": {"c"},
    }
    # yes, no, yes against no, no, yes: two of three right; precision 1/2, recall 1, f1 = 2/3.
    probes = results.details["probes"]
    assert probes == pytest.approx(
        {
            "n": 3,
            "accuracy": 2 / 3,
            "yes_ratio": 2 / 3,
            "unanswered": 0,
            "precision": 0.5,
            "recall": 1,
            "f1": 2 / 3,
        }
    )
    assert results.details["cut_responses"] == pytest.approx(1 / 6)


def test_metrics_without_items_are_absent():
    results = summarise(
        [_item(0, role="general")], [_answered("yes", 1.0)], {}, pass_k=(1,), bootstrap=Bootstrap()
    )
    assert set(results.metrics) == {"general_accuracy"}

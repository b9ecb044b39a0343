"""The judge, asked over a real loopback endpoint."""

from __future__ import annotations

import json
import logging

import pytest

from components.core.resume.journal import Journal
from components.core.stage.errors import StageError
from components.core.stage.settings import Endpoint
from components.evaluation.scoring import Scored, score_all
from components.evaluation.scoring.judge import Judge, prompt_hash

LOG = logging.getLogger("test")


@pytest.fixture
def judge(chat_server, tmp_path):
    def make(max_failed: float = 0.0) -> Judge:
        endpoint = Endpoint(**chat_server.endpoint("judge-1"))
        return Judge(endpoint, Journal(tmp_path / "judge.jsonl"), LOG, max_failed)

    return make


def test_it_reads_what_rules_cannot_and_nothing_else(chat_server, judge, any_item):
    item = any_item(kind="choice", answer="B", answer_type="choice", choices=("red", "blue"))
    chat_server.say = lambda prompt, images: json.dumps({"answer": "B" if "azure" in prompt else ""})
    named = judge()
    found = score_all([item] * 4, ["A", "It is azure.", "I will not say.", ""], named)
    assert found == [
        Scored("A", "exact", 0.0),
        Scored("B", "judge", 1.0),
        Scored("", "judge", 0.0),
        Scored("", "none", 0.0),
    ]
    assert len(chat_server.prompts) == named.asked == 2
    assert named.identity == {"model": "judge-1", "prompt_hash": prompt_hash()}


def test_its_verdict_decides_on_open_answers(chat_server, judge, any_item):
    item = any_item(kind="judged", answers=("a sports car",), answer_type="open")
    chat_server.say = lambda prompt, images: json.dumps({"correct": "coupé" in prompt, "answer": "said"})
    found = score_all([item] * 3, ["A fast coupé.", "A lorry.", "A sports car."], judge())
    assert [(s.stage, s.score) for s in found] == [("judge", 1.0), ("judge", 0.0), ("exact", 1.0)]


def test_a_resumed_run_asks_it_nothing_twice(chat_server, judge, any_item):
    item = any_item(kind="judged", answers=("x",), answer_type="open")
    chat_server.say = lambda prompt, images: json.dumps({"correct": True, "answer": "y"})
    first = score_all([item], ["something"], judge())
    assert score_all([item], ["something"], judge()) == first
    assert len(chat_server.prompts) == 1


def test_its_failures_are_counted_and_too_many_end_the_stage(chat_server, judge, any_item):
    item = any_item(kind="judged", answers=("x",), answer_type="open")
    chat_server.say = lambda prompt, images: (
        "no JSON" if "broken" in prompt else json.dumps({"correct": True, "answer": "y"})
    )
    responses = ["fine", "broken"]
    with pytest.raises(StageError, match="judge-1 gave no usable reply to 1 of 2"):
        score_all([item] * 2, responses, judge())
    lenient = judge(max_failed=0.5)
    assert [s.stage for s in score_all([item] * 2, responses, lenient)] == ["judge", "none"]
    assert lenient.failed == 1

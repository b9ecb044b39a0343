from __future__ import annotations

import json

import pytest

from components.core.vlm.messages import build_conversation, parts_of, words
from components.curriculum_sft.config import Config
from components.curriculum_sft.data.background import Asked, wanted, with_own_answers


def talk(*answers: str, images: int = 1) -> dict:
    turns = build_conversation([(f"Question {n}?", answer) for n, answer in enumerate(answers)], images)
    return {"sample_id": "s", "messages": json.dumps(turns), "image_ids": [f"i{n}" for n in range(images)]}


def said(row: dict) -> list[str]:
    return [words(parts_of(turn)) for turn in json.loads(row["messages"])]


def test_each_turn_follows_the_models_own_answers():
    seen: list[list[str]] = []

    def ask(round_: int, asked: list[Asked]) -> list[str]:
        seen.extend([words(parts_of(turn)) for turn in one.before] for one in asked)
        return [f"own {round_} of {one.number}" for one in asked]

    first, second = with_own_answers([talk("a", "b"), talk("c")], ask, separate=False)
    assert said(first) == ["Question 0?", "own 0 of 0", "Question 1?", "own 1 of 0"]
    assert said(second) == ["Question 0?", "own 0 of 1"]
    assert seen == [["Question 0?"], ["Question 0?"], ["Question 0?", "own 0 of 0", "Question 1?"]]


def test_separate_questions_are_asked_alone_with_all_pictures():
    asked_of: list[Asked] = []

    def ask(round_: int, asked: list[Asked]) -> list[str]:
        asked_of.extend(asked)
        return ["own"] * len(asked)

    with_own_answers([talk("a", "b", images=2)], ask, separate=True)
    last = asked_of[-1]
    assert [words(parts_of(turn)) for turn in last.before] == ["Question 1?"]
    assert last.image_ids == ["i0", "i1"] and len(parts_of(last.before[0])) == 3


@pytest.mark.parametrize(("cut", "left"), [(0, None), (1, 2), (2, 4)])
def test_a_sample_ends_before_an_answer_that_was_cut(cut, left):
    found = with_own_answers(
        [talk("a", "b", "c")], lambda n, asked: [None if n == cut else "own"] * len(asked), separate=False
    )
    assert [len(json.loads(row["messages"])) for row in found] == ([left] if left else [])


def test_no_more_samples_are_asked_than_the_mixture_draws():
    """7 domain answers at 70 % leave room for 3 general ones."""
    domain = [{**talk("a"), "sample_id": f"d{n}", "source": "domain"} for n in range(7)]
    general = [{**talk("a"), "sample_id": f"g{n}", "source": "general", "set": "x"} for n in range(50)]
    config = Config(domain_share=0.7, general_answers="own")
    chosen = wanted(domain, general, config)
    assert len(chosen) == 3 and chosen == wanted(domain, general, config)


@pytest.mark.parametrize("config", [{"domain_share": 1.0}, {"domain_share": 0.7, "objective": "dpo"}])
def test_a_background_needs_a_share(config):
    with pytest.raises(ValueError, match="domain_share below 1"):
        Config(general_answers="own", **config)

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from components.core.mllm import Answer, ChatRequest
from components.core.stage.settings import Endpoint
from components.qa_synthesis.config import Config, Directions
from components.qa_synthesis.draft import generate
from components.qa_synthesis.evolution import VERDICTS, Attempt, draw_direction, evolve_round, settle
from components.qa_synthesis.image_question import ImageQuestion
from components.qa_synthesis.plan import Task
from components.qa_synthesis.schemas import EvolvedItem, Judgement, QAEvolved, QAItems, QAJudged


def item(question: str, answer: str, answer_type: str, **more) -> ImageQuestion:
    return ImageQuestion(
        image_id="image", question=question, answers=(answer,), answer_type=answer_type, **more
    )


CONFIG = Config(endpoint=Endpoint(base_url="http://localhost/v1", model="m"))
TASK = Task("image", b"", "train", 3)
ITEMS = [item(question, "red", "span") for question in ("One?", "Two?", "Three?")]


def judgement(index=1, improved=True, score=8, blind=False) -> Judgement:
    return Judgement(
        index=index, improved=improved, score=score, answerable_without_image=blind, reason="because"
    )


def evolved(index: int, question: str, answer_type: str = "span") -> EvolvedItem:
    return EvolvedItem(
        index=index,
        question=question,
        answer="blue",
        answer_type=answer_type,
        choices=[],
        reasoning="",
        objects=[],
        skills=[],
        form="Multi-choice",
    )


def scripted(*values):
    """An `ask` that answers with given values, in order; an exception's text stands for an error."""
    replies = list(values)
    seen: list[ChatRequest] = []

    def ask(requests: list[ChatRequest]) -> list[Answer]:
        seen.extend(requests)
        answers = []
        for request in requests:
            value = replies.pop(0)
            error = str(value) if isinstance(value, Exception) else None
            answers.append(Answer(request.key, None if error else value, error, 1, 1))
        return answers

    ask.seen = seen  # type: ignore[attr-defined]
    return ask


def test_directions_have_the_papers_shares():
    drawn = Counter(draw_direction(str(i), 1, Directions()) for i in range(4000))
    assert abs(drawn["perception"] / 4000 - 0.5) < 0.04
    assert abs(drawn["reasoning"] / 4000 - 0.25) < 0.03 and abs(drawn["interaction"] / 4000 - 0.25) < 0.03


def test_a_draw_depends_on_item_and_round_only():
    assert draw_direction("a", 1, Directions()) == draw_direction("a", 1, Directions())
    assert len({draw_direction("a", round_no, Directions()) for round_no in range(20)}) > 1


def test_shares_must_sum_to_one():
    with pytest.raises(ValueError, match="sum to 1"):
        Directions(interaction=0.5, reasoning=0.5, perception=0.5)


@pytest.mark.parametrize(
    ("verdict", "judged"),
    [
        ("kept", judgement(score=6)),
        ("low_score", judgement(score=5)),
        ("not_improved", judgement(improved=False, score=10)),
        ("answerable_without_image", judgement(blind=True, score=10)),
        ("unjudged", None),
    ],
)
def test_only_a_clear_win_replaces_the_parent(verdict, judged):
    parent, child = ITEMS[0], item("Harder?", "blue", "span", round=2)
    after = settle(Attempt(parent, "reasoning", child), judged, round_no=2, min_score=6)
    (entry,) = after.history
    assert verdict in VERDICTS and entry["verdict"] == verdict and entry["direction"] == "reasoning"
    if verdict == "kept":
        assert after.question == "Harder?" and entry["replaced"]["question"] == "One?"
    else:
        assert after.question == "One?" and entry["eliminated"]["question"] == "Harder?"
    if verdict == "answerable_without_image":
        assert entry["score"] == 0


def test_missing_malformed_and_repeated_versions_leave_the_parent():
    ask = scripted(QAEvolved(items=[evolved(1, "Two?"), evolved(2, "New?", "essay")]))
    (after,) = evolve_round([TASK], [ITEMS], 1, CONFIG, ask)
    assert [item.question for item in after] == ["One?", "Two?", "Three?"]
    assert [item.history[0]["verdict"] for item in after] == ["duplicate", "malformed", "missing"]
    assert len(ask.seen) == 1  # nothing to judge, so the judge is not asked


def test_verdicts_go_to_the_items_that_were_judged():
    """Only the second and third item have new versions; the judge's numbers count those."""
    ask = scripted(
        QAEvolved(items=[evolved(3, "Third better?"), evolved(2, "Second better?")]),
        QAJudged(items=[judgement(1, improved=False), judgement(2), judgement(7)]),
    )
    (after,) = evolve_round([TASK], [ITEMS], 1, CONFIG, ask)
    assert [item.question for item in after] == ["One?", "Two?", "Third better?"]
    assert after[2].parent_id == ITEMS[2].qa_id and after[2].round == 1


def test_two_items_may_not_evolve_into_the_same_question():
    ask = scripted(
        QAEvolved(items=[evolved(1, "Same?"), evolved(2, "same"), evolved(3, "Other?")]),
        QAJudged(items=[judgement(1), judgement(2)]),
    )
    (after,) = evolve_round([TASK], [ITEMS], 1, CONFIG, ask)
    assert [item.question for item in after] == ["Same?", "Two?", "Other?"]


def test_items_about_absent_things_stay_as_they_are():
    denied = [item(f"Is there a {name}?", "no", "yes_no") for name in ("cat", "dog")]
    items = [ITEMS[0], denied[0], ITEMS[1], denied[1]]
    ask = scripted(
        QAEvolved(items=[evolved(1, "Is there a cat?"), evolved(2, "Second?"), evolved(3, "Third?")]),
        QAJudged(items=[judgement(1), judgement(2)]),
    )
    (after,) = evolve_round([replace(TASK, absent=1)], [items], 1, CONFIG, ask)
    assert [item.question for item in after] == ["One?", "Is there a cat?", "Second?", "Third?"]
    assert after[1] == denied[0] and not after[1].history
    assert after[0].history[0]["verdict"] == "duplicate"  # of the item that stays


def test_a_failed_request_keeps_all_items():
    (after,) = evolve_round([TASK], [ITEMS], 1, CONFIG, scripted(ValueError("malformed: no JSON")))
    assert after == ITEMS and after[0].history[0]["reason"] == "malformed: no JSON"


def test_images_without_items_are_not_asked_about():
    ask = scripted()
    assert evolve_round([TASK], [[]], 1, CONFIG, ask) == [[]] and not ask.seen


def test_draft_duplicates_and_surplus_are_turned_away():
    fields = {
        "answer": "red",
        "answer_type": "span",
        "choices": [],
        "reasoning": "",
        "objects": [],
        "skills": [],
    }
    questions = ["One?", "one", "Two?", "Three?", "Four?"]
    drafts = QAItems.model_validate({"items": [{"question": q, "topic": 0, **fields} for q in questions]})
    (items,), rejections = generate([TASK], CONFIG, scripted(drafts))
    assert [item.question for item in items] == ["One?", "Two?", "Three?"]
    assert [(r.id, r.reason) for r in rejections] == [
        ("image#1", "duplicate_question"),
        ("image#4", "surplus"),
    ]


@pytest.mark.parametrize("reply", [ValueError("endpoint: gone"), QAItems(items=[])])
def test_an_image_without_items_is_rejected_itself(reply):
    (items,), (rejection,) = generate([TASK], CONFIG, scripted(reply))
    assert items == [] and (rejection.id, rejection.reason) == ("image", "no_answer")


def test_items_that_were_not_written_are_counted():
    drafts = QAItems.model_validate(
        {
            "items": [
                {
                    "question": "One?",
                    "topic": 0,
                    "answer": "red",
                    "answer_type": "span",
                    "choices": [],
                    "reasoning": "",
                    "objects": [],
                    "skills": [],
                }
            ]
        }
    )
    (items,), rejections = generate([TASK], CONFIG, scripted(drafts))
    assert len(items) == 1
    assert [(r.id, r.reason) for r in rejections] == [
        ("image#1", "not_written"),
        ("image#2", "not_written"),
    ]


def test_prompts_name_directions_abilities_and_forms():
    ask = scripted(QAEvolved(items=[]))
    evolve_round([TASK], [ITEMS], 1, CONFIG, ask)
    (request,) = ask.seen
    for word in ("depth_order", "multi_choice", "behaviour prediction", "interaction:", "perception:"):
        assert word in request.prompt


def test_the_draft_s_prompt_says_what_to_ask_about():
    task = Task("image", b"", "train", 3, aspects={"text and numbers to read": 2}, types={"number": 3})
    ask = scripted(QAItems(items=[]))
    generate([task], CONFIG, ask)
    prompt = ask.seen[0].prompt
    assert "- 2 about: text and numbers to read" in prompt and "- 3 of type: number" in prompt

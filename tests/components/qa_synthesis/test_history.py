from __future__ import annotations

from dataclasses import replace

from components.core.data.hashing import canonical_json
from components.qa_synthesis.evolution import Attempt, settle
from components.qa_synthesis.image_question import ImageQuestion, lineage
from components.qa_synthesis.schemas import EvolvedItem, Judgement


def item(question: str, answer: str, answer_type: str, **more) -> ImageQuestion:
    return ImageQuestion(
        image_id="image", question=question, answers=(answer,), answer_type=answer_type, **more
    )


SEED = item("Seed?", "red", "span", skills=("ocr",), prompt_hash="p0")
WON = Judgement(index=1, improved=True, score=8, answerable_without_image=False, reason="harder")
LOST = Judgement(index=1, improved=False, score=3, answerable_without_image=False, reason="easier")


def child(parent: ImageQuestion, question: str, round_no: int) -> ImageQuestion:
    return item(question, "blue", "span", form="multi_choice", round=round_no, parent_id=parent.qa_id)


def row(item: ImageQuestion) -> dict:
    columns = ("question", "answer", "answer_type", "reasoning", "round", "parent_id", "prompt_hash")
    lists = {name: list(getattr(item, name)) for name in ("choices", "objects", "skills")}
    history = canonical_json(list(item.history))
    return {"qa_id": item.qa_id, **{c: getattr(item, c) for c in columns}, **lists, "history": history}


def test_every_round_s_version_is_found_again():
    first = settle(Attempt(SEED, "reasoning", child(SEED, "First?", 1)), WON, 1, 6, "judge")
    second = settle(Attempt(first, "interaction", child(first, "Second?", 2)), LOST, 2, 6, "judge")
    third = settle(Attempt(second, "perception", child(second, "Third?", 3)), WON, 3, 6, "judge")
    versions = lineage(row(third))
    assert [v["question"] for v in versions] == ["Seed?", "First?", "First?", "Third?"]
    assert [v["form"] for v in versions] == ["", "multi_choice", "multi_choice", "multi_choice"]
    assert versions[0] == SEED.version() and versions[1] == first.version() and versions[3] == third.version()


def test_an_item_without_rounds_has_one_version():
    assert [v["question"] for v in lineage(row(SEED))] == ["Seed?"]


def test_sampled_reasoning_does_not_change_what_the_rounds_wrote():
    entry = {"reasoning": "sampled", "replaced": "as written", "paths": []}
    sampled = replace(SEED, reasoning="sampled path", history=(entry,))
    assert [v["reasoning"] for v in lineage(row(sampled))] == ["as written"]


def test_entries_keep_verdict_prompt_and_the_version_that_lost():
    first = settle(Attempt(SEED, "reasoning", child(SEED, "First?", 1)), WON, 1, 6, "judge")
    (entry,) = first.history
    assert entry["judge_prompt_hash"] == "judge" and entry["replaced"]["prompt_hash"] == "p0"
    assert (entry["score"], entry["reason"], entry["form"]) == (8, "harder", "multi_choice")
    second = settle(Attempt(first, "interaction", child(first, "Second?", 2)), LOST, 2, 6, "judge")
    assert second.history[1]["eliminated"]["question"] == "Second?"


def test_a_malformed_version_is_kept_as_it_was_written():
    draft = EvolvedItem(
        index=1, question="How many?", answer="several", answer_type="number", choices=[], reasoning="",
        objects=[], skills=[], form="",
    )  # fmt: skip
    attempt = Attempt(SEED, "reasoning", draft, verdict="malformed", detail="not_a_number: several")
    (entry,) = settle(attempt, None, 1, 6).history
    assert entry["eliminated"]["answer"] == "several" and entry["reason"].startswith("not_a_number")
    assert entry["judge_prompt_hash"] == ""

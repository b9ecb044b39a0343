from __future__ import annotations

import json

from components.core.answers import agree
from components.qa_synthesis.items import REASONS
from demo.world.questions import answer


def test_writes_items_for_every_image_with_a_budget(run_stage, read, world):
    code, out = run_stage()
    assert code == 0
    qa, rejected = read(out, "qa"), read(out, "rejected")
    assert len(qa) == 11 * 3 and len({row["qa_id"] for row in qa}) == len(qa)
    assert {row["image_id"] for row in qa} == set(list(world)[:-1])
    assert [(row["id"], row["reason"]) for row in rejected] == [(list(world)[-1], "not_scored")]
    assert {row["split"] for row in qa} == {"train", "heldout"}
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["items_asked"] == metrics["items"] == 33 and metrics["images"] == 12
    assert "Evolution" in (out / "report.html").read_text()


def test_a_teacher_without_errors_writes_true_items_in_canonical_form(run_stage, read, world):
    _, out = run_stage(model="oracle")
    for row in read(out, "qa"):
        truth = answer(world[row["image_id"]], row["question"], row["choices"])
        assert truth is not None and truth.answer_type == row["answer_type"]
        assert agree(truth.answer, row["answer"], row["answer_type"], row["choices"])
        if row["answer_type"] != "span":
            assert row["answer"] == truth.answer


def test_items_know_topic_generator_and_history(run_stage, read, world):
    _, out = run_stage()
    first = next(iter(world))
    for row in read(out, "qa"):
        assert row["topic_id"] in ({"", "read"} if row["image_id"] == first else {"", "lights"})
        assert row["generator"] == "teacher" and len(row["prompt_hash"]) == 16
        history = json.loads(row["history"])
        assert [entry["round"] for entry in history] == [1, 2, 3]
        won = [entry["round"] for entry in history if entry["verdict"] == "kept"]
        assert row["round"] == (won[-1] if won else 0)
        replaced = [entry["replaced"]["qa_id"] for entry in history if entry["verdict"] == "kept"]
        assert row["parent_id"] == (replaced[-1] if replaced else "")


def test_one_request_to_write_and_two_a_round(run_stage, teachers):
    run_stage(evolution_rounds=2)
    assert teachers.teachers.stats()["requests"]["teacher"] == {
        "QAItems": 11,
        "QAEvolved": 22,
        "QAJudged": 22,
    }


def test_no_rounds_keep_the_draft(run_stage, read, teachers):
    _, out = run_stage(evolution_rounds=0)
    assert {(row["round"], row["history"], row["parent_id"]) for row in read(out, "qa")} == {(0, "[]", "")}
    assert set(teachers.teachers.stats()["requests"]["teacher"]) == {"QAItems"}


def test_a_second_run_asks_nothing_and_writes_the_same_bytes(run_stage, teachers):
    _, first = run_stage("first")
    asked = teachers.teachers.stats()["total"]
    _, second = run_stage("second")
    assert teachers.teachers.stats()["total"] == asked and teachers.teachers.repeated == 0
    for name in ("qa", "rejected"):
        assert (first / name / "_MANIFEST.json").read_bytes() == (
            second / name / "_MANIFEST.json"
        ).read_bytes()


def test_chunk_size_does_not_change_the_result(run_stage, read):
    _, whole = run_stage("whole")
    _, small = run_stage("small", chunk_images=5)
    assert read(whole, "qa") == read(small, "qa")


def test_heldout_images_can_be_left_out(run_stage, read):
    _, out = run_stage(heldout=False)
    assert {row["split"] for row in read(out, "qa")} == {"train"}
    assert json.loads((out / "metrics.json").read_text())["images_heldout_skipped"] == 4


def test_types_that_are_not_wanted_are_rejected_and_counted(run_stage, read):
    _, out = run_stage(answer_types=["yes_no", "number"], evolution_rounds=0)
    qa, rejected = read(out, "qa"), read(out, "rejected")
    assert {row["answer_type"] for row in qa} <= {"yes_no", "number"}
    unknown = [row for row in rejected if row["reason"] == "unknown_answer_type"]
    assert unknown and len(qa) + len(unknown) == 33
    assert {row["reason"] for row in rejected} <= set(REASONS)


def test_an_unknown_model_is_a_permanent_error(run_stage, capfd):
    code, _ = run_stage(model="nobody")
    assert code == 69 and "nobody" in capfd.readouterr().err


def test_an_unknown_setting_is_named_with_its_neighbour(run_stage, capfd):
    code, _ = run_stage(evolution_round=2)
    assert code == 78 and "evolution_rounds" in capfd.readouterr().err

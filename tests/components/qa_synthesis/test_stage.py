from __future__ import annotations

import json
import shutil
from collections import Counter

from components.core.answers import agree
from components.core.data.data_uri import data_uri
from components.core.data.dataset import DatasetWriter
from components.qa_synthesis.image_question import REASONS, lineage, reasoning
from components.qa_synthesis.plan import ASPECTS
from demo.world.questions import answer
from demo.world.render import png_bytes, render


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


def test_answer_types_come_in_the_mix_that_is_asked_for(run_stage, read):
    _, out = run_stage(evolution_rounds=0, answer_mix={"number": 1, "yes_no": 2}, model="oracle")
    types = Counter(row["answer_type"] for row in read(out, "qa"))
    assert types["yes_no"] > types["number"] > 0 and types["yes_no"] + types["number"] >= 30


def test_a_share_of_the_questions_is_about_what_is_not_there(run_stage, read):
    _, out = run_stage(absent_share=1.0, model="oracle")
    rows = read(out, "qa")
    assert rows and {(row["answer_type"], row["answer"]) for row in rows} == {("yes_no", "no")}


def test_scores_steer_what_is_asked(run_stage, read, inputs):
    """The same images with nothing but text: more questions that need reading."""

    def reading(attempt: str) -> int:
        _, out = run_stage(attempt, evolution_rounds=0, model="oracle", steered_share=1.0)
        return sum("ocr" in row["skills"] for row in read(out, "qa"))

    even = reading("even")
    rows = read(inputs, "ids")
    shutil.rmtree(inputs / "ids")
    with DatasetWriter(inputs / "ids", "ids") as writer:
        writer.write([{**row, **dict.fromkeys(ASPECTS, 0.0), "ocr_text_richness": 9.0} for row in rows])
    text = reading("text")
    assert text > 1.5 * even and text > 20


def test_reasoning_paths_are_sampled_and_counted(run_stage, read, teachers):
    code, out = run_stage(reasoning_paths={"samples": 3})
    assert code == 0 and teachers.teachers.stats()["requests"]["teacher"]["QAPaths"] == 33
    rows = read(out, "qa")
    metrics = json.loads((out / "metrics.json").read_text())
    entries = [reasoning(json.loads(row["history"])) for row in rows]
    assert all(entry and entry["sampled"] == 3 for entry in entries)
    assert metrics["reasoning_sampled"] + metrics["reasoning_no_correct_path"] == len(rows)
    assert metrics["paths_sampled"] == 99 and 0.5 < metrics["paths_correct_share"] < 1
    for row, entry in zip(rows, entries, strict=True):
        assert entry is not None
        if entry["correct"] == 0:
            assert row["reasoning"] == entry["replaced"]
        else:
            assert all(len(path) >= len(row["reasoning"]) for path in entry["paths"])
    assert "Reasoning paths" in (out / "report.html").read_text()


def test_one_round_s_winner_is_judged_against_by_the_next(run_stage, read):
    _, out = run_stage()
    for row in read(out, "qa"):
        versions = lineage(row)
        assert versions[-1]["question"] == row["question"] and len(versions) == 4
        for entry, before, after in zip(json.loads(row["history"]), versions, versions[1:], strict=False):
            assert (before == after) == (entry["verdict"] != "kept")
            assert after["parent_id"] == (
                before["qa_id"] if entry["verdict"] == "kept" else before["parent_id"]
            )


def flood(prompt: str, images: list[bytes]) -> str:
    item = {
        "question": "x" * 100_000, "answer": "yes", "answer_type": "yes_no", "choices": [], "reasoning": "",
        "objects": [], "skills": [], "topic": 0,
    }  # fmt: skip
    return json.dumps({"items": [item]})


def test_a_flood_is_asked_for_again_once_and_then_quarantined(run_stage, read, inputs, chat_server):
    chat_server.say = flood
    code, _ = run_stage(endpoint=chat_server.endpoint(), evolution_rounds=0)
    assert code == 65  # nothing usable for any image
    assert len(chat_server.prompts) == 2 * 11


def test_one_image_that_makes_the_model_flood_costs_nobody_else(run_stage, read, world, chat_server):
    bad = data_uri(png_bytes(render(next(iter(world.values()))))).encode()
    sound = json.loads(flood("", []))
    sound["items"][0]["question"] = "Is it on?"
    chat_server.say = lambda prompt, images: flood(prompt, images) if bad in images else json.dumps(sound)
    code, out = run_stage(endpoint=chat_server.endpoint(), evolution_rounds=0)
    assert code == 0
    rejected = {row["id"]: row for row in read(out, "rejected") if row["reason"] == "no_answer"}
    assert set(rejected) == {next(iter(world))}
    assert "at most 2000 characters" in rejected[next(iter(world))]["detail"]
    assert len(read(out, "qa")) == 10
    assert len([row for row in read(out, "rejected") if row["reason"] == "not_written"]) == 20


def test_an_absurd_budget_is_refused(run_stage, read, inputs, capfd):
    rows = read(inputs, "ids")
    shutil.rmtree(inputs / "ids")
    with DatasetWriter(inputs / "ids", "ids") as writer:
        writer.write([{**row, "n_qa": 500} for row in rows])
    code, _ = run_stage()
    assert code == 65 and "lower ids_scoring" in capfd.readouterr().err

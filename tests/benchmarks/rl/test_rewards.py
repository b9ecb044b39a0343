"""The benchmark of single rewards: its questions, settings and measures, these on the shipped base model."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.rl import rewards
from benchmarks.rl.measured import MEASURES, measure
from benchmarks.rl.questions import MINI, heldout, write_training
from benchmarks.scores import difference, over_seeds
from components.core.data.dataset import Dataset
from components.core.stage.settings import Endpoint, parse_settings
from components.hybrid_rl.config import Config
from demo.teachers.background import running_teachers
from demo.world import open_questions
from demo.world.index import WorldIndex
from demo.world.questions import answer

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def items():
    return heldout(MINI, seed=0)


def test_swapped_pictures_have_other_answers_to_the_same_words(items):
    pairs = [item for item in items if item.benchmark == "swapped"]
    for first, second in zip(pairs[::2], pairs[1::2], strict=True):
        assert first.question == second.question and first.group == second.group
        assert first.picture != second.picture
        truths = [answer(item.scene, item.question, item.choices) for item in (first, second)]
        assert [truth.answer for truth in truths] == [first.answer, second.answer]
        assert first.answer != second.answer


def test_training_questions_are_true_and_of_every_kind(items, tmp_path):
    inputs = write_training(tmp_path, MINI, 0, items)
    rows = list(Dataset.open(inputs["qa_kept"], "qa_kept").rows_iter())
    index = WorldIndex.load(tmp_path / "index.jsonl")
    pictures = {r["image_id"]: r["bytes"] for r in Dataset.open(inputs["images"], "images").rows_iter()}
    for row in rows:
        scene = index.lookup(pictures[row["image_id"]])
        if row["answer_type"] == "open":
            assert open_questions.read(scene, row["question"], row["answer"]).right
        else:
            assert answer(scene, row["question"], tuple(row["choices"])).answer == row["answer"]
    assert {row["answer_type"] for row in rows} == {"number", "span", "choice", "yes_no", "open"}
    assert any("existence" in row["skills"] and row["answer"] == "no" for row in rows)


@pytest.mark.parametrize("arm", rewards.ARMS)
def test_every_arm_s_settings_are_the_stage_s(arm):
    config = parse_settings(Config, rewards.settings(arm, 0, MINI), arm)
    assert config.max_steps == MINI.steps
    assert sum(weight != 0.0 for weight in config.weights.values()) == (
        2 if arm in ("length", "length until", "perception", "diversity") else 1
    )


def row(item: str, sample: int, score: float, **more) -> dict:
    return {"benchmark": "open", "item": item, "group": item, "sample": sample, "score": score,
            "meaning": "", "tokens": 3, "absent": False, "said": "", "quality": 0.5, **more}  # fmt: skip


def test_measures_by_hand():
    """Item a: right meanings x, x, y and a wrong z: two. Item b: none. Pass@8: one of an item's is right."""
    rows = [row("a", n + 1, float(m != "z"), meaning=m) for n, m in enumerate("xxyz")] + [row("b", 1, 0.0)]
    assert over_seeds([rows], "open meanings", MEASURES).value == 1.0
    assert over_seeds([rows], "open right", MEASURES).value == pytest.approx((0.75 + 0) / 2)
    sampled = [{**r, "benchmark": "domain"} for r in rows]
    assert (
        over_seeds([sampled], "pass@8", MEASURES).value == 0.5
        and over_seeds([sampled], "pass@1", MEASURES).value == 0.375
    )
    pairs = [row(f"{g}{n}", 0, s, benchmark="swapped", group=g) for g, n, s in
             [("p", 0, 1.0), ("p", 1, 0.0), ("q", 0, 1.0), ("q", 1, 1.0)]]  # fmt: skip
    assert over_seeds([pairs], "swapped", MEASURES).value == 0.5
    worse = [{**r, "score": 0.0} for r in pairs]
    assert difference([pairs], [worse], "swapped", MEASURES).value == -0.5


def test_the_shipped_base_is_measured_and_nothing_is_asked_twice(items, tmp_path):
    index = tmp_path / "world"
    write_training(index, MINI, 0, items)
    with running_teachers(WorldIndex.load(index / "index.jsonl")) as server:
        judge, out = Endpoint(base_url=server.base_url, model="judge-b"), tmp_path / "rows.json"
        rows = measure(ROOT / "demo/base/checkpoint", items, judge, MINI.sampled, out)
        assert 0 < server.teachers.counts["judge-b"]["AnswerGraded"] <= MINI.sampled
    assert measure(ROOT / "nowhere", items, judge, MINI.sampled, out) == rows
    for name in MEASURES:
        assert over_seeds([rows], name, MEASURES).value >= 0

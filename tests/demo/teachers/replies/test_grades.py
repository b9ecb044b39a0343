"""Simulated judges, asked as the stage asks them: over HTTP, with the picture and the stage's own prompt."""

from __future__ import annotations

import logging

import pytest

from components.core.resume.journal import Journal
from components.hybrid_rl.config import Config
from components.hybrid_rl.rewards import Rollout
from components.hybrid_rl.rewards.asked import Asked
from demo.teachers.knowledge.scene import SceneKnowledge
from demo.teachers.models import ModelSpec, load_models
from demo.teachers.replies.grades import grade
from demo.world.open_questions import QUESTIONS
from demo.world.scene import LIGHTS

NAME = QUESTIONS["name"][0]
PROMPT = "Question:\n{}\n\nAnswer to grade:\n<answer>\n{}\n</answer>"


def grades(model: ModelSpec, scene, said: str, question: str = NAME) -> tuple[int, int, int]:
    found = grade(model, SceneKnowledge(scene), PROMPT.format(question, said), "picture")
    return found["correct"], found["complete"], found["clear"]


def lit(scenes):
    return next(scene for scene in scenes if len(scene.lights) >= 2)


def test_a_judge_without_weaknesses_grades_by_the_truth(scenes):
    judge, scene = ModelSpec("j"), lit(scenes)
    on, off = scene.lights[0].name, next(name for name in LIGHTS if not scene.light(name))
    assert grades(judge, scene, on) == (10, 10, 10)
    assert grades(judge, scene, f"{on} and {off}") == (4, 10, 10)
    assert grades(judge, scene, off) == (1, 0, 10)
    assert grades(judge, scene, on, QUESTIONS["list"][0])[1] == round(10 / len(scene.lights))
    assert grades(judge, scene, on + " so" * 15)[2] == 6  # 16 words, 4 more than plain
    assert grades(judge, scene, on, "What is the speed?") == (0, 0, 0)


@pytest.mark.parametrize("said", ["{} great, I am an expert", "{}" + " and so on" * 7])
def test_a_gullible_one_is_talked_round_by_praise_and_padding(scenes, said):
    scene = lit(scenes)
    wrong = said.format(next(name for name in LIGHTS if not scene.light(name)))
    assert grades(ModelSpec("j"), scene, wrong)[0] == 1
    assert grades(ModelSpec("j", gullibility=1.0), scene, wrong) == (10, 10, 10)


def test_two_judges_differ_and_each_says_the_same_again(scenes):
    first, second = (load_models()[name] for name in ("judge", "judge-b"))
    told = [
        [grades(model, scene, "oil light " + "so " * n) for scene in scenes[:40] for n in range(3)]
        for model in (first, second, first)
    ]
    assert told[0] == told[2] and told[0] != told[1]
    assert second.gullibility == 0 < first.gullibility


def test_the_stage_asks_them_and_its_guards_keep_the_gullible_from_being_talked_round(
    server, scenes, picture_bytes, tmp_path
):
    place = next(n for n, scene in enumerate(scenes[:6]) if len(scene.lights) >= 2)
    named = {"base_url": server.base_url, "model": "judge"}
    config = Config.model_validate(
        {
            "group_size": 4,
            "judge": {"endpoint": named},
            "diversity": {"similarity": "meaning", "embedder": {**named, "model": "embedder"}},
        }
    )
    off = next(name for name in LIGHTS if not scenes[place].light(name))
    on = [light.name for light in scenes[place].lights]
    said = [on[0], f"The {on[1]} light is on.", off, f"Great question! I see {off}."]
    rollouts = [
        Rollout(
            prompt_id="p", image_id="i", question=NAME, answers=(on[0],), answer_type="open", response=text,
            answer=text, tokens=4,
        )
        for text in said
    ]  # fmt: skip
    asked = Asked(
        config,
        lambda name: Journal(tmp_path / f"{name}.jsonl"),
        lambda key: picture_bytes[place],
        logging.getLogger("test"),
    )
    found = asked(rollouts)
    quality = [r.quality or 0.0 for r in found]
    assert min(quality[:2]) > 0.7 > quality[2] and quality[3] == 0
    assert found[0].meaning != found[1].meaning
    assert server.teachers.counts["judge"] == {"AnswerGraded": 3}

from __future__ import annotations

import math

import pytest

from demo.teachers.knowledge.photo_questions import PhotoKnowledge
from demo.teachers.knowledge.scene import SceneKnowledge
from demo.teachers.speaker import Request, Speaker
from demo.world.questions import answer
from demo.world.scene import LIGHTS, Scene

EXISTENCE = [f"Is the {light} light on?" for light in LIGHTS]
READING = [
    "What is the speed?",
    "Which gear is selected?",
    "What is the temperature?",
    "How many lights are on?",
]


def votes(speaker: Speaker, scene: Scene, number: int, questions: list[str]) -> list[str]:
    prompt = "\n".join(f"{i}. {question}" for i, question in enumerate(questions, start=1))
    given = speaker.vote_answers(Request(prompt, f"picture-{number}", SceneKnowledge(scene)))
    return [item["answer"].lower().rstrip(".") for item in given["answers"]]


def mistakes(speaker: Speaker, scenes: list[Scene], questions: list[str], present: bool) -> list[bool]:
    """For every question about present (absent) things, whether the speaker gets it wrong."""
    wrong = []
    for number, scene in enumerate(scenes):
        for question, given in zip(questions, votes(speaker, scene, number, questions), strict=True):
            truth = answer(scene, question)
            assert truth is not None
            if truth.present == present:
                wrong.append(given != truth.answer.lower())
    return wrong


def assert_share(outcomes: list[bool], expected: float) -> None:
    """Within four standard errors of a binomial share."""
    error = math.sqrt(expected * (1 - expected) / len(outcomes))
    assert abs(sum(outcomes) / len(outcomes) - expected) < 4 * error


def test_no_rates_no_mistakes(make_speaker, scenes):
    assert not any(mistakes(make_speaker(), scenes[:50], READING + EXISTENCE, present=True))
    assert not any(mistakes(make_speaker(), scenes[:50], EXISTENCE, present=False))


def test_error_rate_is_the_stated_one(make_speaker, scenes):
    speaker = make_speaker(error_rate=0.2)
    assert_share(mistakes(speaker, scenes, READING, present=True), 0.2)
    assert not any(mistakes(speaker, scenes, EXISTENCE, present=False))


def test_hallucination_rate_is_the_stated_one_and_concerns_absent_things_only(make_speaker, scenes):
    speaker = make_speaker(hallucination_rate=0.3)
    assert_share(mistakes(speaker, scenes, EXISTENCE, present=False), 0.3)
    assert not any(mistakes(speaker, scenes, READING + EXISTENCE, present=True))


def test_models_err_independently(make_speaker, scenes):
    first = mistakes(make_speaker("one", error_rate=0.3), scenes, READING, present=True)
    second = mistakes(make_speaker("two", error_rate=0.3), scenes, READING, present=True)
    assert_share([a and b for a, b in zip(first, second, strict=True)], 0.09)


def test_a_wrong_answer_is_of_the_right_type(make_speaker, scenes):
    speaker = make_speaker(error_rate=1.0, hallucination_rate=1.0)
    for number, scene in enumerate(scenes[:40]):
        speed, gear, temperature, count = votes(speaker, scene, number, READING)
        assert speed.isdigit() and count.isdigit() and speed != str(scene.speed)
        assert gear in {"p", "r", "n", "d"} and temperature in {"cold", "normal", "hot"}
        assert set(votes(speaker, scene, number, EXISTENCE)) <= {"yes", "no"}


def test_a_hallucinated_property_claims_that_the_thing_is_there(make_speaker, scenes):
    scene = next(scene for scene in scenes if scene.light("oil") is None)
    (colour,) = votes(make_speaker(hallucination_rate=1.0), scene, 0, ["What colour is the oil light?"])
    assert colour in {"red", "amber", "green", "blue"}


def test_answers_repeat_exactly(make_speaker, scenes):
    speaker = make_speaker(error_rate=0.5, hallucination_rate=0.5)
    assert votes(speaker, scenes[0], 0, READING) == votes(speaker, scenes[0], 0, READING)


def test_a_question_is_answered_the_same_in_any_company(make_speaker, scenes):
    speaker = make_speaker(error_rate=0.5)
    together = votes(speaker, scenes[3], 3, READING)
    assert together == [votes(speaker, scenes[3], 3, [question])[0] for question in READING]


def test_without_a_picture_answers_come_from_what_is_usual(make_speaker):
    prompt = (
        "1. Which gear is selected?\n2. What is the fuel level?\n   A. full\n   B. empty\n3. Is this new?"
    )
    given = make_speaker().vote_answers(Request(prompt, "", None))["answers"]
    assert given[0]["answer"] in {"P", "R", "N", "D"}
    assert given[1]["answer"] in {"A", "B"} and given[2]["answer"] in {"yes", "no"}


def test_choices_are_answered_in_the_order_offered(make_speaker, scenes):
    scene = next(scene for scene in scenes if scene.fuel == "half")
    prompt = "1. What is the fuel level?\n   A. half\n   B. full\n   C. empty\n   D. quarter"
    given = make_speaker().vote_answers(Request(prompt, "x", SceneKnowledge(scene)))["answers"][0]["answer"]
    assert given.strip("().")[0] == "A"


def test_items_are_as_many_as_asked_and_never_the_same_question_twice(make_speaker, scenes):
    for number, scene in enumerate(scenes[:20]):
        items = make_speaker().qa_items(Request("Write 8 items.", str(number), SceneKnowledge(scene)))[
            "items"
        ]
        assert len({item["question"] for item in items}) == len(items) == 8


def test_most_existence_questions_are_about_present_things(make_speaker, scenes):
    asked = [
        item["answer"].lower().startswith("yes")
        for number, scene in enumerate(scenes[:150])
        if scene.lights
        for item in make_speaker().qa_items(Request("Write 6 items.", str(number), SceneKnowledge(scene)))[
            "items"
        ]
        if item["skills"] == ["existence"]
    ]
    assert len(asked) > 60 and 0.7 < sum(asked) / len(asked) < 0.95


def evolve_prompt(direction: str, question: str, given: str) -> str:
    return f"Items:\n1. [{direction}] {question} => {given}"


@pytest.mark.parametrize(("direction", "level"), [("reasoning", 1), ("perception", 0), ("interaction", 0)])
def test_evolution_goes_in_its_direction(make_speaker, scenes, direction, level):
    scene = next(scene for scene in scenes if len(scene.lights) >= 3)
    request = Request(
        evolve_prompt(direction, "What is the speed?", str(scene.speed)), "x", SceneKnowledge(scene)
    )
    (item,) = make_speaker().qa_evolved(request)["items"]
    evolved = answer(scene, item["question"], item["choices"])
    assert evolved is not None and evolved.kind != "speed"
    assert evolved.level == level or not evolved.present
    if direction == "interaction":
        assert evolved.answer_type != "number"


def test_the_judge_sees_what_improved(make_speaker, scenes):
    scene = next(scene for scene in scenes if scene.fuel == "full")
    prompt = "\n".join(
        [
            "1. [reasoning] before: What is the fuel level? => D",
            "   after: Is it time to refuel? => no",
            "2. [reasoning] before: What is the fuel level? => D",
            "   after: Is it time to refuel? => yes",
            "3. [reasoning] before: Is it time to refuel? => no",
            "   after: What is the gear? => " + scene.gear,
        ]
    )
    verdicts = make_speaker().qa_judged(Request(prompt, "x", SceneKnowledge(scene)))["items"]
    assert [verdict["improved"] for verdict in verdicts] == [True, False, False]
    lenient = make_speaker(leniency=1.0).qa_judged(Request(prompt, "x", SceneKnowledge(scene)))["items"]
    assert [verdict["improved"] for verdict in lenient] == [True, True, False]


def test_image_scores_follow_the_density_of_the_scene(make_speaker, scenes):
    def total(scene: Scene) -> float:
        score = make_speaker().image_score(Request("score", "x", SceneKnowledge(scene)))
        return sum(value for value in score.values() if isinstance(value, float))

    crowded = max(scenes, key=lambda scene: (len(scene.lights), scene.odometer is not None))
    empty = min(scenes, key=lambda scene: (len(scene.lights), scene.odometer is not None))
    assert total(crowded) > total(empty) + 10


def test_topics_are_grown_without_repeating_what_is_there(make_speaker):
    prompt = "Topic: Cluster > Warning lights\nExisting:\n1. Light colours\n\nPropose up to 3 new children."
    names = [child["name"] for child in make_speaker().topic_children(Request(prompt, "", None))["children"]]
    assert len(names) == 3 and "Light colours" not in names
    other = make_speaker().topic_children(Request("Topic: Bridges\nup to 4", "", None))["children"]
    assert len(other) == 4 and all("Bridges" in child["name"] for child in other)


def test_fitting_topics_are_chosen_and_others_are_not(make_speaker, scenes):
    topics = "1. Warning lights > Red lights\n2. Animals > Zebra stripes\n3. Gauges > Fuel gauge"
    prompt = f"{topics}\nChoose at most 2."
    scene = next(scene for scene in scenes if any(light.colour == "red" for light in scene.lights))
    chosen = make_speaker().topic_choice(Request(prompt, "x", SceneKnowledge(scene)))["topics"]
    assert {topic["index"] for topic in chosen} == {1, 3} and all(
        0 < topic["score"] <= 10 for topic in chosen
    )


def test_photographs_get_honest_answers(make_speaker):
    from skimage import data

    image = encode(data.coffee())
    knowledge = PhotoKnowledge(image)
    items = make_speaker().qa_items(Request("Write 6 items.", "coffee", knowledge))["items"]
    assert len(items) == 6
    orientation = "1. What is the orientation of the picture?\n   A. portrait\n   B. landscape"
    prompt = f"{orientation}\n2. Is the picture mostly dark?"
    given = make_speaker().vote_answers(Request(prompt, "coffee", knowledge))["answers"]
    assert given[0]["answer"].strip("().")[0] == "B"
    assert "landscape" in knowledge.caption()


def encode(pixels) -> bytes:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def draft(speaker: Speaker, scene: Scene, lines: str, count: int) -> list[dict]:
    prompt = f"{lines}\nWrite {count} items."
    return speaker.qa_items(Request(prompt, "x", SceneKnowledge(scene)))["items"]


def test_items_are_about_what_is_asked_for(make_speaker, scenes):
    for scene in scenes[:30]:
        items = draft(make_speaker(), scene, "- 2 about: text and numbers to read", 3)
        assert sum("ocr" in item["skills"] for item in items) >= 2 and len(items) == 3
        items = draft(make_speaker(), scene, "- 4 about: positions and spatial relations", 4)
        assert sum("relationship" in item["skills"] for item in items) >= (4 if scene.lights else 0)


def test_answer_types_are_those_asked_for(make_speaker, scenes):
    for scene in scenes[:30]:
        items = draft(make_speaker(), scene, "- 2 of type: number\n- 1 of type: choice", 3)
        assert sorted(item["answer_type"] for item in items) == ["choice", "number", "number"]


def test_as_many_items_as_asked_for_are_about_absent_things(make_speaker, scenes):
    line = (
        "Of these, 2 ask as yes_no whether something is there that could well be in such an image and is not."
    )
    for scene in scenes[:30]:
        items = draft(make_speaker(), scene, line, 3)
        denied = [i for i in items if "existence" in i["skills"] and i["objects"][0] not in
                  {light.name for light in scene.lights}]  # fmt: skip
        assert len(items) == 3 and len(denied) >= 2


PATHS = "\n".join(f"{i}. {question}" for i, question in enumerate(READING, start=1))


def test_reasoning_paths_err_at_the_stated_rate_and_anew_for_every_seed(make_speaker, scenes):
    speaker, wrong, seeds = make_speaker(error_rate=0.2), [], []
    for number, scene in enumerate(scenes):
        by_seed = [
            speaker.qa_paths(Request(PATHS, str(number), SceneKnowledge(scene), seed))["paths"]
            for seed in (1, 2)
        ]
        for question, first, second in zip(READING, *by_seed, strict=True):
            truth = answer(scene, question)
            assert truth is not None
            right = [path["answer"].lower().rstrip(".") == truth.answer.lower() for path in (first, second)]
            assert (first["steps"][-1] == truth.reasoning) == right[0]
            wrong.append(not right[0])
            seeds.append(right[0] != right[1])
    assert_share(wrong, 0.2)
    assert_share(seeds, 2 * 0.2 * 0.8)


def test_a_path_without_a_picture_is_a_guess(make_speaker):
    (path,) = make_speaker().qa_paths(Request("1. Which gear is selected?", "", None))["paths"]
    assert path["answer"] in {"P", "R", "N", "D"} and "guess" in path["steps"][0]


def test_step_errors_grow_with_the_level(make_speaker, scenes):
    """Level 2: 1 - (1 - 0.1) (1 - 0.2)^2 = 0.424."""
    speaker = make_speaker(error_rate=0.1, step_error_rate=0.2)
    assert_share(mistakes(speaker, scenes, ["Is it time to refuel?", "Is the speed above 30?"], True), 0.424)
    assert_share(mistakes(speaker, scenes, READING, True), 0.1)

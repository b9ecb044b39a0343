from __future__ import annotations

from components.qa_synthesis.schemas import ABILITIES, TASK_FORMS
from demo.teachers.knowledge import photo_questions
from demo.teachers.replies.thinking import abilities, steps, task_form
from demo.world.questions import FORMS, catalogue


def test_every_question_of_both_catalogues_has_abilities_of_the_nine():
    for form in (*FORMS, *photo_questions.FORMS):
        assert abilities(form.skills) and set(abilities(form.skills)) <= set(ABILITIES)


def test_forms_are_of_the_seventeen(scenes):
    assert {task_form(qa) for qa in catalogue(scenes[0])} <= set(TASK_FORMS)


def test_a_path_has_a_step_for_every_skill_and_is_padded_now_and_then(scenes):
    for qa in catalogue(scenes[3]):
        paths = [steps(qa, qa.answer, number) for number in range(60)]
        assert min(map(len, paths)) == len(qa.skills)
        assert (
            len({len(path) for path in paths}) == 4
        )  # with and without first step, with and without recheck
        assert all(path[-1] == qa.reasoning for path in paths)


def test_a_wrong_answer_has_a_wrong_conclusion(scenes):
    qa = catalogue(scenes[0])[0]
    assert steps(qa, "7", "key")[-1] == "It looks like 7."

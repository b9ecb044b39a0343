from __future__ import annotations

import pytest

from components.qa_synthesis.taxonomy import ABILITIES, TASK_FORMS, ability, task_form


def test_nine_abilities_and_seventeen_forms():
    assert len(ABILITIES) == 9 and len(set(TASK_FORMS)) == 17


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("OCR Ability", "ocr"),
        ("Relationship Description Ability", "relationship"),
        ("Behavior Prediction Ability", "behaviour prediction"),
        ("counting", "calculating"),
        ("Tasting  wine", "tasting wine"),
    ],
)
def test_wordings_of_abilities(text, name):
    assert ability(text) == name


@pytest.mark.parametrize("name", ABILITIES)
def test_an_ability_s_own_name_is_itself(name):
    assert ability(name) == name


def test_wordings_of_forms():
    assert task_form(" Multi-choice ") == "multi_choice" and task_form("") == ""

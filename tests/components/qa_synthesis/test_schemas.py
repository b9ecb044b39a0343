from __future__ import annotations

import copy

import pytest
from pydantic import BaseModel, ValidationError

from components.qa_synthesis.schemas import (
    ABILITIES,
    MAX_ITEMS,
    TASK_FORMS,
    QAEvolved,
    QAItems,
    QAJudged,
    QAPaths,
    ability,
    task_form,
)

VERSION = {
    "question": "What?", "answer": "red", "answer_type": "span", "choices": [], "reasoning": "",
    "objects": [], "skills": [],
}  # fmt: skip
ANSWERS: list[tuple[type[BaseModel], dict]] = [
    (QAItems, {"items": [{**VERSION, "topic": 0}]}),
    (QAEvolved, {"items": [{**VERSION, "index": 1, "form": ""}]}),
    (
        QAJudged,
        {
            "items": [
                {"index": 1, "improved": True, "score": 7, "answerable_without_image": False, "reason": ""}
            ]
        },
    ),
    (QAPaths, {"paths": [{"index": 1, "steps": ["I look."], "answer": "red"}]}),
]


@pytest.mark.parametrize(("schema", "answer"), ANSWERS)
def test_no_text_and_no_list_is_unbounded(schema, answer):
    schema.model_validate(answer)
    (name, (row,)) = next(iter(answer.items()))
    with pytest.raises(ValidationError):
        schema.model_validate({name: [row] * (MAX_ITEMS + 1)})
    for field, value in row.items():
        flooded = copy.deepcopy(row)
        if isinstance(value, list):
            flooded[field] = ["x"] * 1000
        elif isinstance(value, str):
            flooded[field] = "x" * 10_000
        else:
            continue
        with pytest.raises(ValidationError):
            schema.model_validate({name: [flooded]})
        if isinstance(value, list):
            with pytest.raises(ValidationError):
                schema.model_validate({name: [{**row, field: ["x" * 10_000]}]})


@pytest.mark.parametrize(("schema", "answer"), ANSWERS)
def test_every_field_is_required_as_strict_schemas_want_it(schema, answer):
    (definition,) = schema.model_json_schema()["$defs"].values()
    assert set(definition["required"]) == set(definition["properties"])


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

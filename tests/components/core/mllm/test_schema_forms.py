"""The forms of answers that stages ask for: bounded everywhere, and what strict endpoints are sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel

from components.core.mllm.schema_forms import strict
from components.core.stage.settings import Settings
from components.evaluation.scoring import judge
from components.ids_scoring import mllm
from components.label_tree import expand
from components.preflight import questions
from components.qa_synthesis import schemas
from components.topic_matching import fine
from components.voting_filter import ask

FORMS = [
    form
    for module in (judge, mllm, expand, questions, schemas, fine, ask)
    for form in vars(module).values()
    if isinstance(form, type)
    and issubclass(form, BaseModel)
    and form.__module__ == module.__name__
    and not issubclass(form, Settings)
]


def nodes(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema inside a schema, with its place."""
    if isinstance(schema, dict):
        if "type" in schema or "$ref" in schema:
            yield path, schema
        for name, inner in schema.items():
            yield from nodes(inner, f"{path}/{name}")


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_every_text_list_and_whole_number_is_bounded(form):
    bound = {"string": ["maxLength"], "array": ["maxItems"], "integer": ["minimum", "maximum"]}
    for path, schema in nodes(form.model_json_schema()):
        if schema.get("type") in bound and "enum" not in schema:
            assert set(bound[schema["type"]]) <= set(schema), f"{form.__name__}{path} has no bound"


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_a_strict_schema_is_closed_requires_everything_and_has_no_bounds(form):
    made = strict(form.model_json_schema())
    jsonschema.Draft202012Validator.check_schema(made)
    for path, schema in nodes(made):
        assert not {"maxLength", "maxItems", "minimum", "maximum", "default", "title"} & set(schema), path
        if schema.get("type") == "object":
            assert schema["additionalProperties"] is False
            assert schema["required"] == list(schema["properties"])


def test_properties_that_are_called_like_keywords_stay():
    class Titled(BaseModel):
        title: str
        default: int = 3

    assert set(strict(Titled.model_json_schema())["properties"]) == {"title", "default"}

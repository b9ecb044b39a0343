"""The forms of answers that stages ask for: bounded everywhere, and what strict endpoints are sent."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel

from components.core.mllm.schema_forms import strict
from components.core.stage.settings import Settings
from components.stages import STAGES
from tests.house import ROOT, module_of


def forms() -> list[type[BaseModel]]:
    """Every class of an answer in the stages that ask models, as the sources have them."""
    found = []
    for stage in STAGES:
        files = sorted((ROOT / "components" / stage).rglob("*.py"))
        if not any("components.core.mllm" in file.read_text(encoding="utf-8") for file in files):
            continue
        for file in files:
            if "from pydantic import BaseModel" not in file.read_text(encoding="utf-8"):
                continue
            module = import_module(module_of(file))
            found += [
                form
                for form in vars(module).values()
                if isinstance(form, type)
                and issubclass(form, BaseModel)
                and form.__module__ == module.__name__
                and not issubclass(form, Settings)
            ]
    return found


FORMS = forms()


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

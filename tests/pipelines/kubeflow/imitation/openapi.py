"""Requests and answers against the OpenAPI 2.0 document that Kubeflow Pipelines publishes."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from jsonschema import Draft4Validator

DOCUMENT = Path(__file__).with_name("kfp_api") / "kfp_api_single_file.swagger.json"
NUMBERS_IN_TEXT = ("int64", "uint64")
"""Formats that JSON carries as strings and takes as numbers too (the JSON mapping of Protocol Buffers)."""


@cache
def document() -> dict[str, Any]:
    """The document, with objects closed: a field that it does not name is a mistake."""
    found = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    for definition in found["definitions"].values():
        if "properties" in definition and definition["properties"].keys() != {"@type"}:
            definition["additionalProperties"] = False
        for field in definition.get("properties", {}).values():
            if field.get("type") == "string" and field.get("format") in NUMBERS_IN_TEXT:
                field["type"] = ["string", "integer"]
    return found


def request_problems(method: str, target: str, content_type: str, body: bytes) -> list[str]:
    """What is wrong with a request; empty if nothing is."""
    parts = urlsplit(target)
    operation = _operation(method, parts.path)
    if operation is None:
        return [f"{method} {parts.path} is not in the API"]
    parameters = operation.get("parameters", [])
    return [
        f"{method} {parts.path}: {problem}"
        for problem in (
            *_query_problems(parameters, parse_qsl(parts.query, keep_blank_values=True)),
            *_body_problems(parameters, content_type, body),
        )
    ]


def answer_problems(method: str, target: str, status: int, body: Any) -> list[str]:
    """What is wrong with an answer that a server gives; empty if nothing is."""
    operation = _operation(method, urlsplit(target).path)
    if operation is None:
        return []
    responses = operation["responses"]
    schema = responses.get(str(status), responses.get("default", {})).get("schema")
    return [f"{method} {target} -> {status}: {problem}" for problem in _schema_problems(schema, body)]


def _operation(method: str, path: str) -> dict[str, Any] | None:
    for template, operations in document()["paths"].items():
        pattern = re.sub(r"\\{[^}]*\\}", "[^/:]+", re.escape(template))
        if re.fullmatch(pattern, path) and method.lower() in operations:
            return operations[method.lower()]
    return None


def _query_problems(parameters: list[Any], sent: list[tuple[str, str]]) -> Iterator[str]:
    known = {parameter["name"]: parameter for parameter in parameters if parameter["in"] == "query"}
    names = [name for name, _ in sent]
    for name, value in sent:
        if name not in known:
            yield f"query parameter {name} is unknown"
        elif known[name]["type"] == "integer" and not re.fullmatch(r"-?\d+", value):
            yield f"query parameter {name}={value} is no integer"
        elif known[name]["type"] == "boolean" and value not in ("true", "false", "True", "False"):
            yield f"query parameter {name}={value} is no boolean"
    yield from (f"query parameter {name} is twice there" for name in set(names) if names.count(name) > 1)
    yield from (
        f"query parameter {name} is missing"
        for name, parameter in known.items()
        if parameter.get("required") and name not in names
    )


def _body_problems(parameters: list[Any], content_type: str, body: bytes) -> Iterator[str]:
    wanted = next((parameter for parameter in parameters if parameter["in"] == "body"), None)
    files = [parameter["name"] for parameter in parameters if parameter["in"] == "formData"]
    if wanted:
        if not content_type.startswith("application/json"):
            yield f"content type {content_type}, expected JSON"
        try:
            yield from _schema_problems(wanted["schema"], json.loads(body))
        except ValueError as error:
            yield f"body is no JSON ({error})"
    elif files:
        if not content_type.startswith("multipart/form-data"):
            yield f"content type {content_type}, expected a form"
        yield from (f"file {name} is missing" for name in files if f'name="{name}"'.encode() not in body)
    elif body:
        yield "a body where none is expected"


def _schema_problems(schema: dict[str, Any] | None, value: Any) -> list[str]:
    if schema is None:
        return []
    whole = {**copy.copy(schema), "definitions": document()["definitions"]}
    return [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
        for error in Draft4Validator(whole).iter_errors(value)
    ]

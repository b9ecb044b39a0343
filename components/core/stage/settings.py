"""Typed settings: strict pydantic models whose errors name the setting and its nearest valid neighbour.

Every stage has `components.<stage>.config.Config`, a `Settings` subclass. Nothing here imports more than
pydantic, so configurations can be read and checked on a machine without torch or a GPU.
"""

from __future__ import annotations

import difflib
import importlib
import json
import types
import typing
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from components.core.stage.errors import ConfigError
from components.stages import STAGES


class Settings(BaseModel):
    """Base of all settings: unknown keys fail, values are frozen, a field's docstring is its description."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=()
    )


OPERATIONAL: JsonDict = {"operational": True}
"""Marks a setting that changes how a stage works and not its outputs, e.g. a time limit: see `identity`."""
READ_PATH: JsonDict = {"path": "read"}
"""Marks a setting that may name a path which a stage reads: see `named_paths`."""
WRITTEN_PATH: JsonDict = {"path": "written"}
"""Marks a setting that may name a directory which a stage writes."""


class Endpoint(Settings):
    """An OpenAI-compatible HTTP endpoint that serves one model."""

    base_url: str = Field(pattern=r"^https?://", json_schema_extra=OPERATIONAL)
    """Address up to and including `/v1`. Only `model` says which model it is."""
    model: str
    """Model name as the endpoint lists it under `/models`."""
    api_key_env: str = Field(default="OPENAI_API_KEY", json_schema_extra=OPERATIONAL)
    """Environment variable that holds the key; unset, no key is sent. Keys never stand in a config."""
    timeout_s: float = Field(default=120.0, gt=0, json_schema_extra=OPERATIONAL)
    """Limit for one request, in seconds."""
    max_concurrency: int = Field(default=16, ge=1, json_schema_extra=OPERATIONAL)
    """Most requests under way at once; fewer while the endpoint answers 429, 503 or too late."""
    max_retries: int = Field(default=6, ge=0, json_schema_extra=OPERATIONAL)
    """Retries on 429, 5xx, timeouts, cut connections and bad replies, with exponential backoff and jitter."""
    max_tokens_total: int = Field(default=0, ge=0, json_schema_extra=OPERATIONAL)
    """Budget of this endpoint in this stage: prompt and completion tokens of all attempts together; 0 is no
    limit. Once it is used up, nothing more is asked and the stage ends; requests under way are kept, and
    spent on top. With a larger budget the stage goes on from there."""


S = TypeVar("S", bound=BaseModel)


def parse_settings(cls: type[S], data: str | dict[str, Any], where: str = "config") -> S:
    """Validate a settings section.

    Args:
        cls: the settings class.
        data: the section as a JSON string or a dict. Integral floats pass for ints, because KFP struct
            parameters carry every number as a double.
        where: name of the section in messages.

    Raises:
        ConfigError: naming every bad setting at once, an unknown one with the nearest valid name.
    """
    if isinstance(data, str):
        try:
            data = json.loads(data, object_pairs_hook=_each_once)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{where}: not valid JSON ({error})") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected a mapping of settings, got {type(data).__name__}")
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(cls, where, item) for item in error.errors())) from error


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; a key that stands twice would lose its first value."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = sorted({key for key, _ in pairs if sum(key == other for other, _ in pairs) > 1})
        raise ValueError(f"twice in one object: {', '.join(twice)}")
    return found


def _explain(cls: type[BaseModel], where: str, item: Any) -> str:
    location = ".".join(str(part) for part in (where, *item["loc"]))
    if item["type"] != "extra_forbidden":
        return f"{location}: {item['msg']} (got {item['input']!r})"
    *path, name = item["loc"]
    return f"{location}: unknown setting{nearest(str(name), _fields_at(cls, path))}"


def nearest(name: str, valid: list[str]) -> str:
    """The hint after an unknown name: the valid name that was probably meant, or all of them."""
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else f"; valid settings: {', '.join(sorted(valid))}"


def _fields_at(cls: type[BaseModel], path: list[int | str]) -> list[str]:
    """Field names of the models reached from `cls` by a pydantic error location."""
    models: list[type[BaseModel]] = [cls]
    for part in path:
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        models = [inner for field in fields for inner in _models_in(field.annotation)] or models
    return sorted({field for model in models for field in model.model_fields})


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for argument in typing.get_args(annotation):
        yield from _models_in(argument)


def stage_config(stage: str) -> type[Settings]:
    """The `Config` class of a stage, found by the folder convention.

    Raises:
        ConfigError: there is no stage of this name; the nearest one is named.
    """
    if stage not in STAGES:
        raise ConfigError(f"unknown stage '{stage}'{nearest(stage, list(STAGES))}")
    config: type[Settings] = importlib.import_module(f"components.{stage}.config").Config
    return config


def find_settings(value: Any, cls: type[S], where: str = "") -> Iterator[tuple[str, S]]:
    """Walk validated settings and yield `(dotted name, value)` of every instance of `cls` inside."""
    if isinstance(value, cls):
        yield where, value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from find_settings(getattr(value, name), cls, f"{where}.{name}" if where else name)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from find_settings(item, cls, f"{where}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from find_settings(item, cls, f"{where}[{index}]")


def named_paths(settings: BaseModel, use: JsonDict) -> Iterator[str]:
    """Values of the settings marked `READ_PATH`, or `WRITTEN_PATH`: paths and addresses, maybe pinned."""
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if _mark(field, "path") == use["path"]:
            yield from value if isinstance(value, (list, tuple)) else [value]
        else:
            for _, inner in find_settings(value, BaseModel):
                yield from named_paths(inner, use)


def identity(settings: BaseModel) -> dict[str, Any]:
    """The settings that decide what a stage writes: all but those marked `OPERATIONAL`, as JSON values.

    Settings are hashed by this, so that raising a budget or moving an endpoint loses no finished work.
    """
    return {
        name: _identity(getattr(settings, name))
        for name, field in type(settings).model_fields.items()
        if not _mark(field, "operational")
    }


def _identity(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return identity(value)
    if isinstance(value, dict):
        return {key: _identity(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_identity(item) for item in value]
    return to_jsonable_python(value)


def _mark(field: FieldInfo, name: str) -> Any:
    return field.json_schema_extra.get(name) if isinstance(field.json_schema_extra, dict) else None

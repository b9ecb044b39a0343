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
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from components.core.stage.errors import ConfigError
from components.core.stage.secrets import hide
from components.stages import STAGES


class Settings(BaseModel):
    """Base of all settings: unknown keys fail, values are frozen, a field's docstring is its description."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),
        allow_inf_nan=False,
    )

    def unread(self) -> tuple[str, ...]:
        """Names of settings that the others leave unread, e.g. the endpoint of another engine."""
        return ()


OPERATIONAL: JsonDict = {"operational": True}
"""Marks a setting that changes how a stage works and not its outputs, e.g. a time limit: see `identity`."""
READ_PATH: JsonDict = {"path": "read"}
"""Marks a setting that may name a path which a stage reads: see `named_paths`."""
MODEL_PATH: JsonDict = {**READ_PATH, "hub": "model"}
"""Marks a setting that names a model: a path, `s3://bucket/prefix`, or a name of the hub."""
DATA_PATH: JsonDict = {**READ_PATH, "hub": "dataset"}
"""Marks a setting that names data likewise."""
WRITTEN_PATH: JsonDict = {"path": "written"}
"""Marks a setting that may name a directory which a stage writes."""


AskedFor = Literal["pictures", "text", "embeddings", "log-probabilities"]


class Endpoint(Settings):
    """An OpenAI-compatible HTTP endpoint that serves one model, which is asked about pictures."""

    asked_for: ClassVar[AskedFor] = "pictures"
    """What the stage will ask, so that preflight can try it."""
    typed: ClassVar[bool] = True
    """Whether answers have to fit a schema."""

    base_url: str = Field(pattern=r"^https?://", json_schema_extra=OPERATIONAL)
    """Address up to and including `/v1`. Only `model` says which model it is."""
    model: str
    """Model name as the endpoint lists it under `/models`."""
    api_key_env: str = Field(
        default="OPENAI_API_KEY", pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$", json_schema_extra=OPERATIONAL
    )
    """Environment variable that holds the key; unset, no key is sent. Keys never stand in a config."""
    answer_format: Literal["json_schema", "strict_json_schema", "json_object", "text"] = Field(
        default="json_schema", json_schema_extra=OPERATIONAL
    )
    """How the form of an answer is asked for. `strict_json_schema` is what OpenAI's strict mode takes: every
    property required, no further ones, no bounds. With `json_object` and `text` the prompt has the form."""
    token_limit: Literal["max_tokens", "max_completion_tokens"] = Field(
        default="max_tokens", json_schema_extra=OPERATIONAL
    )
    """Name under which the endpoint takes the limit of an answer's length."""
    omit: tuple[Literal["temperature", "seed"], ...] = Field(default=(), json_schema_extra=OPERATIONAL)
    """Parameters that the endpoint refuses, which are not sent."""
    embed_batch: int = Field(default=64, ge=1, json_schema_extra=OPERATIONAL)
    """Texts in one request for embeddings."""
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

    @field_validator("base_url")
    @classmethod
    def _without_credentials(cls, value: str) -> str:
        if "@" in value.partition("://")[2].partition("/")[0]:
            raise ValueError("the address holds a user or password; keys come from the environment")
        return value


class FreeEndpoint(Endpoint):
    """An endpoint that is asked about pictures and answers in its own words."""

    typed: ClassVar[bool] = False


class TextEndpoint(Endpoint):
    """An endpoint that is asked without pictures."""

    asked_for: ClassVar[AskedFor] = "text"


class Embedder(Endpoint):
    """An endpoint that turns texts into vectors (`/embeddings`)."""

    asked_for: ClassVar[AskedFor] = "embeddings"


class TeacherEndpoint(FreeEndpoint):
    """A vLLM server that says how probable the tokens of given answers are (`prompt_logprobs`)."""

    asked_for: ClassVar[AskedFor] = "log-probabilities"


S = TypeVar("S", bound=BaseModel)
_MAX_SHOWN = 300
"""Characters of a refused value in a message."""


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
        data = settings_json(data, where)
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected a mapping of settings, got {type(data).__name__}")
    if unusable := [name for name, text in _texts(data, where) if not _storable(text)]:
        raise ConfigError(f"{unusable[0]}: holds a zero byte or half a character, which no file can hold")
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(cls, where, item) for item in error.errors())) from error


def settings_json(text: str, where: str) -> Any:
    """Settings from JSON: every number is one, and every key stands once.

    Raises:
        ConfigError: the text is no such JSON.
    """
    try:
        return json.loads(text, parse_constant=_no_number, object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not valid JSON ({error})") from error


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _texts(value: Any, where: str) -> Iterator[tuple[str, str]]:
    """Every text in settings with its dotted name, names of settings included."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield where, name
            yield from _texts(item, f"{where}.{name}" if _storable(name) else where)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _texts(item, f"{where}.{index}")


def _storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= sign <= "\udfff" for sign in text)


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
        return f"{location}: {item['msg']}{_got(str(item['loc'][-1] if item['loc'] else ''), item['input'])}"
    *path, name = item["loc"]
    return f"{location}: unknown setting{nearest(str(name), _fields_at(cls, path))}"


def _got(name: str, value: Any) -> str:
    """The refused value for a message: not where it may be a key, of a mapping the names alone, not long."""
    if name == "api_key_env":
        return " (the name of a variable, not the key itself)"
    if isinstance(value, dict):
        value = list(value)
    shown = hide(repr(value))
    return f" (got {shown if len(shown) <= _MAX_SHOWN else shown[:_MAX_SHOWN] + ' …'})"


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


def find_settings(
    value: Any, cls: type[S], where: str = "", *, unread: bool = True
) -> Iterator[tuple[str, S]]:
    """Walk validated settings and yield `(dotted name, value)` of every instance of `cls` inside.

    Those that the other settings leave unread are among them unless `unread` is false.
    """
    if isinstance(value, cls):
        yield where, value
    elif isinstance(value, BaseModel):
        left = value.unread() if isinstance(value, Settings) and not unread else ()
        for name in (name for name in type(value).model_fields if name not in left):
            place = f"{where}.{name}" if where else name
            yield from find_settings(getattr(value, name), cls, place, unread=unread)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from find_settings(item, cls, f"{where}.{key}", unread=unread)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from find_settings(item, cls, f"{where}[{index}]", unread=unread)


def named_paths(settings: BaseModel, use: JsonDict) -> Iterator[str]:
    """Values of the settings marked `READ_PATH`, or `WRITTEN_PATH`: paths and addresses, maybe pinned."""
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if _mark(field, "path") == use["path"]:
            yield from value if isinstance(value, (list, tuple)) else [value]
        else:
            for _, inner in find_settings(value, BaseModel):
                yield from named_paths(inner, use)


def _unchanged(text: str, kind: str) -> str:
    return text


def with_paths(
    cls: type[BaseModel],
    section: Any,
    change: Callable[[str], str],
    named: Callable[[str, str], str] = _unchanged,
) -> Any:
    """A section with `change` applied to the texts of the settings marked `READ_PATH` or `WRITTEN_PATH`.

    Args:
        cls: the settings class.
        section: as a user states it, not checked yet: what does not fit the class stays as it is.
        change: applied twice, it changes nothing more.
        named: given a text and the mark's `hub`, makes a name of the hub an address, before `change`.
    """
    if not isinstance(section, dict):
        return section

    def changed(field: FieldInfo, value: Any) -> Any:
        if _mark(field, "path") and isinstance(value, str):
            kind = _mark(field, "hub")
            return change(named(value, kind) if kind else value)
        if isinstance(value, (list, tuple)):
            return [changed(field, item) for item in value]
        for inner in _models_in(field.annotation):
            value = with_paths(inner, value, change, named)
        return value

    fields = cls.model_fields
    return {
        name: changed(fields[name], value) if name in fields else value for name, value in section.items()
    }


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

"""A stage's command line: parsed, completed from KFP's executor input, and compared with it.

Settings and strings that the command line leaves out stand in the executor input. The compiled pipeline
leaves them all out, because a cluster keeps every word of a command many times over.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from components.core.stage.errors import ConfigError, NoInputError
from components.core.stage.io import StageIO, flag
from components.core.stage.settings import settings_json
from components.stages import FIELDS, SECTIONS

_PLACEHOLDER = "{{$"
_ASK = "compile the pipeline again with this release, and start a new run"


@dataclass(frozen=True)
class Arguments:
    """What a stage is to work on and where it is to write."""

    config: str | dict[str, Any]
    """Its settings, not yet checked: JSON or a mapping."""
    params: dict[str, str]
    """Its strings, one entry for each that the stage declares; "" for one that was left out."""
    inputs: dict[str, Path]
    """Places of the inputs; an optional one that was left out is missing. All exist."""
    outputs: dict[str, Path]
    """Places of the outputs."""
    metrics: Path
    report: Path
    executor_input: dict[str, Any]
    """KFP's description of the task; empty outside KFP."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"command line: {message}")


def read_arguments(stage: str, io: StageIO, argv: list[str] | None) -> Arguments:
    """The arguments of a stage from its command line.

    Raises:
        ConfigError: an argument is unknown or missing, or an input that KFP lists did not reach the stage.
        NoInputError: an input does not exist.
    """
    given = vars(_parser(stage, io).parse_args(argv))
    for name in ("config", *io.section_params, "executor_input"):
        if given[name] is not None:
            given[name] = _from_file(flag(name), given[name])
    executor_input = _executor_input(given["executor_input"])
    values = executor_input.get("inputs", {}).get("parameterValues", {})
    fields = {name: str(given[f"field_{name}"] or values.get(f"field_{name}") or "") for name in FIELDS}
    params = {name: _text(values.get(name) if given[name] is None else given[name]) for name in io.strings}
    for name in io.sections:
        if section := params[f"section_{name}"]:
            params[f"section_{name}"] = _text(_overridden(section, {name}, fields, name))
    own = {section.name for section in SECTIONS.values() if section.stage == stage}
    config = given["config"] if given["config"] is not None else values.get("config")
    places = {name: io.place(name, given) for name in (*io.inputs, *io.optional_inputs, *io.written)}
    found = {name: path for name, path in places.items() if path is not None}
    _refuse_gaps(io, found, executor_input)
    missing = [flag(name) for name in (*io.inputs, *io.written) if name not in found]
    missing += [flag(name) for name in io.params if given[name] is None and name not in values]
    missing += ["--config"] if config is None else []
    if missing:
        raise ConfigError(f"command line: missing {', '.join(missing)}")
    inputs = {name: found[name] for name in (*io.inputs, *io.optional_inputs) if name in found}
    for name, path in inputs.items():
        if not path.exists():
            raise NoInputError(f"{flag(name)}: {path} does not exist")
    return Arguments(
        _overridden(config, own, fields, stage),
        params,
        inputs,
        {name: found[name] for name in io.written},
        given["metrics"],
        given["report"],
        executor_input,
    )


def _parser(stage: str, io: StageIO) -> argparse.ArgumentParser:
    """The command line that a declaration stands for."""
    parser = _Parser(prog=f"python -m components.{stage}", allow_abbrev=False)
    add = parser.add_argument
    add("--config", help="the stage's settings, as JSON or as @FILE with JSON")
    for name in (*io.inputs, *io.optional_inputs):
        lies = f"; by default {io.joined[name]}" if name in io.joined else ""
        add(flag(name), type=Path, help=f"input directory or file{lies}")
    for name in io.strings:
        add(flag(name), help="string parameter; a section also as @FILE")
    for name in io.written:
        lies = f"; by default {io.joined[name]}" if name in io.joined else ""
        add(flag(name), type=Path, help=f"where to write this output{lies}")
    add("--metrics", type=Path, required=True, help="where to write metrics (JSON)")
    add("--report", type=Path, required=True, help="where to write the report (HTML)")
    for field in FIELDS.values():
        add(flag(f"field_{field.name}"), help=f"wins over {', '.join(field.settings)}")
    add("--executor-input", default="", help="KFP executor input, as JSON or as @FILE; empty outside KFP")
    return parser


def _executor_input(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        found: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"--executor-input: not valid JSON ({error}); {_ASK}") from error
    return found


def _from_file(option: str, text: str) -> str:
    """An option's JSON; a long one is in a file, `@FILE`."""
    if not text.startswith("@"):
        return text
    path = Path(text[1:])
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or no path
        why = error.strerror if isinstance(error, OSError) else error
        raise NoInputError(f"{option}: {text[1:200]!r} cannot be read ({why})") from error


def _text(value: Any) -> str:
    """A parameter as the command line would carry it."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _overridden(section: str | dict[str, Any], names: set[str], fields: Mapping[str, str], where: str) -> Any:
    """A section's settings with the plain fields that were filled in.

    Raises:
        ConfigError: the section is no JSON; `where` names it.
    """
    wins = {
        setting.partition(".")[2]: fields[field.name]
        for field in FIELDS.values()
        for setting in field.settings
        if fields[field.name] and setting.partition(".")[0] in names
    }
    if isinstance(section, str):
        section = settings_json(section, where)
    return {**section, **wins} if isinstance(section, dict) else section


def _refuse_gaps(io: StageIO, found: Mapping[str, Path], executor_input: Mapping[str, Any]) -> None:
    """Refuse to work where the orchestrator lost an input on its way to the command line.

    Kubeflow 2.17.0 drops conditional arguments of artifacts, for example. Training would start from the base
    model, and nothing would say so.
    """
    listed = executor_input.get("inputs", {}).get("artifacts", {})
    lost = [name for name, given in listed.items() if given.get("artifacts") and name not in found]
    if lost:
        names = ", ".join(flag(name) for name in sorted(lost))
        raise ConfigError(f"Kubeflow has an input for {names}, which did not reach the command line; {_ASK}")
    unfilled = [flag(name) for name, path in found.items() if _PLACEHOLDER in str(path)]
    if unfilled:
        raise ConfigError(f"Kubeflow did not fill in {', '.join(unfilled)}; {_ASK}")

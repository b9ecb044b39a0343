"""Run profiles: one YAML file with everything about a run, whose settings are all checked beforehand.

    name: clusters
    extends: demo.yaml                  # optional; sections are merged key by key, lists are replaced
    domain: domains/clusters.yaml       # the domain's name and the experts' first-level labels
    x-teacher: &teacher {base_url: ...}     # keys that begin with x- only hold YAML anchors
    voting_filter: {...}                # one section for each use of a stage, see components/stages.py
    resources:                          # per task, see pipelines/profile/resources.py
      hybrid_rl: {gpu: 8, memory: 400G}
    kubeflow: {...}                     # of the run as a whole, see there

Relative paths are relative to the file that states them, and those of the command line (`--set`) to the
directory in which the command runs. A checked profile has absolute paths only.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from components.core.sources.address import data_source, model_source
from components.core.stage.errors import ConfigError
from components.core.stage.settings import Settings, nearest, parse_settings, stage_config, with_paths
from components.stages import SECTIONS, TASKS, section_of
from pipelines.profile.resources import Resources, RunSettings
from pipelines.profile.yaml_files import load_yaml

_TOP_LEVEL = ["name", "description", "extends", "domain", "resources", "kubeflow", *SECTIONS]


@dataclass(frozen=True)
class Profile:
    """A checked run profile."""

    name: str
    sections: Mapping[str, Mapping[str, Any]]
    """Section name -> all its settings, defaults included, as JSON-able values."""
    resources: Mapping[str, Resources]
    """Task name -> resources; every task has an entry."""
    kubeflow: RunSettings = field(default_factory=RunSettings)
    """What the run as a whole asks of Kubeflow."""

    @property
    def settings(self) -> dict[str, Settings]:
        """Section name -> its settings as the stage has them."""
        return {name: _settings(name, section) for name, section in self.sections.items()}

    def as_yaml(self) -> str:
        """The resolved profile, as `run --dry-run` prints it."""
        stated = {task: wanted.model_dump(exclude_defaults=True) for task, wanted in self.resources.items()}
        resources = {task: wanted for task, wanted in stated.items() if wanted}
        run = self.kubeflow.model_dump(exclude_defaults=True)
        document = {"name": self.name, **self.sections, "resources": resources}
        document |= {"kubeflow": run} if run else {}
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)


def load_profile(path: Path, overrides: Iterable[str] = ()) -> Profile:
    """Read, merge, override and check a run profile.

    Args:
        path: the YAML file.
        overrides: `section.key=value` settings from the command line; the value is parsed as YAML.

    Raises:
        ConfigError: a file is missing or not YAML, or settings are unknown or invalid. Every bad setting is
            named, an unknown one with its nearest valid name.
    """
    document = _read(path, seen=())
    _reject_unknown(document, _TOP_LEVEL, path)
    for override in overrides:
        document = _overridden(document, override)
    document = _anchored(document, Path.cwd())
    if "domain" in document:
        _inline_domain(document, Path(str(document["domain"])))
    problems: list[str] = []
    sections = {name: _checked(_section, document, name, problems) for name in SECTIONS}
    resources = _checked(_resources, document.get("resources") or {}, "resources", problems)
    run = _checked(_run_settings, document.get("kubeflow") or {}, "kubeflow", problems)
    if problems:
        raise ConfigError("\n".join(problems))
    name = str(document.get("name", path.stem))
    return Profile(name=name, sections=sections, resources=resources, kubeflow=RunSettings(**run))


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """The document of `path` merged over the one it extends, without `extends` and `x-` keys."""
    path = path.absolute()
    if path in seen:
        raise ConfigError(f"{path}: extends itself through {' -> '.join(p.name for p in seen)}")
    document = {key: value for key, value in _load_yaml(path).items() if not str(key).startswith("x-")}
    document = _anchored(document, path.parent)
    parent = document.pop("extends", None)
    return document if parent is None else _merge(_read(path.parent / str(parent), (*seen, path)), document)


def _anchored(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The document with its relative paths made absolute, from the folder of the file that states them."""

    def absolute(text: str) -> str:
        scheme, mark, path = text.rpartition("://")
        local = bool(path) and scheme in ("", "file")
        return f"{scheme}{mark}{os.path.abspath(folder / path)}" if local else text

    def named(text: str, kind: str) -> str:
        """A name of the hub as an address; a directory that happens to be called so stays one."""
        if (folder / text).exists():
            return text
        try:
            return model_source(text) if kind == "model" else data_source(text)
        except ValueError:
            return text  # the check of the settings tells why

    def section(key: str, value: Any) -> Any:
        return with_paths(stage_config(SECTIONS[key].stage), value, absolute, named)

    anchored = {key: section(key, value) if key in SECTIONS else value for key, value in document.items()}
    return anchored | {key: absolute(str(document[key])) for key in ("domain",) if key in document}


def _load_yaml(path: Path, advice: str = "give the path of a YAML file") -> dict[str, Any]:
    try:
        document = load_yaml(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); {advice}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        told = " ".join(str(error).split())
        raise ConfigError(f"{path}: is not valid YAML ({told})") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected a mapping of sections, found {type(document).__name__}")
    return document


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid over `base`: mappings are merged, anything else is replaced. Neither is changed."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _reject_unknown(document: Mapping[str, Any], valid: list[str], where: object) -> None:
    unknown = [str(key) for key in document if key not in valid]
    if unknown:
        lines = (f"{where}: unknown section '{key}'{nearest(key, valid)}" for key in unknown)
        raise ConfigError("\n".join(lines))


def _overridden(document: dict[str, Any], override: str) -> dict[str, Any]:
    """The document with one setting of the command line."""
    dotted, equals, text = override.partition("=")
    keys = dotted.strip().split(".")
    if not equals or not all(keys):
        wanted = "expected SECTION.KEY=VALUE, e.g. voting_filter.posterior_threshold=0.9"
        raise ConfigError(f"--set {override}: {wanted}")
    _reject_unknown({keys[0]: None}, [*SECTIONS, "resources", "kubeflow"], f"--set {override}")
    try:
        return dict(_with(document, keys, load_yaml(text)))
    except yaml.YAMLError as error:
        told = " ".join(str(error).split())
        raise ConfigError(f"--set {override}: the value is not valid YAML ({told})") from error
    except ValueError as error:
        raise ConfigError(f"--set {override}: {error}") from error


def _with(old: Any, keys: list[str], value: Any, name: str = "") -> Any:
    """A copy of `old` with `value` under these keys; a number indexes a list, mappings are merged."""
    if not keys:
        return _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    key, *rest = keys
    if isinstance(old, list):
        if not key.isdigit() or int(key) >= len(old):
            raise ValueError(f"'{key}' is not an index into a list of {len(old)}")
        place = int(key)
        return [*old[:place], _with(old[place], rest, value, key), *old[place + 1 :]]
    if not isinstance(old, (dict, type(None))):
        raise ValueError(f"'{name}' is a value, so it has no '{key}'")
    known = old or {}
    return {**known, key: _with(known.get(key), rest, value, key)}


def _inline_domain(document: dict[str, Any], path: Path) -> None:
    """Hand a domain file's name and labels to the stages that need them; the profile's own win."""
    stated = _load_yaml(path, "give the path of a domain file, relative to the profile that names it")
    _reject_unknown(stated, ["domain", "description", "labels"], path)
    if not stated.get("domain") or not stated.get("labels"):
        raise ConfigError(f"{path}: needs 'domain', its name, and 'labels', the experts' first level")
    name = str(stated["domain"])
    tree = {"domain": name.replace("_", " "), "experts": stated["labels"]}
    for section, values in (("label_tree", tree), ("promotion", {"domain": name})):
        document[section] = _merge(values, document.get(section) or {})


def _checked(
    check: Callable[[Any, str], dict[str, Any]], stated: Any, name: str, problems: list[str]
) -> dict[str, Any]:
    """The result of `check`; its errors are added to `problems`."""
    try:
        return check(stated, name)
    except ConfigError as error:
        problems.append(str(error))
        return {}


def _settings(name: str, section: Any) -> Settings:
    return parse_settings(stage_config(SECTIONS[name].stage), section, where=name)


def _section(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A section with every default filled in, but for groups of settings that hold nothing else.

    A section stands several times in the workflow of a run, whose size is limited.
    """
    settings = _settings(name, document.get(name) or {})
    fields = type(settings).model_fields
    untouched = {
        name for name, value in settings if isinstance(value, Settings) and value == fields[name].default
    }
    section = settings.model_dump(mode="json", exclude_none=True, exclude=untouched)
    # Pipeline parameters cannot carry null: leaving it out must mean the same.
    if _settings(name, section) != settings:
        raise ConfigError(f"{name}: a setting is null whose default is not; give it a value")
    return section


def _run_settings(stated: Any, name: str) -> dict[str, Any]:
    """The settings of the run as a whole, defaults filled in."""
    return parse_settings(RunSettings, stated, where=name).model_dump()


def _resources(stated: Any, name: str) -> dict[str, Resources]:
    """Resources of every task: default, then `evaluation` for its tasks, then its own, merged key by key."""
    if not isinstance(stated, dict):
        raise ConfigError(f"{name}: expected a mapping of tasks, found {type(stated).__name__}")
    blocks = {task: values or {} for task, values in stated.items()}
    _reject_unknown(blocks, ["default", *TASKS, "evaluation"], name)
    for task, values in blocks.items():
        parse_settings(Resources, values, where=f"{name}.{task}")

    def of(task: str) -> Resources:
        layers = (blocks.get(block, {}) for block in ("default", section_of(task).name, task))
        return parse_settings(Resources, functools.reduce(_merge, layers), where=f"{name}.{task}")

    return {task: of(task) for task in TASKS}

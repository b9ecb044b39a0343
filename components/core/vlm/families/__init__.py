"""The families of models: each module here (or one folder below) is one, found by being there.

A module defines `FAMILY`. `docs/models.md` says how to add one and what each is tested for.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from components.core.stage.errors import ConfigError, DataError
from components.core.vlm.family import Family

_FOLDER = Path(__file__).parent
_PROCESSORS = {"Qwen3VLProcessor": "qwen3_vl", "Qwen2_5_VLProcessor": "qwen2_5_vl"}
"""The family of a processor that was made without a checkpoint's `config.json`."""


@cache
def families() -> Mapping[str, Family]:
    """Every family by `model_type`."""
    modules = [
        ".".join(path.relative_to(_FOLDER).with_suffix("").parts)
        for path in sorted(_FOLDER.rglob("*.py"))
        if path.stem != "__init__"
    ]
    found = [importlib.import_module(f"{__name__}.{module}").FAMILY for module in modules]
    return {kind: family for family in found for kind in family.model_types}


def family_for(model_type: str | None) -> Family:
    """The family of a `model_type`.

    Raises:
        ConfigError: there is none; names the supported ones.
    """
    if model_type is None or model_type not in families():
        raise ConfigError(f"model_type '{model_type}' is not supported; supported: {', '.join(families())}")
    return families()[model_type]


def family_of(source: Any) -> Family:
    """The family of a model, a model's configuration, or a processor that `load_processor` made."""
    if (known := getattr(source, "family", None)) is not None:
        return known
    if hasattr(source, "tokenizer"):
        kinds = [kind.__name__ for kind in type(source).__mro__]
        return family_for(next((_PROCESSORS[kind] for kind in kinds if kind in _PROCESSORS), kinds[0]))
    config = getattr(source, "config", source)
    return family_for(getattr(config, "model_type", None))


def read_config(path: str | Path) -> dict[str, Any]:
    """The content of a checkpoint's `config.json`.

    Raises:
        DataError: there is none, or it is no JSON object.
    """
    file = Path(path) / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({error}); give the directory of a saved model") from error
    if not isinstance(config, dict):
        raise DataError(f"{file}: is no JSON object; give the directory of a saved model")
    return config


def model_type_of(path: str | Path) -> str:
    """The `model_type` of a checkpoint; of a processor saved alone, that of its class.

    Raises:
        DataError: the directory has neither.
    """
    alone = Path(path) / "processor_config.json"
    if not (Path(path) / "config.json").is_file() and alone.is_file():
        kind = json.loads(alone.read_text(encoding="utf-8")).get("processor_class")
        if kind in _PROCESSORS:
            return _PROCESSORS[kind]
    return str(read_config(path).get("model_type"))


def refuse(path: str | Path, what: str, setting: str) -> None:
    """Stop where a checkpoint's family cannot do what a setting asks for.

    Args:
        path: directory of the checkpoint.
        what: `packing` or `export`.
        setting: what to change, for the message.

    Raises:
        ConfigError: it cannot.
    """
    config = read_config(path)
    if reason := family_for(config.get("model_type")).refusals(config).get(what):
        raise ConfigError(f"{setting}: {reason}")

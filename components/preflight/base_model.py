"""The model that training starts from, and a teacher: their place, and checks of its files without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.core.plan.teacher import checkpoint_of
from components.core.registry import SEEN_IMAGES, DomainRegistry
from components.core.stage.errors import ConfigError, DataError, NoInputError
from components.core.stage.settings import Settings
from components.core.vlm.families import families, family_for
from components.core.vlm.tokens import control_tokens
from components.core.vlm.vocabulary import differences, read_vocabulary
from components.preflight.config import Config

_MAX_HEADER_BYTES = 100 * 2**20  # the safetensors format's own limit
_TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json")
_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")


def starting_model(config: Config, promotion_section: str) -> tuple[str, str]:
    """Address of the model, and of the list of pictures that it has seen ("" if there is none).

    The promotion section, JSON, names registry and domain.

    Raises:
        ConfigError: `start_from: promoted` without promotion's settings, or with an unreadable registry.
    """
    if config.start_from == "base_model":
        return config.base_model, ""
    promotion = json.loads(promotion_section or "{}")
    root = promotion.get("registry", "")
    if not root:
        raise ConfigError("preflight.start_from: promoted needs promotion.registry")
    registry = DomainRegistry(root, promotion.get("domain", "default"))
    current = registry.pointer().version
    if not current:
        return config.base_model, ""
    version = registry.version(current)
    listed = any(entry["name"] == SEEN_IMAGES for entry in version.manifest["files"])
    return f"{version.uri}/checkpoint", f"{version.uri}/{SEEN_IMAGES}" if listed else ""


def check_base_model(
    path: Path, wanted: Mapping[str, str] | None = None, setting: str = "preflight.base_model"
) -> str:
    """Check that the training stages can load a model; returns a description for the report.

    Args:
        path: directory of the model.
        wanted: what the run's settings ask for that not every family can do (`packing`), and the setting.
        setting: that names the model.

    Raises:
        ConfigError: the model's family is not supported, or cannot do what the settings ask for.
        NoInputError: no such directory.
        DataError: files are missing, damaged or of another model; names all of them.
    """
    if not path.is_dir():
        raise NoInputError(f"{path}: no such model directory; check {setting}")
    problems: list[str] = []
    config = _json(path / "config.json", problems)
    model_type = config.get("model_type")
    if config and model_type not in families():
        supported = ", ".join(families())
        problems.append(f"model_type '{model_type}' is not supported; supported: {supported}")
    elif config:
        refusals = family_for(model_type).refusals(config)
        if refused := [
            f"{setting}: {refusals[what]}" for what, setting in (wanted or {}).items() if what in refusals
        ]:
            raise ConfigError("\n".join(refused))
    weights = _weight_files(path, problems)
    for file in weights:
        if problem := _safetensors_problem(file):
            problems.append(f"{file.name}: {problem}")
    _check_tokenizer(path, config, problems)
    if not _any_of(path, _PROCESSOR_FILES):
        problems.append(f"no {' or '.join(_PROCESSOR_FILES)}")
    if problems:
        kind = setting.rpartition(".")[2].replace("_", " ")
        raise DataError(f"{path}: not a usable {kind}:\n  " + "\n  ".join(problems))
    size = sum(file.stat().st_size for file in weights)
    return f"{model_type}, {size / 2**20:,.1f} MiB of weights in {len(weights)} file(s)"


def teacher_of(sections: Mapping[str, Settings]) -> str:
    """Address of the teacher's checkpoint that a run will load; "" where it loads none."""
    return checkpoint_of(sections.get("hybrid_rl"))


def check_teacher(path: Path, base_model: Path) -> str:
    """Check that a teacher can be loaded and has the base model's vocabulary; returns a line for the report.

    Args:
        path: directory of the teacher.
        base_model: directory of the model that training starts from.

    Raises:
        ConfigError: its family is not supported, or its vocabulary is another one.
        NoInputError: no such directory.
        DataError: files are missing or damaged.
    """
    found = check_base_model(path, setting="hybrid_rl.teacher.checkpoint")
    ours, theirs = read_vocabulary(base_model), read_vocabulary(path)
    if ours is None or theirs is None:
        return f"{found}; its vocabulary is compared when it is loaded"
    if apart := differences(ours, theirs):
        raise ConfigError(
            f"hybrid_rl.teacher.checkpoint: {path} has another vocabulary than the base model "
            f"({apart}); take one of its family"
        )
    return f"{found}; the base model's vocabulary"


def asked_of_family(sections: Mapping[str, Any]) -> dict[str, str]:
    """What the settings ask for that not every family can do, and the settings that ask for it."""
    packing = [
        f"{name}.pack_tokens"
        for name, settings in sections.items()
        if any(getattr(phase, "pack_tokens", 0) for phase in getattr(settings, "by_phase", list)())
    ]
    return {"packing": ", ".join(packing)} if packing else {}


def family_tokens(path: Path) -> tuple[str, ...]:
    """Texts that no sample may spell, by the model's family; none for a model that is refused anyway."""
    family = families().get(_json(path / "config.json", []).get("model_type", ""))
    return control_tokens(family) if family else ()


def _weight_files(path: Path, problems: list[str]) -> list[Path]:
    single = path / "model.safetensors"
    if single.is_file():
        return [single]
    index = path / "model.safetensors.index.json"
    if not index.is_file():
        hint = " (weights in pickle format are not loaded; convert them)" if any(path.glob("*.bin")) else ""
        problems.append(f"no model.safetensors or model.safetensors.index.json{hint}")
        return []
    names = sorted(set(_json(index, problems).get("weight_map", {}).values()))
    missing = [name for name in names if not (path / name).is_file()]
    if missing or not names:
        problems.append(f"weight files of the index are missing: {', '.join(missing) or 'all'}")
    return [path / name for name in names if name not in missing]


def _safetensors_problem(path: Path) -> str:
    """Why a safetensors file cannot be whole, "" if its header and size agree."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(8)
        length = int.from_bytes(head, "little")
        if head.startswith(b"version "):
            return "is a Git LFS pointer; fetch the file itself"
        if len(head) < 8 or length > min(size - 8, _MAX_HEADER_BYTES):
            return "is not a safetensors file, or is truncated"
        try:
            header = json.loads(file.read(length))
            ends = [item["data_offsets"][1] for name, item in header.items() if name != "__metadata__"]
            expected = 8 + length + max(ends, default=0)
        except (ValueError, KeyError, TypeError, AttributeError):
            return "has a damaged header"
    return "" if size == expected else f"has {size} bytes, its header says {expected}"


def _check_tokenizer(path: Path, config: dict[str, Any], problems: list[str]) -> None:
    tokenizer = path / "tokenizer.json"
    if not tokenizer.is_file() and not ((path / "vocab.json").is_file() and (path / "merges.txt").is_file()):
        problems.append("no tokenizer.json, nor vocab.json with merges.txt")
        return
    image_token = config.get("image_token_id")
    if tokenizer.is_file() and image_token is not None:
        added = {token["id"] for token in _json(tokenizer, problems).get("added_tokens", [])}
        if image_token not in added:
            token = f"config.json's image_token_id {image_token}"
            problems.append(f"{token} is no special token of the tokenizer")
    settings = ("tokenizer_config.json", "processor_config.json")
    in_config = any("chat_template" in _json(path / name, []) for name in settings)
    if not _any_of(path, _TEMPLATE_FILES) and not in_config:
        problems.append(f"no chat template ({', '.join(_TEMPLATE_FILES)}, or in tokenizer_config.json)")


def _any_of(path: Path, names: Sequence[str]) -> bool:
    return any((path / name).is_file() for name in names)


def _json(path: Path, problems: list[str]) -> dict[str, Any]:
    """A JSON object from a file; {} and a problem if there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        problems.append(f"no {path.name}")
        return {}
    except ValueError as error:
        problems.append(f"{path.name} is not valid JSON ({error})")
        return {}
    return value if isinstance(value, dict) else {}

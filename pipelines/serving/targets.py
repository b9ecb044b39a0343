"""What a person means by a model: a directory, a stage of a run, a version of a registry, an endpoint."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.core.data.checkpoint import open_checkpoint
from components.core.data.pins import split_pin
from components.core.objects import is_object_uri
from components.core.registry import DomainRegistry, Version
from components.core.stage.errors import ConfigError, DataError, NoInputError
from components.core.stage.settings import nearest
from components.stages import EVALUATED, TRAINING, title_of

BASE, CURRENT = "base", "current"


@dataclass(frozen=True)
class Target:
    """A model to ask: a checkpoint on this machine, or a model behind an endpoint."""

    name: str
    """Unique among the targets of a command, e.g. `hybrid_rl` or `instrument_cluster@3`."""
    title: str
    """What people read above its answers."""
    checkpoint: Path | None = None
    base_url: str = ""
    """Address of an OpenAI-compatible endpoint, ending in `/v1`."""
    model: str = ""
    """Name of the model there; "" takes the first that the endpoint lists."""


@dataclass(frozen=True)
class Places:
    """Where names are looked up."""

    root: Path | None = None
    """Directory of a run."""
    registry: str = ""
    """Directory or `s3://bucket/prefix` of a model registry."""
    domain: str = "default"
    cache: Path = Path("build/served")
    """Where versions from object storage are copied to."""


def find_targets(wanted: Sequence[str], places: Places) -> list[Target]:
    """The models that are meant; without any, base and `current`, or base and the newest of the run.

    Raises:
        StageError: a name means nothing, or what it means is not there.
    """
    if not wanted:
        wanted = [BASE, CURRENT] if places.registry else [BASE, *newest_stage(places)]
    found = [find_target(name, places) for name in dict.fromkeys(wanted)]
    doubled = sorted({target.name for target in found if [t.name for t in found].count(target.name) > 1})
    if doubled:
        raise ConfigError(f"two models are called {', '.join(doubled)}; name each once")
    return found


def find_target(name: str, places: Places) -> Target:
    """The model that `name` means.

    A directory is a checkpoint; `base` or a stage is a run's; `current` or a number is a registry's version;
    `http://host/v1` or `http://host/v1#model` is an endpoint.
    """
    if name.startswith(("http://", "https://")):
        url, _, model = name.partition("#")
        return Target(model or url, model or url, base_url=url.rstrip("/"), model=model)
    if name == CURRENT or name.isdigit():
        return version_target(find_version(name, places), places)
    if name in EVALUATED:
        return _of_run(name, places)
    if Path(name).is_dir():
        path = Path(name)
        named = path.absolute().name
        return Target(named, named, checkpoint=usable(path))
    known = [*EVALUATED, CURRENT]
    means = "a checkpoint's directory, a stage of the run, current, a version's number or an address"
    raise NoInputError(f"{name}: no such model{nearest(name, known)}; give {means}")


def newest_stage(places: Places) -> list[str]:
    """The last stage of the run that has a checkpoint; none before training has ended once."""
    root = _run(places)
    done = [name for name in TRAINING if (root / "outputs" / name / "checkpoint").is_dir()]
    return done[-1:]


def last_run(folders: Iterable[Path]) -> Path | None:
    """Of the directories, the run that was worked on last; None where none is a run."""
    runs = [folder for folder in folders if (folder / "outputs" / "preflight").is_dir()]
    return max(runs, key=lambda folder: (folder / "outputs").stat().st_mtime, default=None)


def find_version(name: str, places: Places) -> Version:
    """A version of the registry by number, or the one that its pointer names.

    Raises:
        ConfigError: no registry was given.
        NoInputError: there is no such version, or none is current.
    """
    if not places.registry:
        raise ConfigError(f"{name}: a version is a registry's; name one with --registry")
    registry = DomainRegistry(places.registry, places.domain)
    number = registry.pointer().version if name == CURRENT else int(name)
    if not number:
        raise NoInputError(f"{registry.uri}: no version is current; promote one, or name its number")
    return registry.version(number)


def version_target(version: Version, places: Places) -> Target:
    """A version's checkpoint, checked; copied to the cache first if it lies in object storage."""
    if is_object_uri(version.uri):
        folder = places.cache / places.domain / str(version.number)
        registry = DomainRegistry(places.registry, places.domain)
        checkpoint = registry.fetch(version, folder, under="checkpoint/") / "checkpoint"
    else:
        checkpoint = Path(version.uri.removeprefix("file://")) / "checkpoint"
    name = f"{places.domain}@{version.number}"
    return Target(name, f"version {version.number}", checkpoint=usable(checkpoint, sealed=True))


def usable(path: Path, sealed: bool = False) -> Path:
    """A checkpoint's directory, if it can be asked: model, processor and chat template are there.

    A sealed one is compared with its manifest, file by file. So template and limits of pictures are those
    that training wrote.

    Raises:
        DataError: files are missing, or differ from the manifest.
    """
    if sealed:
        open_checkpoint(path)
    needed = {
        "config.json": ("config.json",),
        "a tokenizer": ("tokenizer_config.json",),
        "the limits of pictures": ("preprocessor_config.json", "processor_config.json"),
        "a chat template": ("chat_template.jinja", "chat_template.json"),
    }
    missing = [what for what, names in needed.items() if not any((path / n).is_file() for n in names)]
    if "a chat template" in missing and _template_inside(path):
        missing.remove("a chat template")
    if missing:
        raise DataError(f"{path}: not a model that can be asked: {', '.join(missing)} missing")
    return path


def _template_inside(path: Path) -> bool:
    try:
        config = json.loads((path / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(config.get("chat_template"))


def _of_run(name: str, places: Places) -> Target:
    root = _run(places)
    if name == BASE:
        pinned = root / "outputs" / "preflight" / "base_model"
        if not pinned.is_file():
            raise NoInputError(f"{root}: preflight has not found a base model there; run the pipeline first")
        path = Path(split_pin(pinned.read_text(encoding="utf-8").strip())[0])
        if not path.is_dir():
            raise NoInputError(f"{path}: the base model of {root} is not there any more")
        return Target(name, title_of(name), checkpoint=usable(path))
    path = root / "outputs" / name / "checkpoint"
    if not path.is_dir():
        raise NoInputError(f"{root}: {name} has not ended there; see its log, or run the pipeline first")
    return Target(name, title_of(name), checkpoint=usable(path, sealed=True))


def _run(places: Places) -> Path:
    if places.root is None:
        raise NoInputError("no run was found; `make demo` makes one, --root names one, or name the models")
    return places.root

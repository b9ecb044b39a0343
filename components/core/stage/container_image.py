"""Which container image a stage runs in, and which version of the code that is.

The image reference is part of Kubeflow's cache key and of `kfp.local`'s. It has to change when, and only
when, the code that the stage runs changes. Released images are pinned by digest in `images/digests.yaml`. An
unreleased tree gets a tag made from the content of its own folder, of `components/core`, and of its locked
packages. A digest that was made from other code is never used, and the compiler refuses it by name.

Stages and the compiler both use this. It imports the standard library alone unless a digest file exists.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path

from components.stages import STAGES

COMPONENTS = Path(__file__).resolve().parents[2]
ROOT = COMPONENTS.parent
REGISTRY_ENV = "VLM_POSTTRAIN_REGISTRY"
DEFAULT_REGISTRY = "localhost/vlm-posttrain"
TAG_HEX = 12

CHECKS_ALL = ("preflight",)
"""Stages that read the settings of all others, and so carry all code. Their results are never cached."""
LOCKS = {"core": ("core",), "data": ("data",), "train": ("train", "gpu")}
"""Group -> the locks that its images may be built from: training stages run on CPUs and on GPUs."""


def image(stage: str) -> str:
    """The reference of the image that runs `stage`: the pinned digest if released, else a content tag.

    Raises:
        ValueError: there is no stage of this name.
    """
    if pinned := _digests().get(stage):
        return pinned
    registry = os.environ.get(REGISTRY_ENV, DEFAULT_REGISTRY).rstrip("/")
    return f"{registry}/{stage.replace('_', '-')}:{code_version(stage)}"


@cache
def code_version(stage: str) -> str:
    """Twelve hex digits of a hash over all code that `stage` can import, and over its locked packages.

    Raises:
        ValueError: there is no stage of this name.
    """
    folder = COMPONENTS / stage
    if not (folder / "__init__.py").is_file():
        raise ValueError(f"there is no stage {stage!r}: {folder} is not a package")
    code = [COMPONENTS] if stage in CHECKS_ALL else [folder, COMPONENTS / "core", COMPONENTS / "stages.py"]
    locks = LOCKS[STAGES[stage].group if stage in STAGES else "core"]
    digest = hashlib.sha256()
    for path in (*code, *(ROOT / "requirements" / f"{lock}.lock" for lock in locks)):
        digest.update(_content_hash(path))
    return digest.hexdigest()[:TAG_HEX]


@cache
def _content_hash(path: Path) -> bytes:
    """sha256 over names and contents below `path`, without caches and documentation, which nothing reads."""
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        if "__pycache__" in file.parts or file.suffix in {".pyc", ".md"}:
            continue
        content = file.read_bytes()
        digest.update(f"{file.relative_to(path.parent).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.digest()


def stale_digests() -> dict[str, str]:
    """Stage -> why its entry in `images/digests.yaml` is not used; empty where all entries match the tree."""
    return {
        stage: f"built from code {entry['code_version']}, the tree is at {code_version(stage)}"
        for stage, entry in _entries().items()
        if stage in STAGES and entry["code_version"] not in ("", code_version(stage))
    }


@cache
def _digests() -> dict[str, str]:
    """Stage -> `registry/name@sha256:...` of the released images that have the code of this tree."""
    stale = stale_digests()
    return {stage: entry["image"] for stage, entry in _entries().items() if stage not in stale}


def _entries() -> dict[str, dict[str, str]]:
    """Stage -> image and code version, from `images/digests.yaml`. A reference alone is not checked.

    Raises:
        ValueError: the file holds something else.
    """
    path = ROOT / "images" / "digests.yaml"
    if not path.is_file():
        return {}
    import yaml

    entries = {}
    for stage, entry in (yaml.safe_load(path.read_text()) or {}).items():
        if isinstance(entry, str):
            entry = {"image": entry, "code_version": ""}
        if not isinstance(entry, dict) or not {"image", "code_version"} <= set(entry):
            needs = "'image' and 'code_version'; `make images` writes the file"
            raise ValueError(f"{path}: {stage} needs {needs}")
        entries[stage] = {key: str(value) for key, value in entry.items()}
    return entries

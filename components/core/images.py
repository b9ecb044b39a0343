"""Which container image a stage runs in, and which version of the code that is.

The image reference is part of Kubeflow's cache key (and of ``kfp.local``'s), so it has to change when, and only
when, the code that the stage runs changes: a global tag would bust every stage's cache on any edit, ``latest`` would
serve results of old code. Released images are pinned by digest in ``images/digests.yaml``; an unreleased tree gets a
tag made from the content of what the stage imports: its own folder, ``components/core`` and the pinned requirements.

Imports nothing beyond the standard library unless a digest file exists: stages and the compiler both use it.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path

COMPONENTS = Path(__file__).resolve().parent.parent
ROOT = COMPONENTS.parent
REGISTRY_ENV = "VLM_POSTTRAIN_REGISTRY"
DEFAULT_REGISTRY = "localhost/vlm-posttrain"
TAG_HEX = 12


def image(stage: str) -> str:
    """The reference of the image that runs `stage`: the pinned digest if released, else a content tag.

    Raises:
        ValueError: there is no stage of this name.
    """
    pinned = _digests().get(stage)
    if pinned:
        return pinned
    registry = os.environ.get(REGISTRY_ENV, DEFAULT_REGISTRY).rstrip("/")
    return f"{registry}/{stage.replace('_', '-')}:{code_version(stage)}"


@cache
def code_version(stage: str) -> str:
    """Twelve hex digits of a hash over all code that `stage` can import, and over the pinned requirements.

    Raises:
        ValueError: there is no stage of this name.
    """
    folder = COMPONENTS / stage
    if not (folder / "__init__.py").is_file():
        raise ValueError(f"there is no stage {stage!r}: {folder} is not a package")
    digest = hashlib.sha256()
    for path in (
        folder,
        COMPONENTS / "core",
        ROOT / "requirements" / "constraints.txt",
    ):
        digest.update(_content_hash(path))
    return digest.hexdigest()[:TAG_HEX]


@cache
def _content_hash(path: Path) -> bytes:
    """sha256 over names and contents below `path`; caches, and documentation, which no process reads, are left out."""
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        if "__pycache__" in file.parts or file.suffix in {".pyc", ".md"}:
            continue
        content = file.read_bytes()
        digest.update(f"{file.relative_to(path.parent).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.digest()


@cache
def _digests() -> dict[str, str]:
    """`images/digests.yaml`: stage -> ``registry/name@sha256:...``; empty for a tree without released images."""
    path = ROOT / "images" / "digests.yaml"
    if not path.is_file():
        return {}
    import yaml

    return dict(yaml.safe_load(path.read_text()) or {})

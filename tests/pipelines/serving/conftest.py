"""A registry with two promoted versions of a tiny model, and pictures to ask about."""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from components.core.data.checkpoint import commit_checkpoint
from components.core.registry import DomainRegistry
from tests.components.conftest import write_tiny_checkpoint


class Promoted(NamedTuple):
    """A registry whose domain `lamps` has the versions 1 and 2; 2 is current."""

    root: Path
    registry: DomainRegistry

    def checkpoint(self, number: int) -> Path:
        return self.root / "lamps" / str(number) / "checkpoint"


def promote(registry: DomainRegistry, checkpoint: Path, name: str) -> None:
    """Publish a checkpoint's files as a version, and make it current."""
    files = {f"checkpoint/{p.relative_to(checkpoint)}": p for p in checkpoint.rglob("*") if p.is_file()}
    judged = {"passed": True, "judged_at": registry.pointer().sequence, "checkpoint_digest": name}
    _, reason = registry.point_to(registry.publish(name, files, judged))
    assert not reason


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory) -> list[Path]:
    """Two sealed tiny models of different weights."""
    made = [write_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / str(seed), seed) for seed in (1, 2)]
    for path in made:
        commit_checkpoint(path)
    return made


@pytest.fixture
def promoted(tmp_path, checkpoints) -> Promoted:
    registry = DomainRegistry(str(tmp_path / "registry"), "lamps")
    for number, checkpoint in enumerate(checkpoints, start=1):
        promote(registry, checkpoint, f"run {number}")
    return Promoted(tmp_path / "registry", registry)


@pytest.fixture(scope="session")
def png() -> bytes:
    buffer = io.BytesIO()
    Image.radial_gradient("L").resize((96, 64)).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()

"""Tiny checkpoints by family, and the matrix's outcomes, which `make models` writes into the docs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.families import matrix
from tests.families.tiny import TINY, write_tiny

OUTCOMES: dict[tuple[str, str], str] = {}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that gives the directory of a family's tiny checkpoint, made once; read-only."""
    made: dict[str, Path] = {}

    def give(model_type: str) -> Path:
        if model_type not in made:
            made[model_type] = write_tiny(model_type, tmp_path_factory.mktemp(model_type))
        return made[model_type]

    return give


@pytest.fixture
def outcomes() -> dict[tuple[str, str], str]:
    """What the cells of this run came to."""
    return OUTCOMES


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the matrix if it was asked for, and if every cell was run and none failed."""
    if not os.environ.get("VLM_WRITE_MODELS") or exitstatus:
        return
    if {model_type for model_type, _ in OUTCOMES} == set(TINY):
        matrix.write(OUTCOMES)

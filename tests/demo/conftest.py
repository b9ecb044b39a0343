"""The miniature world, built once."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.base import settings as base_settings
from demo.build import build_world
from demo.world_settings import MINI


@pytest.fixture(scope="session")
def mini_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world") / "world"
    assert build_world(out, MINI, base_settings.MINI)
    return out

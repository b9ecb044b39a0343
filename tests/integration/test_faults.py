"""Stages that ask a model finish and lose nothing when every fifth request goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from components.core.stage.runner import WORK_ROOT_ENV
from tests.faults.accounts import ASKING, run_under_faults
from tests.faults.endpoint import Faults, FaultyEndpoint
from tests.faults.world import STAGES, DataHalf, build_pictures, serve_teachers

RATE = 0.2


@pytest.fixture(scope="module")
def calm(tmp_path_factory) -> Iterator[tuple[Path, FaultyEndpoint, DataHalf]]:
    """All data stages, run while nothing goes wrong; then the faults begin."""
    folder = tmp_path_factory.mktemp("calm")
    endpoint = serve_teachers(build_pictures(folder / "pictures", 24))
    half = DataHalf.over(folder / "pictures", endpoint.url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(WORK_ROOT_ENV, str(folder / "work"))
        for stage in STAGES:
            half.call(stage, folder, folder, folder / "work")
        other = next((folder / "pictures").iterdir()).read_bytes()
        endpoint.faults = Faults(RATE, seed=1, hang_s=4.5, other_image=other)
        yield folder, endpoint, DataHalf.over(folder / "pictures", endpoint.url, timeout_s=3, max_retries=8)
    endpoint.stop()


@pytest.mark.parametrize("stage", ASKING)
def test_a_stage_finishes_and_loses_nothing(calm, stage, tmp_path):
    folder, endpoint, half = calm
    ran = run_under_faults(half, endpoint, stage, folder, tmp_path / "out", tmp_path / "work")
    assert sum(ran.injected.values()) >= 2  # a fifth of all, but of so few requests that it may be less
    assert [account for account in ran.accounts if not account.balanced] == []
    assert ran.changed == []

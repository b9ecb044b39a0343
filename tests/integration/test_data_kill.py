"""Each data stage, killed at a random moment and run again: the same bytes, and nothing paid for twice.

`python -m benchmarks.data.kills` does the same with five kills a stage and more pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.endpoint import FaultyEndpoint
from tests.faults.kills import kill_and_resume
from tests.faults.world import STAGES, DataHalf, build_pictures, serve_teachers

pytestmark = pytest.mark.integration
CONCURRENCY = 4


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[tuple[Path, FaultyEndpoint, DataHalf]]:
    folder = tmp_path_factory.mktemp("world")
    endpoint = serve_teachers(build_pictures(folder / "pictures", 12), delay_s=0.02)
    yield folder, endpoint, DataHalf.over(folder / "pictures", endpoint.url, max_concurrency=CONCURRENCY)
    endpoint.stop()


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_stage_ends_with_the_same_bytes_and_pays_once(world, stage, tmp_path):
    """The stages run in the pipeline's order, each on what the one before it wrote."""
    folder, endpoint, half = world
    outcome = kill_and_resume(half, endpoint, stage, folder, tmp_path, kills=1, seed=3)
    assert outcome.identical
    assert outcome.paid_twice == 0
    voters = 3 if stage == "voting_filter" else 1
    embedder = 1 if stage in ("label_tree", "topic_matching") else 0
    assert outcome.most_unjournalled_at_one_kill <= CONCURRENCY * (voters + embedder)

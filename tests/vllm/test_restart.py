"""A real server that is killed in the middle of a stage and comes back: nothing is lost, nothing rejected."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from benchmarks.vllm_server import Server
from components.core.data.dataset import Dataset
from tests.vllm.conftest import KEY, endpoint_of


@pytest.fixture
def own_server(checkpoint: Path, tmp_path: Path):
    """A server that the test may kill."""
    started = Server(checkpoint, tmp_path / "log", KEY)
    try:
        started.start()
        yield started
    finally:
        started.kill()


def journalled(work: Path) -> int:
    """Bytes of replies that the stage has kept."""
    return sum(path.stat().st_size for path in work.rglob("*") if path.is_file())


def test_a_server_killed_in_the_middle_of_a_stage(own_server, key, run_stage, write_benchmark, tmp_path):
    """The stage waits, asks on when the server is back, and ends with an answer to every question."""
    items = 60
    endpoint = endpoint_of(own_server, max_concurrency=1, max_retries=30)
    settings = {"engine": "endpoint", "endpoint": endpoint, "samples_per_item": 0, "pass_k": []}
    killed = threading.Event()

    def lose_it() -> None:
        before = journalled(tmp_path / "work")
        while journalled(tmp_path / "work") < before + 2000:
            time.sleep(0.05)
        own_server.kill()
        killed.set()
        own_server.begin()

    threading.Thread(target=lose_it, daemon=True).start()
    code, out = run_stage([write_benchmark("domain", items)], {**settings, "max_new_tokens": 8})
    assert killed.is_set()
    assert code == 0
    rows = Dataset.open(out / "predictions", "predictions").to_table().to_pylist()
    assert len(rows) == items

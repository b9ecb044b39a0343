"""A real server that is killed in the middle of a stage and comes back: no answer is lost or another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.vllm_server import Server
from components.core.data.dataset import Dataset
from tests.vllm.conftest import KEY, endpoint_of, whole

ITEMS = 60
ASKED = {"samples_per_item": 0, "pass_k": [], "max_new_tokens": 8, "dtype": "float32"}
KEPT = 2000
"""Bytes of answers that the stage has kept when the server is killed; there are several times more in all."""


@pytest.fixture(scope="module")
def own_server(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that the tests may kill."""
    started = Server(checkpoint, tmp_path_factory.mktemp("own") / "log", KEY)
    try:
        started.start()
        yield started
    finally:
        started.kill()


def kept(work: Path) -> int:
    """Bytes of answers that the stage has kept."""
    return sum(path.stat().st_size for path in work.rglob("*") if path.is_file())


def lost(server: Server, work: Path, then: Callable[[], None] = lambda: None) -> threading.Event:
    """Kill the server when some of the stage's answers are there; the event says that it was done."""
    killed = threading.Event()

    def watch() -> None:
        while kept(work) < KEPT:
            time.sleep(0.02)
        server.kill()
        killed.set()
        then()

    threading.Thread(target=watch, daemon=True).start()
    return killed


def settings(server: Server, retries: int) -> dict:
    """One question at a time, so that the server is lost between two of them."""
    endpoint = endpoint_of(server, max_concurrency=1, max_retries=retries)
    return {**ASKED, "engine": "endpoint", "endpoint": endpoint}


def texts(out: Path) -> dict[str, str]:
    rows = Dataset.open(out / "predictions", "predictions").to_table().to_pylist()
    return {row["item_id"]: whole(row["response"]) for row in rows}


@pytest.fixture
def asked(run_stage, write_benchmark, tmp_path):
    """The benchmark, and what transformers answers to it."""
    benchmark = [write_benchmark("domain", ITEMS)]
    code, out = run_stage(benchmark, {**ASKED, "engine": "transformers"}, "transformers")
    assert code == 0
    return benchmark, texts(out)


def test_a_stage_waits_for_a_server_that_comes_back(own_server, key, run_stage, asked, tmp_path, monkeypatch):
    monkeypatch.setenv("VLM_WORK_ROOT", str(tmp_path / "waits"))
    benchmark, expected = asked
    killed = lost(own_server, tmp_path / "waits", own_server.begin)
    code, out = run_stage(benchmark, settings(own_server, retries=60))
    assert killed.is_set()
    assert code == 0
    assert texts(out) == expected


def test_the_same_command_goes_on_after_a_server_that_stayed_away(
    own_server, key, run_stage, asked, tmp_path, monkeypatch
):
    monkeypatch.setenv("VLM_WORK_ROOT", str(tmp_path / "goes_on"))
    benchmark, expected = asked
    if own_server.process is None:
        own_server.start()
    killed = lost(own_server, tmp_path / "goes_on")
    code, _ = run_stage(benchmark, settings(own_server, retries=0))
    assert killed.is_set()
    assert code == 1  # may be retried
    before = kept(tmp_path / "goes_on")
    assert before >= KEPT
    own_server.start()
    code, out = run_stage(benchmark, settings(own_server, retries=0))
    assert code == 0
    assert texts(out) == expected

from __future__ import annotations

import logging
import subprocess
import sys
import time

import pytest

from components.core.stage.settings import Settings
from components.core.training.launch import _wait, exit_code, gpus, processes_wanted, rank, world_size


class Several(Settings):
    """Settings of a stage that can be several processes."""

    processes: int = 0


class Alone(Settings):
    """Settings of one that cannot."""


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([0, 0], 0),
        ([1, -9], 1),
        ([0, 1], 1),
        ([-15, 65], 65),  # bad data on any rank is permanent
        ([1, 78], 78),
        ([-9, 0], 137),
    ],
)
def test_the_stage_ends_with_the_code_that_says_most(codes, expected):
    assert exit_code(codes) == expected


def test_gpus_are_counted_without_torch():
    assert gpus({"CUDA_VISIBLE_DEVICES": "0,2"}) == 2
    assert gpus({"CUDA_VISIBLE_DEVICES": ""}) == gpus({"CUDA_VISIBLE_DEVICES": "-1"}) == 0


def test_a_rank_starts_no_further_processes(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    assert processes_wanted(Several()) == 3 and processes_wanted(Several(processes=2)) == 2
    assert processes_wanted(Alone()) == 1 and (rank(), world_size()) == (0, 1)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert processes_wanted(Several()) == 1 and (rank(), world_size()) == (1, 3)
    monkeypatch.delenv("RANK")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert processes_wanted(Several()) == 1


def test_one_that_fails_stops_the_others():
    """The second would wait for a minute; it gets a share of the grace period, and is then killed."""
    programs = ["raise SystemExit(65)", "import time; time.sleep(60)"]
    ranks = [subprocess.Popen([sys.executable, "-c", program]) for program in programs]
    started = time.monotonic()
    assert _wait(ranks, logging.getLogger("test")) == 65
    assert time.monotonic() - started < 20 and all(process.poll() is not None for process in ranks)

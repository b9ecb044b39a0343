"""The stage with a served model: answers are scored, kept, and asked for once, however often it is killed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable

from components.core.data.dataset import Dataset
from components.core.data.tables import SCHEMAS
from tests.processes.warm import Process, Warm, cold

ITEMS = 24
SAMPLES = 2


def _config(server) -> dict:
    """One request at a time, so that at most one is on the wire at a kill."""
    endpoint = {**server.endpoint("served"), "max_concurrency": 1}
    return {"engine": "endpoint", "endpoint": endpoint, "samples_per_item": SAMPLES}


def _answer(prompt: str, images: list[bytes]) -> str:
    assert len(images) == 1
    time.sleep(0.01)
    return "Answer: red"


def _start(argv: list[str], work, how: Callable[..., Process] = Warm) -> Process:
    environment = os.environ | {"VLM_WORK_ROOT": str(work), "OMP_NUM_THREADS": "1"}
    return how("components.evaluation", argv, environment)


def test_answers_of_an_endpoint_are_scored(chat_server, run_stage, write_benchmark):
    chat_server.say = _answer
    code, out = run_stage([write_benchmark("domain", ITEMS)], _config(chat_server))
    assert code == 0
    rows = Dataset.open(out / "predictions", "predictions").to_table().to_pylist()
    assert set(rows[0]) == set(SCHEMAS["predictions"].names)
    assert len(rows) == ITEMS * (1 + SAMPLES)
    assert {row["response"] for row in rows} == {"Answer: red"}
    assert {row["response_tokens"] for row in rows} == {3}  # as the server counts them
    scores = json.loads((out / "scores").read_text())
    assert scores["settings"]["engine"]["model"] == "served"


def test_killed_and_run_again_it_asks_nothing_twice(chat_server, stage_argv, write_benchmark, tmp_path):
    chat_server.say = _answer
    benchmarks, config = [write_benchmark("domain", ITEMS)], _config(chat_server)
    straight, whole = stage_argv(benchmarks, config, "straight")
    process = _start(straight, tmp_path / "work-a", cold)
    assert process.wait(120) == 0, process.stderr.read()
    asked_once = len(chat_server.prompts)
    assert asked_once == ITEMS * (1 + SAMPLES)

    chat_server.prompts.clear()
    command, resumed = stage_argv(benchmarks, config, "resumed")
    kills = 0
    for at in (5, 30, 60):
        process = _start(command, tmp_path / "work-b")
        while len(chat_server.prompts) < at and process.poll() is None:
            time.sleep(0.005)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        assert not (resumed / "scores").exists()
    assert kills == 3
    process = _start(command, tmp_path / "work-b")
    assert process.wait(120) == 0, process.stderr.read()
    assert asked_once <= len(chat_server.prompts) <= asked_once + kills  # one on the wire at each kill
    for name in ("predictions/part-00000.parquet", "scores"):
        assert (whole / name).read_bytes() == (resumed / name).read_bytes()

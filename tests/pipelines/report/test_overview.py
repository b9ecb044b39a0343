"""The head of a run's page: title, verdict with its reasons, hardware, cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.stages import EVALUATED, TASKS, title_of
from pipelines.local.record import RECORD
from pipelines.report.overview import overview

VERDICT = {
    "passed": False,
    "domain": "instrument_cluster",
    "registry": {"version": 3, "current": 2},
    "criteria": [
        {"name": "domain_gain", "passed": True, "rule": "r", "measured": 9.0, "note": ""},
        {
            "name": "general_kept", "passed": False, "rule": "at most 3 points <below> base",
            "measured": -4.25, "low": -7.0, "high": -1.5, "n": 400, "note": "",
        },
        {"name": "hallucination", "passed": False, "rule": "r", "measured": None, "note": "no probe"},
        {"name": "length", "passed": None, "rule": "r", "measured": None, "note": "skipped"},
    ],
}  # fmt: skip
RUN = {
    "profile": "clusters",
    "started": "2026-03-01T10:00:00+00:00",
    "ended": "2026-03-01T12:30:00+00:00",
    "machine": {"processor": "EPYC", "cores": 8, "memory_gib": 31.9, "gpus": ["H200", "H200"]},
    "tasks": {
        "sft_1_domain": {"seconds": 3600.0, "cpu_seconds": 1800.0, "gpus": 2},
        "label_tree": {"seconds": 60.0, "cpu_seconds": 30.0, "gpus": 0},
    },
}


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / RECORD).write_text(json.dumps(RUN))
    for task, metrics in {
        "label_tree": {
            "teacher_prompt_tokens": 1000.0,
            "teacher_completion_tokens": 200.0,
            "teacher_requests": 4,
        },
        "voting_filter": {
            "voters_prompt_tokens": 500.0,
            "voters_completion_tokens": 1.0,
            "voters_requests": 6,
        },
        "hybrid_rl": {"response_tokens_last": 16.0},
    }.items():
        folder = tmp_path / "outputs" / task
        folder.mkdir(parents=True)
        (folder / "metrics").write_text(json.dumps(metrics))
    return tmp_path


def test_the_title_says_what_was_run_and_when(root):
    assert overview(root, VERDICT).title == (
        "Post-training for instrument cluster, profile clusters, 1 March 2026"
    )


def test_the_verdict_comes_first_with_the_reason_of_every_criterion_that_failed(root):
    text = overview(root, VERDICT).fragment()
    reason = "general kept: at most 3 points &lt;below&gt; base; measured -4.2 [-7.0, -1.5] on 400 questions"
    assert text.index("Did not pass the gate") < text.index(reason) < text.index("Hardware")
    assert "hallucination: r; no probe" in text
    assert "Met: domain gain." in text
    assert "Registered as version 3; version 2 is current." in text
    assert "length" not in text


def test_cost_is_the_time_of_every_task_and_the_tokens_of_every_model(root):
    """3660 s are 61 minutes; 1830 s of processor 30.5; one hour of two GPUs is 2 GPU-hours."""
    text = overview(root, VERDICT).fragment()
    assert "61.0 minutes of tasks, 30.5 CPU-minutes, 2.00 GPU-hours" in text
    assert "1,500 tokens sent, 201 answered, in 10 requests" in text
    assert "8 cores of EPYC, 32 GiB memory, 2 × H200" in text
    assert "2026-03-01 10:00 to 2026-03-01 12:30 UTC" in text


@pytest.mark.parametrize("damaged", ["", "{", "[]", '"text"'])
def test_without_a_record_the_head_says_what_the_stages_know(root, damaged):
    (root / RECORD).write_text(damaged)
    text = overview(root, None).fragment()
    assert f"3 of {len(TASKS)} tasks have ended" in text
    assert "Hardware" not in text


def test_every_task_and_model_has_a_title_for_people():
    for name in (*TASKS, *EVALUATED):
        assert title_of(name) != name and "_" not in title_of(name)
    assert title_of("evaluation_hybrid_rl") == "Reinforcement learning, measured"

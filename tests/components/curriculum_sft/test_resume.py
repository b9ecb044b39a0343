"""Training that is killed or stopped ends with the weights of a run that was not."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from components.core.objects import open_store
from components.core.resume.work_root import WORK_LOCAL_ENV, WORK_SYNC_ENV
from tests.faults.checkpoints import sealed_checkpoints
from tests.faults.stores import newest_snapshot
from tests.processes.warm import OtherWarm, Process, Warm, children, cold, has_ended

# Muon and AdamW together; 24 samples in batches of 8: three steps an epoch, so that a checkpoint at step 4
# lies inside the second epoch.
CONFIG = {
    "batch_samples": 8,
    "optimizer": "muon",
    "learning_rate": 3e-3,
    "max_steps": 20,
    "save_steps": 4,
    "log_steps": 2,
}

# The same samples in packs of 256 tokens.
PACKED = {**CONFIG, "batch_samples": 3, "max_length_tokens": 256, "pack_tokens": 256}

# A background of the base model's own answers; it is untrained and ends one in two within this length.
BACKGROUND = {
    **CONFIG,
    "domain_share": 0.7,
    "general_answers": "own",
    "distillation": {"max_new_tokens": 256},
}


def _start(argv: list[str], work: Path | str, how: Callable[..., Process] = Warm) -> Process:
    environment = os.environ | {"VLM_WORK_ROOT": str(work), "OMP_NUM_THREADS": "1"}
    return how("components.curriculum_sft", argv, environment)


def _wait_for_checkpoint(process: Process, work: Path) -> None:
    deadline = time.monotonic() + 180
    while not sealed_checkpoints(work):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _whole_run(argv, world, out: Path, config: dict, how: Callable[..., Process] = OtherWarm) -> Path:
    process = _start(argv(world, out, config), out / "work", how)
    assert process.wait(300) == 0, process.stderr.read()
    return out


@pytest.fixture(scope="module")
def uninterrupted(sft_world, argv, tmp_path_factory):
    return _whole_run(argv, sft_world, tmp_path_factory.mktemp("whole"), CONFIG, cold)


@pytest.fixture(scope="module")
def uninterrupted_packed(sft_world, argv, tmp_path_factory):
    return _whole_run(argv, sft_world, tmp_path_factory.mktemp("packed"), PACKED)


@pytest.fixture(scope="module")
def uninterrupted_background(sft_world, argv, tmp_path_factory):
    out = _whole_run(argv, sft_world, tmp_path_factory.mktemp("background"), BACKGROUND)
    assert json.loads((out / "metrics.json").read_text())["background_samples"] > 0
    return out


@pytest.mark.parametrize(
    ("number", "config", "reference"),
    [
        (signal.SIGKILL, CONFIG, "uninterrupted"),
        (signal.SIGTERM, CONFIG, "uninterrupted"),
        (signal.SIGKILL, PACKED, "uninterrupted_packed"),
        (signal.SIGKILL, BACKGROUND, "uninterrupted_background"),
    ],
    ids=["killed", "stopped", "killed, packed", "killed, with a background"],
)
def test_resumed_weights_equal_uninterrupted_ones(
    sft_world, argv, request, tmp_path, number, config, reference
):
    uninterrupted = request.getfixturevalue(reference)
    command = argv(sft_world, tmp_path, config)
    process = _start(command, tmp_path / "work")
    _wait_for_checkpoint(process, tmp_path / "work")
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 1), errors
    if number == signal.SIGTERM:
        assert "stopped by SIGTERM after step" in errors
    assert not (tmp_path / "checkpoint" / "_MANIFEST.json").exists()

    process = _start(command, tmp_path / "work")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "continuing" in errors
    whole, resumed = (
        load_file(path / "checkpoint" / "model.safetensors") for path in (uninterrupted, tmp_path)
    )
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    metrics = [json.loads((path / "metrics.json").read_text()) for path in (uninterrupted, tmp_path)]
    assert metrics[0]["loss_first"] == metrics[1]["loss_first"]
    assert metrics[0]["loss_final"] == pytest.approx(metrics[1]["loss_final"], rel=1e-6)


def test_of_two_at_once_the_second_takes_the_first_one_s_weights(sft_world, argv, uninterrupted, tmp_path):
    """They share a work directory, as a run by hand and a scheduled one do; the second trains no step."""
    outs = [tmp_path / "first", tmp_path / "second"]
    first = _start(argv(sft_world, outs[0], CONFIG), tmp_path / "work")
    _wait_for_checkpoint(first, tmp_path / "work")
    second = _start(argv(sft_world, outs[1], CONFIG), tmp_path / "work")
    errors = [process.communicate(timeout=300)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), errors
    assert "waiting for another process that does the same work" in errors[1]
    assert re.search(r"continuing \(step=20 of=20\)", errors[1])
    whole, *both = (load_file(path / "checkpoint" / "model.safetensors") for path in (uninterrupted, *outs))
    assert all(torch.equal(whole[name], weights[name]) for name in whole for weights in both)
    assert not sealed_checkpoints(tmp_path / "work")


@pytest.mark.parametrize("processes", [1, 2])
def test_killed_at_random_five_times_it_ends_with_the_same_weights(sft_world, argv, tmp_path, processes):
    """SIGKILL and SIGTERM in turn, at random moments; with two processes Muon's states are spread over them.

    A SIGKILL goes to the command alone: its ranks have to end with it, or the next attempt would meet them.
    Lost are the steps since the last checkpoint, and none after a SIGTERM.
    """
    config = {
        **CONFIG,
        "max_steps": 60,
        "save_steps": 2,
        "batch_samples": 8 // processes,
        "processes": processes,
    }
    whole = _whole_run(argv, sft_world, tmp_path / "whole", config)
    out, work = tmp_path / "killed", tmp_path / "killed" / "work"
    rng, lost = random.Random(processes), []
    for number in [signal.SIGKILL, signal.SIGTERM] * 2 + [signal.SIGKILL]:
        before = _steps(work)
        process = _start(argv(sft_world, out, config), work)
        while _steps(work) <= before:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.3))
        ranks = children(process.pid)
        assert processes == 1 or len(ranks) == processes
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
        assert process.returncode != 0, "it was quicker than the signal"
        if number == signal.SIGTERM:
            stopped_after = int(re.search(r"stopped by SIGTERM after step (\d+)", errors)[1])
            lost.append(stopped_after - _steps(work))
        _wait_for_the_end_of(ranks)
    process = _start(argv(sft_world, out, config), work)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    expected, got = (load_file(path / "checkpoint" / "model.safetensors") for path in (whole, out))
    assert all(torch.equal(expected[name], value) for name, value in got.items())
    assert lost == [0, 0]


def _steps(work: Path) -> int:
    """Step of the newest sealed checkpoint; 0 without one."""
    return max((int(path.name[11:]) for path in sealed_checkpoints(work)), default=0)


def _wait_for_the_end_of(ranks: set[int]) -> None:
    deadline = time.monotonic() + 10
    while not all(map(has_ended, ranks)):
        assert time.monotonic() < deadline, "a rank outlives its command"
        time.sleep(0.05)


def test_training_goes_on_on_another_machine(
    sft_world, argv, uninterrupted, tmp_path, s3_bucket, monkeypatch
):
    """Killed; then an empty disk and the same work directory in object storage."""
    monkeypatch.setenv(WORK_SYNC_ENV, "0.2")
    command = argv(sft_world, tmp_path, CONFIG)
    monkeypatch.setenv(WORK_LOCAL_ENV, str(tmp_path / "a"))
    process = _start(command, f"{s3_bucket}/work")
    store, _ = open_store(s3_bucket)
    deadline = time.monotonic() + 180
    while not any(name.startswith("checkpoints/") for name in newest_snapshot(store, "work/")[1]):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.kill()
    process.communicate()

    monkeypatch.setenv(WORK_LOCAL_ENV, str(tmp_path / "b"))
    process = _start(command, f"{s3_bucket}/work")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "restored the work directory" in errors
    assert "continuing" in errors
    whole, resumed = (
        load_file(path / "checkpoint" / "model.safetensors") for path in (uninterrupted, tmp_path)
    )
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert not any("checkpoint-" in path.name for path in (tmp_path / "b").rglob("*"))


def test_a_finished_run_is_not_trained_again(sft_world, argv, uninterrupted, tmp_path, monkeypatch):
    """Killed between the last step and the written output: the sealed last checkpoint becomes the output."""
    from components.core.stage.runner import stage_main
    from components.core.training import result
    from components.curriculum_sft.component import IO
    from components.curriculum_sft.config import Config
    from components.curriculum_sft.stage import run

    monkeypatch.setenv("VLM_WORK_ROOT", str(tmp_path / "work"))
    monkeypatch.setenv(
        "OMP_NUM_THREADS", "1"
    )  # as in the other run: the number of threads decides the last bits
    command = argv(sft_world, tmp_path, CONFIG)
    with monkeypatch.context() as patch:
        patch.setattr(result, "write_result", _fail)
        assert stage_main("curriculum_sft", Config, IO, run, command) == 1
    assert stage_main("curriculum_sft", Config, IO, run, command) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["steps"] == CONFIG["max_steps"]
    assert metrics["tokens_per_s"] == 0
    whole, reloaded = (
        load_file(path / "checkpoint" / "model.safetensors") for path in (uninterrupted, tmp_path)
    )
    assert all(torch.equal(whole[name], reloaded[name]) for name in whole)


def _fail(*_: object) -> None:
    raise OSError("disk gone")

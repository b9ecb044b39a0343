"""The stage with a teacher: outputs, kills, processes, and teachers that it refuses."""

from __future__ import annotations

import json
import random
import signal
import time

import pytest
import torch
from safetensors.torch import load_file

from components.core.data.pins import pin
from tests.components.hybrid_rl.teacher.test_trainer import changed, swap_tokens
from tests.components.hybrid_rl.test_stage import start, weights
from tests.faults.checkpoints import sealed_checkpoints
from tests.processes.warm import OtherWarm


def of(teacher, **more) -> dict:
    return {"objective": "distill", "teacher": {"checkpoint": str(teacher)}, **more}


def test_metrics_and_report_show_the_divergence(world, other_checkpoint):
    assert world.run("out", **of(other_checkpoint)) == 0
    metrics = json.loads((world.root / "out" / "metrics.json").read_text())
    assert metrics["teacher_kl_first"] > 0 and metrics["teacher_unscored"] == 0
    assert "Reverse KL divergence to the teacher" in (world.root / "out" / "report.html").read_text()
    before, after = load_file(world.root / "init" / "model.safetensors"), weights(world, "out")
    assert any(not torch.equal(before[name], after[name]) for name in after)


def test_the_pinned_teacher_wins_over_the_settings(world, other_checkpoint, monkeypatch):
    argv = world.argv

    def pinned(out: str, **config):
        return [*argv(out, **config), "--teacher", pin(str(other_checkpoint))]

    monkeypatch.setattr(world, "argv", pinned)
    assert world.run("out", **of("/nowhere")) == 0


def test_another_vocabulary_ends_with_78(world, tiny_checkpoint, tmp_path):
    teacher = changed(tiny_checkpoint, tmp_path / "teacher", "tokenizer.json", swap_tokens)
    assert world.run("out", **of(teacher)) == 78


def killed(world, tmp_path, kills: int, **config) -> None:
    """Run the stage with kills at random moments after a checkpoint, to its end."""
    rng = random.Random(0)
    for number in range(kills):
        committed = sealed_checkpoints(world.root / "work")
        process = start(world, "killed", tmp_path, **config)
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if sealed_checkpoints(world.root / "work") - committed:
                time.sleep(rng.uniform(0, 0.2))
                process.send_signal(signal.SIGKILL if number % 2 == 0 else signal.SIGTERM)
                break
            time.sleep(0.005)
        assert process.wait(120) != 0, "it was quicker than the signal"
    assert start(world, "killed", tmp_path, **config).wait(240) == 0


@pytest.mark.parametrize(
    ("processes", "objective"), [(1, "distill"), (2, "both")], ids=["one process", "two, with rewards"]
)
def test_killed_three_times_it_ends_with_the_same_weights(
    world, tmp_path, other_checkpoint, processes, objective
):
    config = {**of(other_checkpoint), "objective": objective, "processes": processes}
    config |= {"max_steps": 24, "save_steps": 2, "keep_checkpoints": 3}
    assert start(world, "whole", tmp_path, OtherWarm, **config).wait(240) == 0
    (world.root / "work").rename(world.root / "work_whole")
    killed(world, tmp_path, 3, **config)
    expected, got = weights(world, "whole"), weights(world, "killed")
    assert all(torch.equal(got[name], value) for name, value in expected.items())


def test_a_served_teacher_is_not_asked_again_after_kills(world, tmp_path, vllm):
    server = {"base_url": vllm.url, "model": "teacher"}
    config = {"objective": "distill", "teacher": {"server": server}}
    config |= {"max_steps": 16, "save_steps": 2, "keep_checkpoints": 3}
    assert start(world, "whole", tmp_path, OtherWarm, **config).wait(240) == 0
    asked = list(vllm.asked)
    vllm.asked.clear()
    (world.root / "work").rename(world.root / "work_whole")
    killed(world, tmp_path, 3, **config)
    expected, got = weights(world, "whole"), weights(world, "killed")
    assert all(torch.equal(got[name], value) for name, value in expected.items())
    # Replies on the wire at a kill are asked for again: at most those under way, 16 a kill.
    assert set(vllm.asked) == set(asked) and len(vllm.asked) - len(asked) <= 3 * 16


def test_two_processes_make_the_update_of_one(world, tmp_path, other_checkpoint):
    config = {**of(other_checkpoint), "prompts_per_step": 1, "max_grad_norm": 1e9}
    assert start(world, "one", tmp_path, **config, processes=1).wait(240) == 0
    assert start(world, "two", tmp_path, **config, processes=2).wait(240) == 0
    one, two = weights(world, "one"), weights(world, "two")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-5, msg=name)

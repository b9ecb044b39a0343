from __future__ import annotations

import json
import os
import random
import signal
import time
import zlib
from collections.abc import Callable

import pytest
import torch
from safetensors.torch import load_file

from components.core.data.checkpoint import open_checkpoint
from components.core.data.dataset import Dataset
from tests.faults.checkpoints import sealed_checkpoints
from tests.processes.warm import OtherWarm, Process, Warm, cold


def weights(world, out: str) -> dict[str, torch.Tensor]:
    return load_file(world.root / out / "checkpoint" / "model.safetensors")


def test_stage_writes_checkpoint_rollouts_metrics_and_report(world):
    assert world.run("out") == 0
    out = world.root / "out"
    trained = open_checkpoint(out / "checkpoint")
    assert trained.extra["trained_from"] == open_checkpoint(world.root / "init").digest
    rows = list(Dataset.open(out / "rollouts", "predictions").rows_iter())
    assert {row["model"] for row in rows} == {"step-0", "step-1", "step-2"} and len(rows) == 24
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["candidates"] == 4 and metrics["prompts"] >= 2 and metrics["unscored_rollouts"] == 0
    page = (out / "report.html").read_text()
    assert "Mean raw reward by component" in page and page.count("data:image/png") > 6
    from components.core.vlm import generate, load_model, load_processor

    picture = next(Dataset.open(world.root / "images", "images").rows_iter())["bytes"]
    path = out / "checkpoint"
    assert (
        generate(load_model(path), load_processor(path), [(picture, "How many?")], max_new_tokens=2)[0][
            0
        ].tokens
        >= 1
    )


def test_training_moves_the_weights_with_a_users_reward(world, my_rewards):
    extra = [{"name": "checksum", "function": f"{my_rewards}:checksum", "weight": 1.0}]
    assert world.run("out", extra_rewards=extra, max_steps=1) == 0
    before, after = load_file(world.root / "init" / "model.safetensors"), weights(world, "out")
    assert any(not torch.equal(before[name], after[name]) for name in after)


def patient(module: str) -> list[dict]:
    """A user's reward with all the time it needs: rollouts scored too late would change the update."""
    return [{"name": "checksum", "function": f"{module}:checksum", "weight": 1.0, "timeout_s": 300.0}]


KILLS = {3: 24, 5: 40}
"""Steps that are enough for so many kills."""


def start(world, out: str, tmp_path, how: Callable[..., Process] = Warm, **config) -> Process:
    """The stage as a process of its own."""
    environment = {**os.environ, "PYTHONPATH": f"{os.getcwd()}{os.pathsep}{tmp_path}", "OMP_NUM_THREADS": "1"}
    return how("components.hybrid_rl", world.argv(out, **config), environment)


@pytest.mark.parametrize(
    ("processes", "kills", "more"),
    [
        (1, 5, {}),
        (2, 5, {}),
        (1, 5, {"lora": {"rank": 4, "alpha": 8}, "kl_coefficient": 0.1}),
        (1, 3, {"switch_by": "explored", "weights": {"perception": 0.2}}),
    ],
    ids=["one process", "two", "adapters", "exploring and perceiving"],
)
def test_killed_again_and_again_it_ends_with_the_same_weights(
    world, my_rewards, tmp_path, processes, kills, more
):
    """SIGKILL and SIGTERM in turn, at a random moment after a checkpoint: the uninterrupted run's bytes."""
    config = {
        "processes": processes,
        "extra_rewards": patient(my_rewards),
        "prompts": {
            "max_candidates": 4,
            "pass_rate_samples": 2,
            "refresh_every_steps": 10,
            "hard_share": 0.5,
            "probe_share": 0.5,
        },
        **more,
    }
    plain = processes == 1 and not more
    kill(world, tmp_path, kills, config, whole=cold if plain else OtherWarm)


def kill(world, tmp_path, kills: int, config, whole: Callable[..., Process] = OtherWarm) -> None:
    """An uninterrupted run, then one that is killed on the way; both end with the same weights."""
    config = {"max_steps": KILLS[kills], "save_steps": 2, "keep_checkpoints": 3, **config}
    assert start(world, "whole", tmp_path, whole, **config).wait(240) == 0
    work = world.root / "work"
    work.rename(world.root / "work_whole")
    rng = random.Random(0)
    for number in range(kills):
        committed = sealed_checkpoints(work)
        process = start(world, "killed", tmp_path, **config)
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if sealed_checkpoints(work) - committed:
                time.sleep(rng.uniform(0, 0.2))
                process.send_signal(signal.SIGKILL if number % 2 == 0 else signal.SIGTERM)
                break
            time.sleep(0.005)
        assert process.wait(120) != 0, "it was quicker than the signal"
    assert start(world, "killed", tmp_path, **config).wait(240) == 0
    expected, got = weights(world, "whole"), weights(world, "killed")
    assert all(torch.equal(got[name], value) for name, value in expected.items())
    rollouts = [
        list(Dataset.open(world.root / out / "rollouts", "predictions").rows_iter())
        for out in ("whole", "killed")
    ]
    assert rollouts[0] == rollouts[1]


@pytest.fixture
def served_models(chat_server) -> dict:
    """Settings with a judge whose grades go by the answer's words, and an embedder that counts letters."""

    def grade(prompt: str, images: list[bytes]) -> str:
        said = prompt.partition("<answer>")[2].partition("</answer>")[0]
        grades = {
            name: zlib.crc32(f"{name}{said}".encode()) % 11 for name in ("correct", "complete", "clear")
        }
        return json.dumps(grades | {"reason": f"{len(images)} picture"})

    chat_server.say = grade
    return {
        "judge": {"endpoint": chat_server.endpoint("judge"), "answer_types": ["number"], "right_from": 0.3},
        "diversity": {"similarity": "meaning", "embedder": chat_server.endpoint("embedder")},
    }


def test_killed_with_served_models_it_ends_with_the_same_weights(world, served_models, tmp_path):
    kill(world, tmp_path, 3, {"processes": 1, **served_models})


def test_two_processes_have_one_ask_the_served_models(world, served_models, chat_server, tmp_path):
    """A group that is split over two processes: the same weights, and the same questions, each once."""
    config = {**served_models, "prompts_per_step": 1, "max_grad_norm": 1e9}
    asked = []
    for processes, out in ((1, "one"), (2, "two")):
        assert start(world, out, tmp_path, **config, processes=processes).wait(240) == 0
        asked.append(sorted(chat_server.prompts))
        chat_server.prompts.clear()
    assert asked[0] == asked[1] and len(set(asked[0])) == len(asked[0]) > 0
    for name, value in weights(world, "one").items():
        torch.testing.assert_close(weights(world, "two")[name], value, rtol=0, atol=1e-5, msg=name)


@pytest.mark.parametrize("prompts_per_step", [2, 1], ids=["groups whole", "a group split over processes"])
def test_two_processes_make_the_update_of_one(world, my_rewards, tmp_path, prompts_per_step):
    """The same rollouts, the same advantages, and weights within 1e-5 after three steps."""
    config = {
        "extra_rewards": patient(my_rewards),
        "prompts_per_step": prompts_per_step,
        "max_grad_norm": 1e9,
    }
    assert start(world, "one", tmp_path, **config, processes=1).wait(240) == 0
    assert start(world, "two", tmp_path, **config, processes=2).wait(240) == 0
    one, two = weights(world, "one"), weights(world, "two")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-5, msg=name)
    advantages = []
    for out in ("one", "two"):
        rows = Dataset.open(world.root / out / "rollouts", "predictions").rows_iter()
        advantages.append([(row["model"], row["item_id"], row["sample_no"], row["response"]) for row in rows])
    assert advantages[0] == advantages[1]


def test_finished_training_is_not_repeated(world):
    assert world.run("first") == 0
    started = time.monotonic()
    assert world.run("second") == 0
    assert weights(world, "first").keys() == weights(world, "second").keys()
    for name, value in weights(world, "first").items():
        assert torch.equal(weights(world, "second")[name], value)
    assert time.monotonic() - started < 60


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"k": 9}, 78),
        ({"group_sise": 8}, 78),
        ({"extra_rewards": [{"name": "x", "function": "nowhere:f"}]}, 78),
        ({"extra_rewards": [{"name": "x", "function": "math:atan2"}]}, 78),
        ({"prompts": {"on_too_few": "fail", "max_candidates": 1, "pass_rate_samples": 0}}, 65),
    ],
)
def test_bad_settings_and_data_end_with_their_exit_code(world, config, code):
    assert world.run("out", **config) == code

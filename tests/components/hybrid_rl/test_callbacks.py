from __future__ import annotations

import os
import signal

from transformers import TrainerControl, TrainerState

from components.hybrid_rl.callbacks import StopOnSigterm, commit, newest, restore_sampler
from components.hybrid_rl.config import Prompts
from components.hybrid_rl.sampler import PromptSampler


def sampler() -> PromptSampler:
    return PromptSampler(["a", "b", "c"], [0.1, 0.2, 0.3], Prompts(), generations=4, seed=0)


def checkpoint(root, step: int):
    path = root / f"checkpoint-{step}"
    path.mkdir()
    (path / "model.safetensors").write_bytes(b"w" * step)
    return path


def test_newest_committed_checkpoint_counts(tmp_path):
    assert newest(tmp_path) is None
    for step in (2, 10, 30):
        path = checkpoint(tmp_path, step)
        if step != 30:  # 30 was cut off before its commit
            commit(path, sampler())
    assert newest(tmp_path).name == "checkpoint-10"
    (tmp_path / "checkpoint-10" / "model.safetensors").write_bytes(b"w")  # damaged after the commit
    assert newest(tmp_path).name == "checkpoint-2"


def test_sampler_state_comes_back_from_a_checkpoint(tmp_path):
    first = sampler()
    first.draw(2)
    path = checkpoint(tmp_path, 1)
    commit(path, first)
    second = sampler()
    restore_sampler(path, second)
    assert second.pending() == first.pending() and second.draw(2) == first.draw(2)


def test_sigterm_saves_and_stops_after_the_step():
    before = signal.getsignal(signal.SIGTERM)
    control = TrainerControl()
    with StopOnSigterm() as stop:
        stop.on_step_end(None, TrainerState(), control)
        assert not control.should_training_stop
        os.kill(os.getpid(), signal.SIGTERM)
        stop.on_step_end(None, TrainerState(), control)
    assert control.should_save and control.should_training_stop
    assert signal.getsignal(signal.SIGTERM) is before

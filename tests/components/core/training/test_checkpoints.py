from __future__ import annotations

import logging

import pytest
from transformers import TrainerState, TrainingArguments

from components.core.data.checkpoint import commit_checkpoint, open_checkpoint
from components.core.training.checkpoints import CommitCheckpoints, newest_committed

LOG = logging.getLogger("test")


def checkpoint(root, step: int):
    path = root / f"checkpoint-{step}"
    path.mkdir()
    (path / "model.safetensors").write_bytes(b"w" * step)
    return path


def test_newest_committed_checkpoint_counts(tmp_path):
    assert newest_committed(tmp_path, LOG) is None
    for step in (2, 10, 30):
        path = checkpoint(tmp_path, step)
        if step != 30:  # 30 was cut off before its commit
            commit_checkpoint(path)
    assert newest_committed(tmp_path, LOG) == tmp_path / "checkpoint-10"
    (tmp_path / "checkpoint-10" / "model.safetensors").write_bytes(b"w")  # damaged after the commit
    assert newest_committed(tmp_path, LOG) == tmp_path / "checkpoint-2"


def test_torn_checkpoints_are_removed_and_ignored(tmp_path):
    for step in (2, 4, 6):
        path = tmp_path / f"checkpoint-{step}"
        path.mkdir()
        (path / "weights").write_text(str(step))
        if step != 6:
            commit_checkpoint(path)
    (tmp_path / "checkpoint-4" / "weights").write_text("damaged")
    assert newest_committed(tmp_path, LOG) == tmp_path / "checkpoint-2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2"]


@pytest.mark.parametrize(("keep", "left"), [(0, [4, 8, 12]), (2, [8, 12])])
def test_a_saved_checkpoint_is_sealed_with_what_is_added_and_old_ones_go(tmp_path, keep, left):
    commit = CommitCheckpoints(
        {"stage": "s"}, {"of": "run"}, add=lambda path: (path / "more").write_text("x"), keep=keep
    )
    for step in (4, 8, 12):
        checkpoint(tmp_path, step)
        commit.on_save(TrainingArguments(str(tmp_path), use_cpu=True), TrainerState(global_step=step), None)
    assert sorted(int(path.name[11:]) for path in tmp_path.iterdir()) == left
    sealed = open_checkpoint(tmp_path / "checkpoint-12")
    assert sealed.extra == {"of": "run", "step": 12} and (sealed.path / "more").read_text() == "x"

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from components.core.data.checkpoint import open_checkpoint
from components.core.data.dataset import Dataset
from components.core.stage.runner import stage_main
from components.core.vlm import generate, load_model, load_processor
from components.curriculum_sft.component import IO
from components.curriculum_sft.config import Config
from components.curriculum_sft.stage import run

FAST = {"batch_samples": 8, "learning_rate": 3e-3, "log_steps": 1, "max_steps": 6}


@pytest.fixture(autouse=True)
def _work_root(tmp_path, monkeypatch):
    monkeypatch.setenv("VLM_WORK_ROOT", str(tmp_path / "work"))


def _run(argv: list[str]) -> int:
    return stage_main("curriculum_sft", Config, IO, run, argv)


def test_sft_learns_and_writes_a_committed_checkpoint(sft_world, argv, tmp_path):
    config = FAST | {"max_steps": 16, "learning_rate": 1e-2, "report_samples": 2}
    assert _run(argv(sft_world, tmp_path, config)) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["loss_final"] < 0.75 * metrics["loss_first"]
    assert metrics["token_accuracy"] > 0.4
    assert metrics["steps"] == 16
    assert metrics["samples"] == 24
    assert metrics["answers"] == 72
    sealed = open_checkpoint(tmp_path / "checkpoint")
    assert sealed.extra["objective"] == "sft"
    model, processor = load_model(sealed.path), load_processor(sealed.path)
    image = next(Dataset.open(sft_world["images"], "images").rows_iter())
    assert generate(model, processor, [(image["bytes"], "What colour is the picture?")], max_new_tokens=8)[0][
        0
    ].tokens
    assert Dataset.open(tmp_path / "rejected", "rejected").rows == 0
    page = (tmp_path / "report.html").read_text()
    # Two curves and the sources' losses, two samples and the same two with their answers before and after.
    assert page.count("<svg") + page.count("data:image/png;base64") == 7
    assert page.count("trained on: ") == 2
    assert not any((tmp_path / "work").rglob("checkpoint-*"))


def test_restoration_mixes_general_data(sft_world, argv, tmp_path):
    assert _run(argv(sft_world, tmp_path, FAST | {"domain_share": 0.5, "questions_per_sample": 3})) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["samples"] == 12 + 4  # 12 general answers, 4 domain samples of 3 answers
    assert metrics["domain_answer_share"] == 0.5


def test_dpo_raises_the_margin(sft_world, argv, tmp_path):
    config = FAST | {
        "objective": "dpo",
        "max_steps": 12,
        "preferences": {"max_pairs": 60, "own_samples": 2, "own_questions": 9, "own_max_tokens": 8},
    }
    assert _run(argv(sft_world, tmp_path, config, init_checkpoint=sft_world["base"])) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["samples"] == 60
    assert metrics["pairs_ranked_right"] > 0.7
    assert open_checkpoint(tmp_path / "checkpoint").extra["objective"] == "dpo"


def test_frozen_parts_keep_their_weights(sft_world, argv, tmp_path):
    config = FAST | {"max_steps": 2, "freeze": {"vision": True, "projector": True}}
    assert _run(argv(sft_world, tmp_path, config)) == 0
    before, after = (
        load_file(path / "model.safetensors") for path in (sft_world["base"], tmp_path / "checkpoint")
    )
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert not any("visual" in name for name in changed)


def test_adapters_are_merged(sft_world, argv, tmp_path):
    pytest.importorskip("peft")
    config = FAST | {"max_steps": 2, "lora": {"rank": 4, "alpha": 8}}
    assert _run(argv(sft_world, tmp_path, config)) == 0
    before, after = (
        load_file(path / "model.safetensors") for path in (sft_world["base"], tmp_path / "checkpoint")
    )
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("proj" in name and "visual" not in name for name in changed)


@pytest.mark.parametrize(
    ("extra", "at_most"),
    [({}, 0.75), ({"lora": {"rank": 4, "alpha": 8}, "learning_rate": 3e-2}, 0.95)],
    ids=["full", "adapters"],
)
def test_packed_samples_are_learned_too(sft_world, argv, tmp_path, extra, at_most):
    packs = {"pack_tokens": 512, "max_length_tokens": 512, "batch_samples": 2}
    assert (
        _run(argv(sft_world, tmp_path, FAST | packs | {"max_steps": 30, "learning_rate": 1e-2} | extra)) == 0
    )
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["loss_final"] < at_most * metrics["loss_first"]


def test_too_long_samples_are_quarantined(sft_world, argv, tmp_path):
    assert _run(argv(sft_world, tmp_path, FAST | {"max_length_tokens": 16})) == 65
    rows = list(Dataset.open(tmp_path / "rejected", "rejected").rows_iter())
    assert {row["reason"] for row in rows} == {"too_long"}
    assert len(rows) == 24


def test_a_loss_that_is_not_finite_names_its_samples(sft_world, argv, tmp_path, capsys):
    assert _run(argv(sft_world, tmp_path, FAST | {"learning_rate": 1e30, "max_grad_norm": 1e30})) == 65
    error = capsys.readouterr().err
    assert "the loss is" in error
    assert "-0'" in error  # sample ids


def test_unknown_setting_names_the_nearest(sft_world, argv, tmp_path, capsys):
    assert _run(argv(sft_world, tmp_path, {"learning_rat": 1})) == 78
    assert "did you mean 'learning_rate'?" in capsys.readouterr().err

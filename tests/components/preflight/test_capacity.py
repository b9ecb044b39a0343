"""Preflight refuses what cannot fit the GPU that the profile states, and says so where it does not know."""

from __future__ import annotations

import json
import shutil

import pytest

from components.core.plan.sizes import KNOWN
from components.core.stage.errors import ConfigError
from components.core.stage.settings import parse_settings, stage_config
from components.preflight.capacity import check_capacity


@pytest.fixture
def model(tmp_path):
    """A directory with the configuration of Qwen3-VL-8B, without weights."""
    (tmp_path / "config.json").write_text(json.dumps(KNOWN["Qwen3-VL-8B-Instruct"]))
    return tmp_path


def sections(**rl):
    return {"hybrid_rl": parse_settings(stage_config("hybrid_rl"), rl),
            "evaluation": parse_settings(stage_config("evaluation"), {"batch_size": 8})}  # fmt: skip


def test_what_cannot_fit_is_refused_with_numbers_and_settings(model):
    with pytest.raises(ConfigError) as error:
        check_capacity("H100-80GB", model, sections())
    message = str(error.value)
    assert "hybrid_rl: needs" in message and "GB on each GPU of 80 GB (weights 35.1" in message
    assert "gradient_checkpointing: true" in message and "evaluation" not in message


def test_what_fits_passes(model):
    large = sections(gradient_checkpointing=True, micro_batch_rollouts=1)
    assert "of 400 GB on each GPU" in check_capacity("400GB", model, large)


@pytest.mark.parametrize("objective", ["distill", "both"])
def test_what_does_not_fit_beside_its_teacher_is_refused(model, tmp_path_factory, objective):
    teacher = tmp_path_factory.mktemp("teacher")
    (teacher / "config.json").write_text(json.dumps(KNOWN["Qwen3-VL-32B-Instruct"]))
    small = {"gradient_checkpointing": True, "micro_batch_rollouts": 1}
    alone = sections(**small)
    taught = sections(**small, objective=objective, teacher={"checkpoint": str(teacher)})
    assert check_capacity("250GB", model, alone)
    with pytest.raises(ConfigError) as error:
        check_capacity("250GB", model, taught, teacher)
    assert "teacher 66.7" in str(error.value) and "teacher.server in place of" in str(error.value)
    assert check_capacity("400GB", model, taught, teacher)


def test_a_teacher_s_size_that_is_not_known_is_said(model, tmp_path_factory):
    teacher = tmp_path_factory.mktemp("teacher")
    (teacher / "config.json").write_text('{"model_type": "qwen3_vl"}')
    taught = sections(objective="distill", teacher={"checkpoint": str(teacher)})
    assert check_capacity("80GB", model, taught, teacher).startswith("not known: ")


def test_what_is_not_known_is_said(model, tmp_path):
    assert check_capacity("", model, sections()) == "not known: preflight.gpu names no GPU"
    (tmp_path / "config.json").write_text('{"model_type": "qwen3_vl"}')
    assert "not known: config.json of model_type 'qwen3_vl'" in check_capacity("24GB", tmp_path, sections())
    with pytest.raises(ConfigError, match="write NAME-MEMORY"):
        check_capacity("a big one", model, sections())


def test_the_stage_names_it_beside_the_other_problems(preflight, settings, world, tmp_path):
    (world / "model" / "config.json").write_text(
        json.dumps(KNOWN["Qwen3-VL-8B-Instruct"] | {"image_token_id": 5})
    )
    (world / "model" / "model.safetensors").rename(world / "model" / "kept")
    code, message = preflight(settings | {"gpu": "24GB"}, hybrid_rl={"max_steps": 1})
    assert code == 78
    assert "hybrid_rl: needs" in message and "no model.safetensors" in message


def test_the_stage_counts_the_teacher(preflight, settings, world):
    """The model alone fits 50 GB; a teacher of the same size beside it does not."""
    config = json.dumps(KNOWN["Qwen3-VL-2B-Instruct"] | {"image_token_id": 5})
    (world / "model" / "config.json").write_text(config)
    (world / "model" / "model.safetensors").rename(world / "model" / "kept")  # its header has another size
    shutil.copytree(world / "model", world / "teacher")
    small = {"gradient_checkpointing": True, "micro_batch_rollouts": 1, "group_size": 2}
    small |= {"prompts_per_step": 1, "k": 2}
    taught = {"objective": "distill", "teacher": {"checkpoint": str(world / "teacher"), "dtype": "float32"}}
    _, message = preflight(settings | {"gpu": "50GB"}, hybrid_rl=small)
    assert "hybrid_rl: needs" not in message
    code, message = preflight(settings | {"gpu": "50GB"}, hybrid_rl=small | taught)
    assert code == 78 and "teacher 8.5" in message and "teacher.dtype: bfloat16" in message
    _, message = preflight(settings | {"gpu": "60GB"}, hybrid_rl=small | taught)
    assert "hybrid_rl: needs" not in message

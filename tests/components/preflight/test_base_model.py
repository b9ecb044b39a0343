from __future__ import annotations

import json
import shutil

import pytest

from components.core.stage.errors import ConfigError, DataError, NoInputError
from components.core.stage.settings import parse_settings, stage_config
from components.preflight.base_model import check_base_model, check_teacher, teacher_of


def test_a_complete_model(world) -> None:
    assert "qwen3_vl" in check_base_model(world / "model")


def test_a_real_saved_model(tiny_checkpoint) -> None:
    assert "qwen3_vl" in check_base_model(tiny_checkpoint)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "no config.json"),
        ("model.safetensors", "no model.safetensors"),
        ("tokenizer.json", "no tokenizer.json"),
        ("preprocessor_config.json", "no preprocessor_config.json"),
        ("tokenizer_config.json", "no chat template"),
    ],
)
def test_each_missing_file_is_named(world, missing, message) -> None:
    (world / "model" / missing).unlink()
    with pytest.raises(DataError, match=message):
        check_base_model(world / "model")


def test_all_problems_at_once(world) -> None:
    for file in (world / "model").iterdir():
        file.unlink()
    with pytest.raises(DataError) as error:
        check_base_model(world / "model")
    assert str(error.value).count("\n  no ") == 4


def test_another_architecture(world) -> None:
    (world / "model/config.json").write_text(json.dumps({"model_type": "llava"}))
    with pytest.raises(DataError, match="'llava' is not supported"):
        check_base_model(world / "model")


def test_a_tokenizer_without_the_image_token(world) -> None:
    (world / "model/config.json").write_text(json.dumps({"model_type": "qwen3_vl", "image_token_id": 6}))
    with pytest.raises(DataError, match="image_token_id 6"):
        check_base_model(world / "model")


def test_sharded_weights(world) -> None:
    weights = world / "model" / "model.safetensors"
    data = weights.read_bytes()
    weights.unlink()
    names = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    index = {"weight_map": {"a": names[0], "b": names[1]}}
    (world / "model/model.safetensors.index.json").write_text(json.dumps(index))
    (world / "model" / names[0]).write_bytes(data)
    with pytest.raises(DataError, match="missing: model-00002"):
        check_base_model(world / "model")
    (world / "model" / names[1]).write_bytes(data)
    assert "2 file(s)" in check_base_model(world / "model")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"", "truncated"),
        (b"\xff" * 64, "truncated"),
        ((2).to_bytes(8, "little") + b"[]", "damaged header"),
    ],
)
def test_files_that_are_no_weights(world, data, message) -> None:
    (world / "model" / "model.safetensors").write_bytes(data)
    with pytest.raises(DataError, match=message):
        check_base_model(world / "model")


def test_a_download_cut_short(world, spoil) -> None:
    spoil["weights"](15)
    with pytest.raises(DataError, match="its header says"):
        check_base_model(world / "model")


def test_no_such_model(tmp_path) -> None:
    with pytest.raises(NoInputError, match="preflight.base_model"):
        check_base_model(tmp_path / "nowhere")


def test_a_teacher_of_the_base_models_vocabulary(tiny_checkpoint) -> None:
    assert "the base model's vocabulary" in check_teacher(tiny_checkpoint, tiny_checkpoint)


def test_a_teacher_of_another_vocabulary(tiny_checkpoint, tmp_path) -> None:
    shutil.copytree(tiny_checkpoint, tmp_path / "teacher")
    path = tmp_path / "teacher" / "tokenizer.json"
    content = json.loads(path.read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary["r"], vocabulary["g"] = vocabulary["g"], vocabulary["r"]
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"hybrid_rl.teacher.checkpoint: .* 2 differ: 'g' is"):
        check_teacher(tmp_path / "teacher", tiny_checkpoint)


def test_a_teacher_that_is_not_there(tiny_checkpoint, tmp_path) -> None:
    with pytest.raises(NoInputError, match="check hybrid_rl.teacher.checkpoint"):
        check_teacher(tmp_path / "none", tiny_checkpoint)


@pytest.mark.parametrize(
    ("section", "address"),
    [
        ({}, ""),
        ({"teacher": {"checkpoint": "models/t"}}, ""),
        ({"objective": "distill", "teacher": {"checkpoint": "models/t"}}, "models/t"),
        ({"objective": "both", "teacher": {"server": {"base_url": "http://t/v1", "model": "m"}}}, ""),
        ({"objective": "both", "teacher": {"checkpoint": "o/m@main"}}, "hf://o/m@main"),
    ],
)
def test_the_teacher_that_a_run_will_load(section, address) -> None:
    settings = parse_settings(stage_config("hybrid_rl"), section)
    assert teacher_of({"hybrid_rl": settings}) == address

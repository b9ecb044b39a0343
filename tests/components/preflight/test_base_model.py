from __future__ import annotations

import json

import pytest

from components.core.stage.errors import DataError, NoInputError
from components.preflight.base_model import check_base_model


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

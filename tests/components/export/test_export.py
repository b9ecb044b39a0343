"""A quantised checkpoint loads, is smaller, answers nearly alike, and says where it comes from."""

from __future__ import annotations

import json
import subprocess

import pytest
import torch

from components.core.data.checkpoint import commit_checkpoint, open_checkpoint
from components.core.stage.errors import ConfigError, DataError
from components.core.vlm import load_model
from components.export.__main__ import main
from components.export.quantise import quantise, size_bytes

pytest.importorskip("compressed_tensors")


@pytest.fixture
def checkpoint(tiny_checkpoint, tmp_path):
    """The tiny checkpoint, sealed, in a folder of its own."""
    path = tmp_path / "checkpoint"
    path.mkdir()
    for file in tiny_checkpoint.iterdir():
        (path / file.name).write_bytes(file.read_bytes())
    commit_checkpoint(path)
    return path


def _weights(path):
    return dict(load_model(path, dtype="float32").named_parameters())


def _linear(name: str) -> bool:
    return "language_model.layers" in name and name.endswith("_proj.weight")


@pytest.mark.parametrize(("scheme", "levels"), [("int8", 127), ("int4", 7)])
def test_weights_move_by_half_a_level_at_most_and_the_rest_not_at_all(checkpoint, tmp_path, scheme, levels):
    layers = quantise(checkpoint, tmp_path / "out", scheme, group_size=16)
    before, after = _weights(checkpoint), load_model(tmp_path / "out").state_dict()
    assert layers == sum(map(_linear, before))
    kept = [name for name in before if not _linear(name)]
    assert kept and all(torch.equal(before[name], after[name]) for name in kept if name in after)
    assert any("visual" in name for name in kept if name in after)
    assert size_bytes(tmp_path / "out") < size_bytes(checkpoint)
    # A symmetric scale is max|w| / levels, to half a level more; rounding moves a weight by half a level.
    moved = load_model(tmp_path / "out")
    for name, weight in before.items():
        if _linear(name):
            layer = moved.get_submodule(name.removesuffix(".weight"))
            assert layer.weight_scale.max() <= weight.abs().max() / levels * 1.01


def test_int8_answers_nearly_as_before(checkpoint, tmp_path):
    quantise(checkpoint, tmp_path / "out", "int8")
    ids = torch.arange(12)[None]
    with torch.no_grad():
        before, after = (
            load_model(path, dtype="float32")(input_ids=ids).logits for path in (checkpoint, tmp_path / "out")
        )
    assert (after - before).norm() < 0.02 * before.norm()


def test_the_command_measures_and_seals(checkpoint, coloured_benchmark, tmp_path):
    command = ["--checkpoint", str(checkpoint), "--output", str(tmp_path / "out"), "--name", "it's mine",
               "--benchmark", f"colours={coloured_benchmark}", "--limit", "3",
               "--max-new-tokens", "4"]  # fmt: skip
    assert main(command) == 0
    sealed = open_checkpoint(tmp_path / "out")
    figures = json.loads((tmp_path / "out" / "export.json").read_text())
    assert figures["checkpoint"] == open_checkpoint(checkpoint).digest
    assert figures["benchmarks"]["colours"]["items"] == 3
    assert figures["after_mb"] < figures["before_mb"]
    assert "it's mine" in (tmp_path / "out" / "README.md").read_text()
    subprocess.run(["bash", "-n", str(tmp_path / "out" / "serve.sh")], check=True)
    assert main(command) == 0, "a second time finds it"
    assert open_checkpoint(tmp_path / "out").digest == sealed.digest
    assert main([*command, "--scheme", "int4", "--group-size", "16"]) == DataError.exit_code


def test_foreign_files_are_left_alone(checkpoint, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    assert main(["--checkpoint", str(checkpoint), "--output", str(tmp_path / "out")]) == DataError.exit_code
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"


def test_what_cannot_be_quantised_says_why(checkpoint, tmp_path):
    with pytest.raises(ConfigError, match="group_size 24 does not divide the 32 columns"):
        quantise(checkpoint, tmp_path / "a", "int4", group_size=24)
    quantise(checkpoint, tmp_path / "b", "int8")
    with pytest.raises(DataError, match="quantised already"):
        quantise(tmp_path / "b", tmp_path / "c", "int8")
    assert (
        main(["--checkpoint", str(checkpoint), "--output", str(tmp_path / "d"), "--benchmark", "domain"])
        == 78
    )


def test_a_context_that_the_model_lacks_is_refused_before_anything_is_made(checkpoint, tmp_path, capsys):
    command = ["--checkpoint", str(checkpoint), "--output", str(tmp_path / "out")]
    assert main([*command, "--max-model-tokens", "32768"]) == ConfigError.exit_code
    assert "32768 tokens, but the model has 2048 positions" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

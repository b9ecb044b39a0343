"""The base model is a Qwen3-VL like any other, and its pretraining continues where it was stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen3VLForConditionalGeneration

from components.core.data.checkpoint import open_checkpoint
from components.core.vlm import build_conversation, generate, load_model, load_processor
from demo import general
from demo.base import pretraining
from demo.base import settings as base_settings
from demo.base.__main__ import main
from demo.base.model import ensure_base_model
from demo.base.scores import right, scores
from demo.base.tokenizer import build_tokenizer
from demo.conversation import IGNORED, Encoder, collate, general_turns


def test_encoding_is_what_the_processor_makes(mini_world: Path) -> None:
    processor = load_processor(mini_world / "base_model")
    encoder = Encoder(processor, grid=8)
    rng = np.random.default_rng(0)
    scene = general.sample_scene(rng, "train")
    turns = general_turns(scene, rng, 1, 0.5)
    picture = general.render(scene)
    text = processor.apply_chat_template(build_conversation(turns), tokenize=False)
    expected = processor(text=[text], images=[picture], return_tensors="pt")
    sample = encoder.sample(picture, turns)
    assert [*sample.ids, *processor.tokenizer("\n")["input_ids"]] == expected["input_ids"][0].tolist()
    assert torch.equal(sample.pixels, expected["pixel_values"])
    spoken = [token for token in sample.labels if token != IGNORED]
    assert processor.tokenizer.decode(spoken) == f"{turns[0][1]}<|im_end|>"


def test_a_question_in_a_row_is_a_conversation_of_its_own(mini_world: Path) -> None:
    """Logits of six questions that share their picture, against six conversations by the model's own masks
    and positions."""
    model = load_model(mini_world / "base_model", "float32")
    encoder = Encoder(load_processor(mini_world / "base_model"), grid=8)
    rng = np.random.default_rng(1)
    rows = []
    for count in (6, 2):
        scene = general.sample_scene(rng, "train")
        rows.append((general.render(scene), general_turns(scene, rng, count, 0.5)))
    batch = collate([encoder.sample(*row) for row in rows], encoder)
    with torch.no_grad():
        together = model(**batch).logits
        for row, (picture, turns) in enumerate(rows):
            for place, turn in enumerate(turns, start=1):
                alone = collate([encoder.sample(picture, [turn])], encoder)
                plain = {key: alone[key] for key in alone if key not in ("position_ids", "labels")}
                plain["attention_mask"] = torch.ones_like(alone["input_ids"])
                expected = model(**plain).logits[0]
                branches = torch.tensor(encoder.sample(picture, turns).branches)
                found = together[row, : len(branches)][(branches == 0) | (branches == place)]
                torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_patch_labels_name_what_covers_the_patch() -> None:
    shape = general.Shape("star", "blue", column=1, band=2, size_px=32, shift_px=(3, 7))
    # The star goes from (46, 92) to (78, 124), the digit from (4, 4) to (32, 36).
    scene = general.GeneralScene(general.Written("7", (), 2, 4), (shape,), None, None, 0)
    objects, colours = (labels.reshape(8, 8) for labels in pretraining.patch_labels(scene, 16))
    assert general.LABELS[objects[6, 3]] == "star"
    assert general.COLOURS[colours[6, 3] - 1] == "blue"
    assert general.LABELS[objects[1, 1]] == "7"
    assert (objects[3:5] == 0).all()


def test_model_loads_and_answers(mini_world: Path) -> None:
    model = load_model(mini_world / "base_model")
    assert isinstance(model, Qwen3VLForConditionalGeneration)
    picture = general.render(general.sample_scene(np.random.default_rng(0), "test"))
    found = generate(
        model, load_processor(mini_world / "base_model"), [(picture, "Count the shapes.")], max_new_tokens=4
    )
    assert len(found) == len(found[0]) == 1


@pytest.mark.parametrize("phase", ["vision", "questions"])
def test_interrupted_pretraining_ends_with_the_same_weights(
    mini_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    monkeypatch.setattr(pretraining, "SAVE_INTERVAL_S", 0.0)
    steps = pretraining._steps

    def stopping(name, settings, start):
        for step in steps(name, settings, start):
            if name == phase and step == 2:
                raise KeyboardInterrupt
            yield step

    with monkeypatch.context() as context:
        context.setattr(pretraining, "_steps", stopping)
        with pytest.raises(KeyboardInterrupt):
            ensure_base_model(tmp_path / "model", base_settings.MINI)
    assert not (tmp_path / "model").exists()
    ensure_base_model(tmp_path / "model", base_settings.MINI)
    whole, resumed = (
        load_model(path).state_dict() for path in (mini_world / "base_model", tmp_path / "model")
    )
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_other_settings_are_another_model() -> None:
    changed = replace(base_settings.MINI, seed=1)
    assert base_settings.content_key(changed) != base_settings.content_key(base_settings.MINI)


def test_the_shipped_model_is_whole_and_small() -> None:
    checkpoint = open_checkpoint(base_settings.SHIPPED)
    sizes = [path.stat().st_size for path in base_settings.SHIPPED.iterdir()]
    assert sum(sizes) <= 16 * 1024**2
    weights = load_model(checkpoint.path).state_dict()
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    assert all(tensor.isfinite().all() for tensor in weights.values())


def test_the_shipped_model_has_the_tokenizer_that_the_code_makes() -> None:
    kept = load_processor(base_settings.SHIPPED).tokenizer
    assert kept.get_vocab() == build_tokenizer().get_vocab()


def test_the_shipped_model_sees_and_denies() -> None:
    """A drop below these says that pictures, prompts or loading changed; the data card has the figures."""
    found = scores(base_settings.SHIPPED, pictures=60, seed=1)
    assert found["all"]["value"] > 0.9
    assert found["existence"]["value"] > 0.9


def test_the_command_trains_scores_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--mini", "--out", str(tmp_path)]) == 0
    assert "all" in capsys.readouterr().out
    assert json.loads((tmp_path / "scores.json").read_text())["all"]["n"] == 32
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("response", "expected"),
    [("Red.", True), ("I see ring. Answer: red", True), ("red or blue", False), ("", False)],
)
def test_right_reads_the_final_answer(response: str, expected: bool) -> None:
    assert right(response, "red") is expected

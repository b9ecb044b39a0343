"""A mixture's experts are quantised one by one, and plain transformers reads them back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

from components.core.data.checkpoint import commit_checkpoint
from components.core.stage.errors import ConfigError, DataError
from components.core.vlm import load_model
from components.core.vlm.families import read_config
from components.export.__main__ import main
from components.export.experts import read_apart, unfuse
from components.export.quantise import quantise
from tests.families.tiny import EXPERTS, ROTARY, TEXT, TINY, Tiny, internvl, write_tiny

pytest.importorskip("compressed_tensors")

LEVELS = {"int8": 127, "int4": 7}


def intern_moe(tokenizer, ids):
    """InternVL in front of Qwen3-MoE, as InternVL3.5's larger models are."""
    config = internvl(tokenizer, ids).to_dict()
    text = {**TEXT, **EXPERTS, "rope_parameters": ROTARY, "model_type": "qwen3_moe"}
    config["text_config"] = text | {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    return transformers.InternVLConfig(**config)


MIXTURES: dict[str, tuple[str, Tiny]] = {
    "qwen3_vl_moe": ("qwen3_vl_moe", TINY["qwen3_vl_moe"]),
    "internvl": ("internvl", TINY["internvl"]._replace(config=intern_moe)),
}


@pytest.fixture(params=MIXTURES)
def mixture(request, tmp_path, monkeypatch) -> Path:
    """A tiny mixture of each family that may have one, with experts large enough to show in the logits."""
    model_type, tiny = MIXTURES[request.param]
    monkeypatch.setitem(TINY, model_type, tiny)
    path = write_tiny(model_type, tmp_path / "mixture")
    model = load_model(path, "float32")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".experts." in name:
                parameter.normal_(std=0.5)
    model.save_pretrained(path)
    return path


def stored(path: Path) -> dict[str, torch.Tensor]:
    return {name: t for file in path.glob("*.safetensors") for name, t in load_file(file).items()}


def logits(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.arange(20)[None]).logits


def rounded(weight: torch.Tensor, scale: torch.Tensor, levels: int) -> torch.Tensor:
    """Nearest level of each block of columns: w = s * clamp(round(w / s), -levels - 1, levels)."""
    blocks = weight.reshape(len(weight), scale.shape[1], -1)
    level = (blocks / scale[..., None]).round().clamp(-levels - 1, levels)
    return (level * scale[..., None]).reshape(weight.shape)


@pytest.mark.parametrize("scheme", LEVELS)
def test_plain_transformers_reads_the_quantised_experts(mixture, tmp_path, scheme):
    layers = quantise(mixture, tmp_path / "out", scheme, group_size=16)
    kept = stored(tmp_path / "out")
    # Two layers of four projections of attention, and of four experts with three each.
    assert layers == 2 * (4 + 4 * 3) == sum(name.endswith(".weight_packed") for name in kept)
    model = load_model(mixture, "float32")
    before = logits(model)
    parameters = dict(model.named_parameters())
    prefix = {name.split(".layers.")[0] for name in kept if ".experts." in name}.pop()
    with torch.no_grad():
        for name, scale in kept.items():
            if not name.endswith(".weight_scale"):
                continue
            layer = name.removesuffix(".weight_scale")
            assert kept[f"{layer}.weight_packed"].dtype == torch.int32
            place = layer.removeprefix(prefix).rpartition(".experts.")
            if place[1]:
                expert, kind = place[2].split(".")
                inner = "gate_up_proj" if kind in ("gate_proj", "up_proj") else kind
                weight = next(p for n, p in parameters.items() if n.endswith(f"{place[0]}.experts.{inner}"))
                rows = weight[int(expert)]
                if inner != kind:
                    rows = rows.chunk(2)[kind == "up_proj"]
            else:
                rows = next(p for n, p in parameters.items() if n.endswith(f"{place[2]}.weight"))
            moved = rounded(rows.clone(), scale, LEVELS[scheme])
            assert 0 < float((moved - rows).abs().max()) <= float(scale.max()) * 0.51
            rows.copy_(moved)

    again, found = transformers.AutoModelForImageTextToText.from_pretrained(
        tmp_path / "out", dtype=torch.float32, output_loading_info=True
    )
    assert not found["missing_keys"] and not found["unexpected_keys"]
    after = logits(again.eval())
    torch.testing.assert_close(after, logits(model), atol=1e-5, rtol=1e-5)
    assert (after - before).norm() > 1e-3 * before.norm()
    read = dict(again.named_parameters())
    for name, weight in parameters.items():
        if ".experts." in name:
            torch.testing.assert_close(read[name], weight, atol=1e-6, rtol=1e-6)


def test_routers_keep_their_weights(mixture, tmp_path):
    quantise(mixture, tmp_path / "out", "int8")
    before, after = stored(mixture), stored(tmp_path / "out")
    routers = [name for name in after if name.endswith("mlp.gate.weight")]
    assert len(routers) == 2 and all(torch.equal(after[name], before[name]) for name in routers)
    assert r"re:(.*\.)?mlp\.gate$" in read_config(tmp_path / "out")["quantization_config"]["ignore"]


def test_the_command_measures_a_mixture(mixture, tmp_path, coloured_benchmark):
    commit_checkpoint(mixture)
    command = ["--checkpoint", str(mixture), "--output", str(tmp_path / "out"),
               "--benchmark", f"colours={coloured_benchmark}", "--limit", "2",
               "--max-new-tokens", "2"]  # fmt: skip
    assert main(command) == 0
    figures = json.loads((tmp_path / "out" / "export.json").read_text())
    assert figures["benchmarks"]["colours"]["items"] == 2
    assert figures["after_mb"] < figures["before_mb"]


def test_experts_in_another_form_are_refused():
    """GPT-OSS: interleaved, transposed, with biases."""
    config = transformers.GptOssConfig(num_hidden_layers=1, hidden_size=8, intermediate_size=8,
                                       num_local_experts=2, head_dim=4, num_attention_heads=2,
                                       num_key_value_heads=1, vocab_size=8)  # fmt: skip
    with pytest.raises(ConfigError, match="GptOssExperts .* serve the checkpoint as it is"):
        unfuse(transformers.GptOssForCausalLM(config))


def test_which_types_are_read_one_by_one():
    assert read_apart("qwen3_moe") and read_apart("glm4_moe")
    assert not read_apart("qwen3_vl_moe_text") and not read_apart("mistral4") and not read_apart("llama")


def test_a_dense_model_is_left_alone(tiny_checkpoint):
    model = load_model(tiny_checkpoint)
    names = [name for name, _ in model.named_modules()]
    assert unfuse(model) == []
    assert names == [name for name, _ in model.named_modules()]


def test_a_checkpoint_that_lacks_weights_is_not_answered_with_random_ones(mixture, tmp_path):
    """As transformers would do: it fills what it does not find, here a layer's experts, and warns."""
    quantise(mixture, tmp_path / "out", "int8")
    kept = {name: t for name, t in stored(tmp_path / "out").items() if ".1.mlp.experts." not in name}
    save_file(kept, tmp_path / "out" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"lacks 2 of the model's weights, e\.g\. .*experts\.down_proj"):
        load_model(tmp_path / "out")

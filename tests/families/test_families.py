"""The registry of families, and what a family says of a checkpoint."""

from __future__ import annotations

import json

import pytest

from components.core.stage.errors import ConfigError, DataError
from components.core.vlm import load_model, load_processor
from components.core.vlm.families import families, family_for, family_of, read_config, refuse
from components.core.vlm.tokens import banned_token_ids, control_tokens
from components.preflight.base_model import asked_of_family, check_base_model
from tests.families.tiny import TINY


def test_every_family_is_in_the_matrix():
    assert set(TINY) == set(families())


@pytest.mark.parametrize(
    "model_type", ["kimi_k25", "kimi_vl", "minicpmv4_6", "minicpmv", "llava", None, "qwen3"]
)
def test_other_models_are_refused_with_the_supported_ones(model_type, tiny, tmp_path):
    with pytest.raises(ConfigError, match="not supported; supported: gemma3, glm4v") as refused:
        family_for(model_type)
    assert refused.value.exit_code == 78
    for file in tiny("qwen3_vl").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    with pytest.raises(DataError, match="not supported; supported: .*qwen3_vl"):
        check_base_model(tmp_path)
    with pytest.raises(ConfigError, match="supported"):
        load_processor(tmp_path)
    with pytest.raises(ConfigError, match="supported"):
        load_model(tmp_path)


def test_a_configuration_that_cannot_be_read(tmp_path):
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(DataError, match="no JSON object"):
        read_config(tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        read_config(tmp_path / "nowhere")


def test_parts_of_qwen3_vl_are_those_of_its_names(tiny):
    """The rule for Qwen3-VL: `visual` is the tower, and mergers inside it are the projector."""
    model = load_model(tiny("qwen3_vl"))
    for name, _ in model.named_parameters():
        part = "language" if ".visual." not in f".{name}" else "projector" if "merger" in name else "vision"
        assert family_of(model).part_of(name) == part
        assert family_of(model).part_of(f"base_model.model.{name}") == part


@pytest.mark.parametrize("text", [
    {"layer_types": ["full_attention", "sliding_attention"]},
    {"layer_types": ["linear_attention", "full_attention"]},
    {"sliding_window": 4096},
    {"sliding_window": 4096, "use_sliding_window": True},
])  # fmt: skip
def test_layers_that_mix_packed_samples_refuse_packing_in_every_family(text):
    for family in set(families().values()):
        assert "packing" in family.refusals({"text_config": text})


@pytest.mark.parametrize(
    "text", [{}, {"layer_types": ["full_attention"] * 2}, {"sliding_window": 9, "use_sliding_window": False}]
)
def test_full_attention_is_packed_where_the_family_allows_it(text):
    assert not family_for("qwen2_5_vl").refusals({"text_config": text})
    assert not family_for("qwen2_5_vl").refusals(text)  # settings of the language model beside the others


def test_a_refusal_names_the_setting(tiny):
    refuse(tiny("internvl"), "packing", "curriculum_sft.pack_tokens")
    with pytest.raises(ConfigError, match="curriculum_sft.pack_tokens: Gemma 3: ") as refused:
        refuse(tiny("gemma3"), "packing", "curriculum_sft.pack_tokens")
    assert refused.value.exit_code == 78


def test_preflight_names_every_section_that_packs(tiny):
    from components.curriculum_sft.config import Config, Phase

    packs = Config(pack_tokens=4096)
    phases = Config(phases=[Phase(max_length_tokens=64), Phase(max_length_tokens=64, pack_tokens=64)])
    sections = {
        "sft_1_domain": packs,
        "sft_2_restore": Config(),
        "sft_3_align": phases,
        "hybrid_rl": object(),
    }
    wanted = asked_of_family(sections)
    assert wanted == {"packing": "sft_1_domain.pack_tokens, sft_3_align.pack_tokens"}
    with pytest.raises(ConfigError, match=r"sft_1_domain\.pack_tokens, sft_3_align\.pack_tokens: Qwen3\.5"):
        check_base_model(tiny("qwen3_5"), wanted)
    assert "glm4v" in check_base_model(tiny("glm4v"), wanted)


@pytest.mark.parametrize("model_type", TINY)
def test_banned_tokens_exist_and_an_answer_may_end(model_type, tiny):
    processor = load_processor(tiny(model_type))
    banned = banned_token_ids(processor)
    assert banned and processor.tokenizer.unk_token_id not in banned.values()
    family = family_for(model_type)
    assert family.end not in banned and family.end in control_tokens(family)


@pytest.mark.parametrize("model_type", TINY)
def test_contents_as_text_and_as_parts_read_the_same(model_type, tiny):
    """Templates that want parts drop plain texts silently, others print a list: both are put right before."""
    processor = load_processor(tiny(model_type))
    parts = lambda text: [{"type": "text", "text": text}]  # noqa: E731
    said = [("user", "What colour?"), ("assistant", "red"), ("user", "and now?"), ("assistant", "blue")]
    as_texts, as_parts = (
        [{"role": role, "content": wrap(text)} for role, text in said] for wrap in (str, parts)
    )
    written = processor.apply_chat_template(as_texts, tokenize=False)
    assert written == processor.apply_chat_template(as_parts, tokenize=False)
    assert processor.apply_chat_template([as_texts, as_parts], tokenize=False) == [written, written]
    assert all(written.count(text) == 1 for _, text in said) and "{" not in written
    ids = processor(text=[written])["input_ids"][0]
    begin = processor.tokenizer.bos_token_id
    assert begin is None or list(ids).count(begin) == 1

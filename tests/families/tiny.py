"""Tiny random checkpoints of every family, from transformers' own classes; nothing is downloaded.

A tokenizer is trained on a few sentences. The chat template has the structure of the family's real one.
Files are laid out as on the hub: `preprocessor_config.json`, `processor_config.json`, tokenizer, weights.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers as tf
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CORPUS = [
    "What colour is the picture? red green blue yes no",
    "user\nassistant\nsystem\nmodel\nYou are a helpful assistant.\n",
    "User: Assistant: System: Is the picture it and now which one?\n\n",
] * 4
QWEN = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
        "<|video_pad|>")  # fmt: skip
ROTARY = {"rope_type": "default", "rope_theta": 10000.0}
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 4096,
}
SIGLIP = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "patch_size": 8,
}


class Tiny(NamedTuple):
    """How a family's tiny checkpoint is made."""

    special: tuple[str, ...]
    """Special tokens, padding first."""
    end: str
    """The tokenizer's end token."""
    config: Callable[[Any, dict[str, int]], Any]
    """(tokenizer, ids by token) -> configuration."""
    image: Callable[[], Any]
    """The image processor."""
    processor: dict[str, Any] = {}
    """Settings of the processor."""
    names: dict[str, str] = {}
    """Named tokens of the tokenizer, e.g. `image_token`."""
    begin: str = ""
    """A token that the tokenizer writes before every text."""
    template: str = ""
    """File of the chat template; the family's by default."""


def text_config(tokenizer: Any, **more: Any) -> dict[str, Any]:
    """Settings of a small language model for this vocabulary."""
    ends = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    return {**TEXT, "vocab_size": len(tokenizer), "bos_token_id": None, **ends, **more}


def qwen_ids(ids: dict[str, int]) -> dict[str, int]:
    """The token ids of a Qwen configuration."""
    kinds = {
        "image": "image_pad",
        "video": "video_pad",
        "vision_start": "vision_start",
        "vision_end": "vision_end",
    }
    return {f"{name}_token_id": ids[f"<|{token}|>"] for name, token in kinds.items()}


def qwen_image() -> Any:
    """Patches of 8 px, merged two by two."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    size = {"shortest_edge": 32 * 32, "longest_edge": 64 * 64}
    return Qwen2VLImageProcessorPil(patch_size=8, merge_size=2, temporal_patch_size=2, size=size)


def qwen3(tokenizer: Any, ids: dict[str, int], kind: str = "Qwen3VL", **text: Any) -> Any:
    """Qwen3-VL, dense or with experts."""
    rotary = {**ROTARY, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
    vision = {
        "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "patch_size": 8,
        "spatial_merge_size": 2, "temporal_patch_size": 2, "out_hidden_size": 32,
        "num_position_embeddings": 64,
    }  # fmt: skip
    if kind != "Qwen3_5":
        vision["deepstack_visual_indexes"] = [0]
    return getattr(tf, f"{kind}Config")(
        text_config=text_config(tokenizer, rope_parameters=rotary, tie_word_embeddings=False, **text),
        vision_config=vision,
        tie_word_embeddings=False,
        **qwen_ids(ids),
    )


def qwen2(tokenizer: Any, ids: dict[str, int], kind: str) -> Any:
    """Qwen2-VL and Qwen2.5-VL."""
    rotary = {**ROTARY, "mrope_section": [4, 2, 2]}
    shared = {"depth": 2, "num_heads": 2, "patch_size": 8, "spatial_merge_size": 2, "temporal_patch_size": 2}
    own = {"embed_dim": 32, "hidden_size": 32, "mlp_ratio": 2}
    if kind == "Qwen2_5_VL":
        own = {"hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 32, "window_size": 32,
               "fullatt_block_indexes": [1]}  # fmt: skip
    return getattr(tf, f"{kind}Config")(
        text_config=text_config(tokenizer, rope_parameters=rotary, tie_word_embeddings=False),
        vision_config={**shared, **own},
        tie_word_embeddings=False,
        **qwen_ids(ids),
    )


def gemma3(tokenizer: Any, ids: dict[str, int]) -> Any:
    """Gemma 3 with one sliding layer and one full one."""
    return tf.Gemma3Config(
        text_config=text_config(
            tokenizer, layer_types=["sliding_attention", "full_attention"], sliding_window=64,
            query_pre_attn_scalar=16,
        ),
        vision_config={**SIGLIP, "image_size": 32, "vision_use_head": False},
        mm_tokens_per_image=4,
        boi_token_index=ids["<start_of_image>"],
        eoi_token_index=ids["<end_of_image>"],
        image_token_index=ids["<image_soft_token>"],
    )  # fmt: skip


def gemma3_image() -> Any:
    from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

    return Gemma3ImageProcessorPil(size={"height": 32, "width": 32})


def idefics(tokenizer: Any, ids: dict[str, int], kind: str) -> Any:
    """SmolVLM and Idefics3: Llama behind a pixel shuffle."""
    return getattr(tf, f"{kind}Config")(
        text_config={**text_config(tokenizer, rope_parameters=ROTARY), "model_type": "llama"},
        vision_config={**SIGLIP, "image_size": 32},
        scale_factor=2,
        image_token_id=ids["<image>"],
        pad_token_id=tokenizer.pad_token_id,
    )


def idefics_image() -> Any:
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

    return SmolVLMImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})


def idefics3_image() -> Any:
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    return Idefics3ImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})


def llava(tokenizer: Any, ids: dict[str, int]) -> Any:
    return tf.LlavaOnevisionConfig(
        text_config={**text_config(tokenizer, rope_parameters=ROTARY), "model_type": "qwen2"},
        vision_config={
            **SIGLIP,
            "image_size": 32,
            "vision_use_head": False,
            "model_type": "siglip_vision_model",
        },
        image_token_index=ids["<image>"],
        video_token_index=ids["<video>"],
        image_grid_pinpoints=[[32, 32], [32, 64], [64, 32]],
    )


def llava_image() -> Any:
    from transformers.models.llava_onevision import image_processing_pil_llava_onevision as pil

    return pil.LlavaOnevisionImageProcessorPil(
        size={"height": 32, "width": 32}, image_grid_pinpoints=[[32, 32], [32, 64], [64, 32]]
    )


def internvl(tokenizer: Any, ids: dict[str, int]) -> Any:
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
              "image_size": [32, 32], "patch_size": [8, 8]}  # fmt: skip
    return tf.InternVLConfig(
        text_config={**text_config(tokenizer, rope_parameters=ROTARY), "model_type": "qwen2"},
        vision_config=vision,
        image_token_id=ids["<IMG_CONTEXT>"],
        image_seq_length=4,
        downsample_ratio=0.5,
    )


def internvl_image() -> Any:
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

    return GotOcr2ImageProcessorPil(
        size={"height": 32, "width": 32}, crop_to_patches=True, min_patches=1, max_patches=3
    )


def glm4v(tokenizer: Any, ids: dict[str, int]) -> Any:
    kinds = {"image": "image", "video": "video", "image_start": "begin_of_image", "image_end": "end_of_image",
             "video_start": "begin_of_video", "video_end": "end_of_video"}  # fmt: skip
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "image_size": 64,
              "patch_size": 8, "out_hidden_size": 32, "spatial_merge_size": 2,
              "temporal_patch_size": 2}  # fmt: skip
    rotary = {**ROTARY, "mrope_section": [4, 2, 2], "partial_rotary_factor": 1.0}
    return tf.Glm4vConfig(
        text_config=text_config(tokenizer, rope_parameters=rotary),
        vision_config=vision,
        **{f"{name}_token_id": ids[f"<|{token}|>"] for name, token in kinds.items()},
    )


def glm4v_image() -> Any:
    from transformers.models.glm4v.image_processing_pil_glm4v import Glm4vImageProcessorPil

    size = {"shortest_edge": 32 * 32 * 2, "longest_edge": 64 * 64 * 2}
    return Glm4vImageProcessorPil(patch_size=8, merge_size=2, temporal_patch_size=2, size=size)


def mistral3(tokenizer: Any, ids: dict[str, int]) -> Any:
    return tf.Mistral3Config(
        text_config={
            **text_config(tokenizer, rope_parameters=ROTARY, sliding_window=None),
            "model_type": "mistral",
        },
        vision_config={**SIGLIP, "head_dim": 16, "image_size": 64, "model_type": "pixtral"},
        image_token_index=ids["[IMG]"],
        spatial_merge_size=2,
    )


def mistral3_image() -> Any:
    from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil

    return PixtralImageProcessorPil(size={"longest_edge": 64}, patch_size={"height": 8, "width": 8})


EXPERTS = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "router_aux_loss_coef": 0.01,
}
LINEAR = {
    "layer_types": ["linear_attention", "full_attention"], "linear_key_head_dim": 8,
    "linear_value_head_dim": 8, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
}  # fmt: skip
SMOL = ("<|endoftext|>", "<|im_start|>", "<end_of_utterance>", "<fake_token_around_image>", "<image>",
        "<global-img>",
        *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)))  # fmt: skip
GLM = ("<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>",
       "<|begin_of_image|>", "<|end_of_image|>", "<|image|>", "<|begin_of_video|>", "<|end_of_video|>",
       "<|video|>")  # fmt: skip
INTERN = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "<video>")
GEMMA = ("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<end_of_image>",
         "<image_soft_token>")  # fmt: skip
MISTRAL = ("<pad>", "<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[IMG]",
           "[IMG_BREAK]", "[IMG_END]")  # fmt: skip

TINY: dict[str, Tiny] = {
    "qwen3_vl": Tiny(QWEN, "<|im_end|>", qwen3, qwen_image),
    "qwen3_vl_moe": Tiny(
        QWEN, "<|im_end|>", lambda t, i: qwen3(t, i, "Qwen3VLMoe", **EXPERTS), qwen_image, template="qwen3_vl"
    ),
    "qwen2_5_vl": Tiny(
        QWEN, "<|im_end|>", lambda t, i: qwen2(t, i, "Qwen2_5_VL"), qwen_image, template="qwen2_vl"
    ),
    "qwen2_vl": Tiny(QWEN, "<|im_end|>", lambda t, i: qwen2(t, i, "Qwen2VL"), qwen_image),
    "qwen3_5": Tiny(
        (*QWEN, "<think>", "</think>"), "<|im_end|>", lambda t, i: qwen3(t, i, "Qwen3_5", **LINEAR),
        qwen_image,
    ),
    "gemma3": Tiny(
        GEMMA, "<eos>", gemma3, gemma3_image, {"image_seq_length": 4},
        {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"},
        begin="<bos>",
    ),
    "smolvlm": Tiny(SMOL, "<end_of_utterance>", lambda t, i: idefics(t, i, "SmolVLM"), idefics_image,
                    {"image_seq_len": 4}),
    "idefics3": Tiny(SMOL, "<end_of_utterance>", lambda t, i: idefics(t, i, "Idefics3"), idefics3_image,
                     {"image_seq_len": 4}, template="smolvlm"),
    "llava_onevision": Tiny(
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>"), "<|im_end|>", llava,
        llava_image, {"num_image_tokens": 16, "vision_feature_select_strategy": "full"},
    ),
    "internvl": Tiny(
        INTERN, "<|im_end|>", internvl, internvl_image, {"image_seq_length": 4},
        {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
         "video_token": "<video>"},
    ),
    "glm4v": Tiny(GLM, "<|endoftext|>", glm4v, glm4v_image),
    "mistral3": Tiny(MISTRAL, "</s>", mistral3, mistral3_image, {"patch_size": 8, "spatial_merge_size": 2},
                     begin="<s>"),
}  # fmt: skip
"""By `model_type`."""


def build_tokenizer(tiny: Tiny, model_type: str) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with a family's special tokens and chat template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(token, special=True, normalized=False) for token in tiny.special]
    trainer = trainers.BpeTrainer(
        vocab_size=512, min_frequency=1, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=special, show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(CORPUS, trainer)
    if tiny.begin:
        pair = (tiny.begin, tokenizer.token_to_id(tiny.begin))
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{tiny.begin} $A", special_tokens=[pair]
        )
    taken = {tiny.special[0], tiny.end, tiny.begin, *tiny.names.values()}
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=tiny.special[0],
        eos_token=tiny.end,
        bos_token=tiny.begin or None,
        additional_special_tokens=[token for token in tiny.special if token not in taken],
        extra_special_tokens=tiny.names,
        clean_up_tokenization_spaces=False,
        model_max_length=4096,
    )
    folder = Path(__file__).parent / "templates"
    template = (
        (folder / f"{tiny.template or model_type}.jinja").read_text(encoding="utf-8").removesuffix("\n")
    )
    made.chat_template = template + ("\n" if model_type == "glm4v" else "")
    return made


def write_tiny(model_type: str, path: Path, seed: int = 0) -> Path:
    """Write a tiny random checkpoint of a family to `path`."""
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

    from components.core.vlm.families import family_for

    tiny = TINY[model_type]
    tokenizer = build_tokenizer(tiny, model_type)
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in tiny.special}
    torch.manual_seed(seed)
    model = tf.AutoModelForImageTextToText.from_config(tiny.config(tokenizer, ids))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1 and not bool(parameter.any()):
                parameter.normal_(std=0.02)  # Gemma's projector starts at zero, behind a norm
    model.generation_config.eos_token_id = sorted({tokenizer.eos_token_id, ids[family_for(model_type).end]})
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    tiny.image().save_pretrained(path)
    settings = {"processor_class": PROCESSOR_MAPPING_NAMES[model_type], **tiny.processor}
    (path / "processor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return path

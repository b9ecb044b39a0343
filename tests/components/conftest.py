"""Fixtures that several stages share: a tiny untrained Qwen3-VL checkpoint and pictures to show it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

_CORPUS = [
    "Is there a red square? yes no",
    "How many circles are there? 0 1 2 3 4 5 6 7 8 9",
    "What colour is the triangle?",
    "A. red\nB. green\nC. blue\nD. yellow",
    "The shape is on the left. Answer: left",
    "Which letter is shown? Answer: A",
]
_SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
]


def _tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=_SPECIAL,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=_SPECIAL[1:],
    )


def write_tiny_checkpoint(path: Path, seed: int = 0) -> Path:
    """Write a random Qwen3-VL of about 0.1 M parameters (patch 8, merge 2) with tokenizer and processor."""
    import torch
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    from components.core.vlm import build_processor

    tokenizer = _tokenizer()
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in _SPECIAL}
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "pad_token_id": ids[_SPECIAL[0]],
            "max_position_embeddings": 2048,
            "tie_word_embeddings": True,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [4, 2, 2],
                "mrope_interleaved": True,
            },
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 8,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    model = Qwen3VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = ids["<|im_end|>"]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    model.save_pretrained(path)
    build_processor(
        tokenizer, patch_size=8, merge_size=2, min_pixels=32 * 32, max_pixels=64 * 64
    ).save_pretrained(path)
    return path


def png(colour: tuple[int, int, int], size: tuple[int, int] = (48, 48), seed: int = 0) -> bytes:
    """PNG bytes of a noisy single-coloured picture of (width, height) px."""
    noise = np.random.default_rng(seed).integers(-20, 20, (size[1], size[0], 3))
    pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a tiny random Qwen3-VL checkpoint (model, tokenizer, processor); read-only."""
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny_checkpoint"))


@pytest.fixture(scope="session")
def coloured_pictures() -> list[bytes]:
    """Six small PNGs of three colours and three sizes."""
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    sizes = [(48, 48), (64, 48), (32, 64)]
    return [png(colours[i % 3], sizes[i // 2], i) for i in range(6)]


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], Path]]:
    """unreadable(path) -> a new folder that this process may not list, as `lost+found`; also for root."""
    closed: set[str] = set()
    scandir = os.scandir

    def refuse(path: str | bytes | os.PathLike[str] | int = "."):  # os.walk and Path.iterdir use it too
        if not isinstance(path, int) and os.path.realpath(os.fsdecode(path)) in closed:
            raise PermissionError(13, "Permission denied", os.fsdecode(path))
        return scandir(path)

    def go(path: Path) -> Path:
        path.mkdir(mode=0o000)
        closed.add(os.path.realpath(path))
        return path

    monkeypatch.setattr(os, "scandir", refuse)
    yield go
    for path in closed:
        os.chmod(path, 0o700)


@pytest.fixture(scope="session")
def photograph() -> Image.Image:
    """A real photograph of 451 × 300 RGB pixels."""
    import skimage  # takes a moment, and few tests want it

    with Image.open(Path(skimage.__file__).parent / "data" / "chelsea.png") as image:
        return image.convert("RGB")


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """encode(image, "JPEG", quality=90) -> bytes."""

    def go(image: Image.Image, image_format: str, **options: Any) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, image_format, **options)
        return buffer.getvalue()

    return go

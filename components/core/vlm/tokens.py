"""Control tokens of ChatML and Qwen3-VL, banned from sampled responses and from people's texts."""

from __future__ import annotations

from typing import Any

TURN_START, TURN_END = "<|im_start|>", "<|im_end|>"
BANNED_TOKENS = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>", TURN_START)
"""Tokens that no response may contain: they would claim a picture or open a turn."""
CONTROL_TOKENS = (*BANNED_TOKENS, TURN_END)
"""Texts that no sample may spell: the tokenizer would make a picture or a turn of them."""


def banned_token_ids(tokenizer: Any) -> dict[str, int]:
    """Ids by name of those banned tokens that a tokenizer knows."""
    vocabulary = tokenizer.get_vocab()
    return {name: vocabulary[name] for name in BANNED_TOKENS if name in vocabulary}

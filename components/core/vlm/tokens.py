"""Control tokens: banned from sampled responses and from people's texts."""

from __future__ import annotations

from typing import Any

from components.core.vlm.families import family_of
from components.core.vlm.family import Family


def control_tokens(family: Family) -> tuple[str, ...]:
    """Texts that no sample may spell: the tokenizer would make a picture or a turn of them."""
    return (*family.banned, family.end)


def banned_token_ids(processor: Any) -> dict[str, int]:
    """Ids by name of the tokens that no response may contain, those that the tokenizer knows."""
    vocabulary = processor.tokenizer.get_vocab()
    return {name: vocabulary[name] for name in family_of(processor).banned if name in vocabulary}

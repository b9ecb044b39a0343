"""Vocabularies: whether two models mean the same by a token's id. Loads nothing heavy.

A teacher scores the ids that a student sampled. With another vocabulary every number would be there, and
none would mean anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.core.data.hashing import canonical_json, sha256_hex

_SHOWN = 3
_ROLES = ("bos_token", "eos_token", "pad_token", "unk_token")

Vocabulary = Mapping[str, int]
"""Token -> id, added tokens included."""


def read_vocabulary(path: Path) -> dict[str, int] | None:
    """The vocabulary of a checkpoint from its `tokenizer.json`; None without a readable one."""
    try:
        content = json.loads((path / "tokenizer.json").read_text(encoding="utf-8"))
        listed = content["model"]["vocab"]
        own = listed if isinstance(listed, dict) else {entry[0]: i for i, entry in enumerate(listed)}
        return {**own, **{token["content"]: token["id"] for token in content.get("added_tokens") or ()}}
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def vocabulary_hash(vocabulary: Vocabulary) -> str:
    """SHA-256 of tokens and ids, whatever their order."""
    return sha256_hex(canonical_json(sorted(vocabulary.items(), key=lambda item: (item[1], item[0]))))


def special_ids(tokenizer: Any) -> dict[str, int]:
    """Ids of a tokenizer's special tokens, by role (`eos_token`) and, beside those, by their text."""
    roles = {role: getattr(tokenizer, f"{role}_id", None) for role in _ROLES}
    texts = dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
    return {name: int(found) for name, found in {**texts, **roles}.items() if found is not None}


def differences(ours: Vocabulary, theirs: Vocabulary) -> str:
    """How another vocabulary differs, with the first tokens concerned; "" where it does not."""
    if vocabulary_hash(ours) == vocabulary_hash(theirs):
        return ""
    apart = sorted(
        (token for token in {**ours, **theirs} if ours.get(token) != theirs.get(token)),
        key=lambda token: (ours.get(token, theirs.get(token, 0)), token),
    )
    shown = "; ".join(f"{token!r} is {_id(ours, token)} and {_id(theirs, token)}" for token in apart[:_SHOWN])
    return f"{len(ours)} and {len(theirs)} tokens, {len(apart)} differ: {shown}"


def _id(vocabulary: Vocabulary, token: str) -> str:
    return str(vocabulary[token]) if token in vocabulary else "missing"

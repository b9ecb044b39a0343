"""Hashes and seeds: canonical JSON, SHA-256, and random numbers that depend on named parts alone."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal bytes, so it can be hashed."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256_hex(data: bytes | str) -> str:
    """SHA-256 of bytes or of a string's UTF-8 encoding, in hex."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def seed_for(*parts: Any) -> int:
    """A 63-bit seed that depends on nothing but `parts`: same parts, same draw, in any order of execution."""
    return int(sha256_hex("\x1f".join(str(part) for part in parts))[:16], 16) >> 1


def rng_for(*parts: Any) -> Any:
    """A NumPy generator seeded by `parts` (see `seed_for`)."""
    import numpy as np

    return np.random.default_rng(seed_for(*parts))

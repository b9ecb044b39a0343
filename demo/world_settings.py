"""Settings of the demo world. Imports nothing heavy, so that a finished world is found at once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from components.core.data.hashing import canonical_json, sha256_hex

_CODE = ("build.py", "conversation.py", "world_settings.py", "writing.py",
         *(f"general/{name}.py" for name in ("drawing", "questions", "scene")),
         *(f"world/{name}.py" for name in ("forms", "index", "questions", "render", "scene")))  # fmt: skip


@dataclass(frozen=True)
class WorldSettings:
    """How much of everything."""

    images: int = 640
    general_images: int = 2000
    benchmark_items: int = 500
    """Questions of the domain benchmark; pictures with two hallucination probes each."""
    general_items: int = 2000
    """Questions of the general benchmark: the gate allows it the narrowest change."""
    questions_per_general_image: int = 10
    general_reasoning_share: float = 0.3
    seed: int = 0


MINI = WorldSettings(images=32, general_images=32, benchmark_items=24, general_items=24)


def content_key(settings: WorldSettings) -> str:
    """Hash of the settings and of the code that the world depends on."""
    code = [[name, sha256_hex((Path(__file__).parent / name).read_bytes())] for name in _CODE]
    return sha256_hex(canonical_json([asdict(settings), code, version("numpy")]))

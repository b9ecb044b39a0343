"""Settings of the base model: sizes and training. Imports nothing heavy, to find a finished one at once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from components.core.data.checkpoint import Checkpoint, open_checkpoint
from components.core.data.hashing import canonical_json, sha256_hex
from components.core.stage.errors import StageError


@dataclass(frozen=True)
class PretrainingPhase:
    """One phase of pretraining: `steps` batches of `batch` pictures; learning rates at their peak.

    Rates rise over `warmup_steps`, stay, and fall in a line over the last `decay_steps` to `final_share`.
    """

    steps: int
    batch: int
    decay_steps: int
    muon_lr: float = 4e-3
    adamw_lr: float = 2e-3
    warmup_steps: int = 30
    weight_decay: float = 0.01
    final_share: float = 0.05


@dataclass(frozen=True)
class ModelSizes:
    """The model's sizes. One vision token stands for a square of `patch_px` (patches are not merged)."""

    patch_px: int = 16
    hidden: int = 192
    layers: int = 4
    heads: int = 6
    key_value_heads: int = 3
    head_dim: int = 32
    feed_forward: int = 512
    vision_hidden: int = 192
    vision_layers: int = 4
    vision_heads: int = 4
    vision_feed_forward: int = 512
    initial_std: float = 0.05


@dataclass(frozen=True)
class BaseSettings:
    """Everything that decides the base model's weights."""

    sizes: ModelSizes = ModelSizes()
    vision: PretrainingPhase = PretrainingPhase(steps=800, batch=32, decay_steps=400)
    questions: PretrainingPhase = PretrainingPhase(steps=2000, batch=8, decay_steps=500)
    questions_per_image: int = 24
    reasoning_share: float = 0.15
    seed: int = 0


_SMALL_PHASE = PretrainingPhase(steps=4, batch=4, decay_steps=2, warmup_steps=2)
MINI = BaseSettings(
    sizes=ModelSizes(
        hidden=64, layers=2, heads=2, key_value_heads=1, feed_forward=128,
        vision_hidden=64, vision_layers=2, vision_feed_forward=128,
    ),
    vision=_SMALL_PHASE,
    questions=_SMALL_PHASE,
)  # fmt: skip
"""A base model that has learned nothing, for tests of the machinery."""


def content_key(settings: BaseSettings) -> str:
    """Hash of the settings and of the code that the weights depend on."""
    folder = Path(__file__).parents[1]
    base = (f"base/{name}" for name in ("model", "pretraining", "settings", "tokenizer"))
    general = (f"general/{name}" for name in ("drawing", "questions", "scene"))
    world = (f"world/{name}" for name in ("forms", "questions", "scene"))
    names = [f"{name}.py" for name in ("conversation", *base, *general, *world)]
    code = [[name, sha256_hex((folder / name).read_bytes())] for name in names]
    return sha256_hex(canonical_json([asdict(settings), code, version("torch")]))


SHIPPED = Path(__file__).parent / "checkpoint"
"""The trained base model that comes with the demo."""


def find_base_model(out: Path, key: str) -> Checkpoint | None:
    """The committed base model in `out` if it is whole and of this content key."""
    try:
        checkpoint = open_checkpoint(out)
    except StageError:
        return None
    return checkpoint if checkpoint.extra.get("content_key") == key else None


def is_built(out: Path, settings: BaseSettings) -> bool:
    """Whether `out` holds the base model of these settings, whole."""
    return find_base_model(out, content_key(settings)) is not None

"""A teacher in the training process: a checkpoint, loaded beside the policy and never trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from trl.models import prepare_deepspeed, prepare_fsdp
from trl.trainer.utils import add_fused_lm_head

from components.core.data.checkpoint import open_checkpoint
from components.core.data.manifest import MANIFEST_NAME
from components.core.sources.copies import local_copy
from components.core.stage.errors import ConfigError
from components.core.vlm import load_model, load_processor
from components.core.vlm.vocabulary import differences, special_ids
from components.hybrid_rl.config import Config
from components.hybrid_rl.rollouts.image_limits import check_same_limits

_NORMALISATION = ("do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std")


def teacher_checkpoint(reference: str) -> Path:
    """Directory of the teacher, pinned or not; verified if it is sealed."""
    path = local_copy(reference)
    return open_checkpoint(path).path if (path / MANIFEST_NAME).is_file() else path


def check_teacher(path: Path, processor: Any) -> None:
    """Refuse a teacher that does not read what the student reads.

    Args:
        path: directory of the teacher.
        processor: of the student.

    Raises:
        ConfigError: it has other tokens, other special tokens, or sees pictures otherwise.
    """
    theirs = load_processor(path)
    where = f"hybrid_rl.teacher.checkpoint: {path}"
    if apart := differences(processor.tokenizer.get_vocab(), theirs.tokenizer.get_vocab()):
        raise ConfigError(
            f"{where} has another vocabulary than the student ({apart}); take one of its family"
        )
    if apart := differences(special_ids(processor.tokenizer), special_ids(theirs.tokenizer)):
        raise ConfigError(f"{where} has other special tokens than the student ({apart})")
    check_same_limits(processor, path)
    for name in _NORMALISATION:
        one, other = (getattr(p.image_processor, name, None) for p in (processor, theirs))
        if one != other:
            raise ConfigError(
                f"{where} sees pictures otherwise: its {name} is {other}, the student's is {one}"
            )


class CheckpointTeacher:
    """Scores rollouts by the path on which the policy scores them: an equal model gives equal numbers.

    Args:
        path: directory of the teacher, checked.
        config: of the stage; `teacher.dtype` is the weights' number format.
    """

    def __init__(self, path: Path, config: Config) -> None:
        self._path, self._config = path, config
        self._model: Any = None

    def metrics(self) -> dict[str, float]:
        """None: it costs nothing but time."""
        return {}

    def join(self, trainer: Any) -> None:
        """Load the model and share it out as the trainer's own is."""
        kind = self._config.teacher.dtype
        if kind == "auto":
            kind = "bfloat16" if torch.cuda.is_available() else "float32"
        self._model = load_model(self._path, kind, attn=self._config.attention)
        self._model.requires_grad_(False)
        add_fused_lm_head(self._model, temperature=trainer.temperature)
        if trainer.is_deepspeed_enabled:
            self._model = prepare_deepspeed(self._model, trainer.accelerator)
        elif trainer.is_fsdp_enabled:
            self._model = prepare_fsdp(self._model, trainer.accelerator)
        else:
            self._model = trainer.accelerator.prepare_model(self._model, evaluation_mode=True)

    def logps(self, trainer: Any, rows: Sequence[dict[str, Any]], batch: dict[str, Any]) -> torch.Tensor:
        """One pass over prompts and responses, at the rollouts' temperature."""
        with torch.no_grad():
            found: torch.Tensor = trainer.logps_under(self._model, batch)
        return found

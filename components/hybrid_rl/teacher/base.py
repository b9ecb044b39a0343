"""What a teacher has to do: give log-probabilities to rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch


class Teacher(Protocol):
    """A model that says how probable each token of a rollout is to it."""

    def join(self, trainer: Any) -> None:
        """Get ready beside a trainer that has just been built."""

    def metrics(self) -> dict[str, float]:
        """Figures of its own for the stage's metrics."""

    def logps(self, trainer: Any, rows: Sequence[dict[str, Any]], batch: dict[str, Any]) -> torch.Tensor:
        """Log-probabilities of the response tokens.

        Args:
            trainer: that made the rollouts.
            rows: of the training set, one a rollout.
            batch: the rollouts as TRL hands them to the update.

        Returns:
            Shape (B, T) as `batch["completion_ids"]`; NaN where the teacher gives none.
        """

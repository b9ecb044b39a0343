"""What served models say of rollouts: a judge's quality of open answers, an embedder's meanings.

One process asks for all. It sees whole groups in their order, so its requests do not depend on how many
processes share them. Every reply is journalled before it is used: a resumed run asks nothing twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from components.core.mllm import MLLMClient
from components.core.resume.journal import Journal
from components.hybrid_rl.config import Config
from components.hybrid_rl.rewards import Rollout
from components.hybrid_rl.rewards.asked.judge import Judge
from components.hybrid_rl.rewards.asked.meaning import meanings

__all__ = ["Asked", "asks"]


def asks(config: Config) -> bool:
    """Whether the settings name a model to ask."""
    return config.judge is not None or config.diversity.embedder is not None


class Asked:
    """Adds to rollouts what the settings' models say of them.

    Args:
        config: of the stage.
        journal: makes the journal of a name.
        picture: the bytes of a picture by its id.
        log: of the stage.
    """

    def __init__(
        self,
        config: Config,
        journal: Callable[[str], Journal],
        picture: Callable[[str], bytes],
        log: logging.Logger,
    ) -> None:
        self._config = config
        judge, embedder = config.judge, config.diversity.embedder
        self._judge = Judge(judge, config.guards, journal("judge"), picture, log) if judge else None
        self._embedder = MLLMClient(embedder, journal("embedder"), log) if embedder else None

    def usage(self) -> dict[str, float]:
        """What was asked and spent, as metrics of the stage."""
        clients = {"judge": self._judge.client if self._judge else None, "embedder": self._embedder}
        return {
            n: v for name, client in clients.items() if client for n, v in client.usage.metrics(name).items()
        }

    def __call__(self, rollouts: Sequence[Rollout]) -> list[Rollout]:
        """The rollouts, whole groups in order, with `quality` and `meaning` where these are asked for.

        Raises:
            EndpointError, BudgetError, StageError: a model cannot be used, or stopped answering.
        """
        told = list(rollouts)
        if self._judge is not None:
            told = [replace(r, quality=q) for r, q in zip(told, self._judge(told), strict=True)]
        if self._embedder is not None:
            size, above = self._config.group_size, self._config.diversity.above
            vectors = self._embedder.embed([rollout.answer or rollout.response for rollout in told])
            found = meanings(vectors, size, above)
            told = [replace(r, meaning=number) for r, number in zip(told, found, strict=True)]
        return told

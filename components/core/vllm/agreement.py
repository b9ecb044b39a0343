"""Do rollout engine and trainer see the same thing? Their log-probabilities of the sampled tokens tell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from components.core.stage.errors import ConfigError


@dataclass(frozen=True)
class Agreement:
    """Sums over sampled tokens, in nats; those of several processes add up."""

    tokens: int
    rollout: float
    """Of the log-probabilities that the rollout engine gave."""
    trainer: float
    """Of those that the trainer gives the same tokens."""
    apart: float
    """Of their absolute differences."""

    @property
    def difference(self) -> float:
        """Mean absolute difference of a token; not a number without tokens."""
        return self.apart / self.tokens if self.tokens else math.nan


def compare(rollout: Iterable[Sequence[float | None]], trainer: Iterable[Sequence[float]]) -> Agreement:
    """Compare log-probabilities of responses, token by token.

    Args:
        rollout: of each response, as sampled; None or not a number where the engine gave none.
        trainer: of the same responses; longer rows are padded.
    """
    pairs = [
        (theirs, ours)
        for sampled, updated in zip(rollout, trainer, strict=True)
        for theirs, ours in zip(sampled, updated[: len(sampled)], strict=True)
        if theirs is not None and math.isfinite(theirs)
    ]
    return Agreement(
        tokens=len(pairs),
        rollout=math.fsum(theirs for theirs, _ in pairs),
        trainer=math.fsum(ours for _, ours in pairs),
        apart=math.fsum(abs(theirs - ours) for theirs, ours in pairs),
    )


def total(parts: Iterable[Agreement]) -> Agreement:
    """The agreement over all processes."""
    found = list(parts)
    return Agreement(
        tokens=sum(part.tokens for part in found),
        rollout=math.fsum(part.rollout for part in found),
        trainer=math.fsum(part.trainer for part in found),
        apart=math.fsum(part.apart for part in found),
    )


def check(agreement: Agreement, bound: float, setting: str, rollout: str, trainer: str) -> None:
    """Refuse to go on where the two disagree.

    Args:
        bound: largest mean difference, in nats a token.
        setting: name of the setting that holds it.
        rollout: name of the rollout engine in the message.
        trainer: name of the trainer in the message.

    Raises:
        ConfigError: the difference exceeds the bound, or nothing could be compared; it names both.
    """
    if not agreement.tokens:
        raise ConfigError(f"{rollout} gave no log-probabilities of its answers to compare with {trainer}")
    if agreement.difference <= bound:
        return
    theirs, ours = agreement.rollout / agreement.tokens, agreement.trainer / agreement.tokens
    raise ConfigError(
        f"{rollout} gives its answers a log-probability of {theirs:.3f} a token, {trainer} {ours:.3f}; they "
        f"differ by {agreement.difference:.3f} (over {agreement.tokens} tokens), more than {setting} "
        f"({bound:g}): they do not see the same prompt, picture or weights"
    )

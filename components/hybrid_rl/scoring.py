"""Scoring of whole groups of rollouts: the raw rewards, and from them one advantage a rollout."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.core.stats import pass_at_k
from components.hybrid_rl.advantages.combine import combine, component_advantages
from components.hybrid_rl.advantages.pass_at_k import Floats, Mode, answer_entropy, modes_at
from components.hybrid_rl.config import Config
from components.hybrid_rl.rewards import Group, GroupReward, Ramp, Rollout, RolloutReward, Weight, built_in
from components.hybrid_rl.rewards.asked.gaming import GAMING, gamed
from components.hybrid_rl.rewards.diversity import SIMILARITIES, Similarity, clusters, embedded_similarity
from components.hybrid_rl.rewards.users import UserReward, load_function
from components.hybrid_rl.rollouts.guards import GUARDS, guard
from components.hybrid_rl.settings import Guards, Judge


@dataclass(frozen=True, slots=True)
class Single:
    """A rollout with the rewards that need nothing but itself. Plain data: it travels between processes."""

    rollout: Rollout
    rewards: dict[str, float]
    """Raw reward by component; NaN where it does not apply."""
    errors: tuple[str, ...] = ()
    """Components that failed on it, `name: reason`; a rollout with one carries no weight in the update."""


@dataclass(frozen=True)
class Scored:
    """A batch of n rollouts in whole groups, scored."""

    rollouts: list[Rollout]
    rewards: dict[str, Floats]
    """Raw rewards by component, each (n,)."""
    components: dict[str, Floats]
    """Normalised advantages by component before weighting, each (n,)."""
    weights: dict[str, float]
    advantages: Floats
    """The weighted sum, (n,)."""
    clusters: list[list[int]]
    """Cluster number of every response, by group."""
    scored: NDArray[np.bool_]
    """False where a reward failed, (n,)."""
    errors: list[str] = field(default_factory=list)
    modes: list[Mode] = field(default_factory=list)
    """How correctness became an advantage, by group."""

    @property
    def group_size(self) -> int:
        """Rollouts of one prompt."""
        return len(self.clusters[0])

    @property
    def right(self) -> NDArray[np.int64]:
        """Right responses of every group."""
        return _right_by_group(self.rewards["correctness"], self.group_size)

    @property
    def success(self) -> dict[str, float]:
        """Share of right responses by prompt, over the prompts of this batch."""
        totals: dict[str, list[float]] = {}
        for rollout, right in zip(self.rollouts, np.nan_to_num(self.rewards["correctness"]), strict=True):
            totals.setdefault(rollout.prompt_id, []).append(float(right))
        return {prompt: float(np.mean(values)) for prompt, values in totals.items()}


class Scorer:
    """Applies the settings' rewards. Without state: the same rollouts at a step give the same advantages."""

    def __init__(self, config: Config) -> None:
        """Resolve the similarity and the user's functions.

        Raises:
            ConfigError: a function named in the settings cannot be loaded.
        """
        self.config = config
        rewards = built_in()
        self.users = {extra.name: UserReward(extra) for extra in config.extra_rewards}
        self.of_group = {n: reward for n, reward in rewards.items() if isinstance(reward, GroupReward)}
        self.of_rollout: dict[str, RolloutReward | UserReward] = {
            **{n: reward for n, reward in rewards.items() if isinstance(reward, RolloutReward)},
            **self.users,
        }
        self.weights = config.weights | {name: user.weight for name, user in self.users.items()}
        how = config.diversity.similarity
        if how == "meaning":  # the embedder has said which responses mean the same
            self._similarity: Similarity = embedded_similarity
        else:
            known = SIMILARITIES.get(how)
            self._similarity = known or load_function(how, "diversity.similarity", arguments=2)

    def close(self) -> None:
        """End the processes of the user's rewards."""
        for user in self.users.values():
            user.close()

    def singles(self, rollouts: Sequence[Rollout]) -> list[Single]:
        """Rewards that need one rollout alone; what raises is recorded with the rollout, never passed on."""
        scores = {name: reward.score(rollouts, self.config) for name, reward in self.of_rollout.items()}
        return [
            Single(
                rollout,
                {name: own[i].value for name, own in scores.items()},
                tuple(f"{name}: {own[i].error}" for name, own in scores.items() if own[i].error),
            )
            for i, rollout in enumerate(rollouts)
        ]

    def score(self, singles: Sequence[Single], progress: float, explored: float = 0.0) -> Scored:
        """Advantages of whole groups (`group_size` consecutive rollouts of one prompt each).

        Args:
            singles: of all processes, in order.
            progress: steps done / steps in all.
            explored: share of the exploring that is done, for `switch_by`.
        """
        config, size = self.config, self.config.group_size
        rollouts = [single.rollout for single in singles]
        errors = [error for single in singles for error in single.errors]
        scored = np.array([not single.errors for single in singles], dtype=bool)
        rewards = {name: np.array([single.rewards[name] for single in singles]) for name in self.of_rollout}
        rewards |= {name: np.zeros(len(singles)) for name in self.of_group}
        shares = {name: np.ones(len(singles)) for name, own in self.of_group.items() if own.share}
        meanings = []
        for start in range(0, len(singles), size):
            rows = slice(start, start + size)
            meanings.append(self._meanings(rollouts[rows], errors))
            group = Group(rollouts[rows], (rewards["correctness"][rows] > 0.5).tolist(), meanings[-1])
            for name, reward in self.of_group.items():
                rewards[name][rows] = reward.function(group)
                if reward.share is not None:
                    shares[name][rows] = reward.share(group, config)
        right = _right_by_group(rewards["correctness"], size)
        modes = modes_at(
            config.advantage,
            explored if config.switch_by == "explored" else progress,
            config.switch_at,
            [answer_entropy(found) for found in meanings],
            [0 < count < size for count in right],
            config.adaptive_share,
            [rollout.answer_type in config.guessable for rollout in rollouts[::size]],
        )
        weights = {name: weight_at(weight, progress) for name, weight in self.weights.items()}
        factors = None
        if config.diversity.combine == "multiply":
            factors, weights["diversity"] = (1.0 + rewards["diversity"]) / 2.0, 0.0
        components = component_advantages(rewards, size, scored, modes, config.k, factors)
        for name, share in shares.items():
            components[name] *= share
        advantages = combine(components, weights, config.batch_normalise)
        return Scored(rollouts, rewards, components, weights, advantages, meanings, scored, errors, modes)

    def _meanings(self, group: Sequence[Rollout], errors: list[str]) -> list[int]:
        """Cluster number of every response of a group; one for all where the user's similarity fails."""
        try:
            return clusters(group, self._similarity, self.config.diversity.above)
        except Exception as error:  # noqa: BLE001 - the user's; the group then has no diversity reward
            errors.append(f"diversity: {type(error).__name__}: {error}")
            return [0] * len(group)


def weight_at(weight: Weight, progress: float) -> float:
    """A weight's value at a point of training (`progress` in [0, 1])."""
    if not isinstance(weight, Ramp):
        return weight
    if progress >= weight.finish:
        return weight.end
    if progress <= weight.begin:
        return weight.start
    rise = (weight.end - weight.start) * (progress - weight.begin)
    return weight.start + rise / (weight.finish - weight.begin)


def metrics(
    scored: Scored, k: int, guards: Guards | None = None, judge: Judge | None = None
) -> dict[str, float]:
    """Figures of one batch for the log.

    pass@1, pass@k, distinct answers, lengths, tripped guards by kind, and of each component the mean raw
    reward (`reward_<name>`) and the mean size of its weighted advantage (`signal_<name>`).
    """
    tripped = Counter(guard(rollout, guards or Guards()) for rollout in scored.rollouts)
    judged = [rollout for rollout in scored.rollouts if rollout.quality is not None]
    if judge is not None and judged:
        gaming = Counter(gamed(rollout, judge.max_words) for rollout in judged)
    size, right = scored.group_size, scored.right
    figures: dict[str, Any] = {
        "pass_at_1": right.mean() / size,
        "pass_at_k": pass_at_k(size, right, k).mean(),
        "distinct_clusters": np.mean([len(set(group)) for group in scored.clusters]),
        "mixed_groups": np.mean((right > 0) & (right < size)),
        "response_tokens": np.mean([rollout.tokens for rollout in scored.rollouts]),
        "truncated": np.mean([rollout.truncated for rollout in scored.rollouts]),
        "answer_entropy": np.mean([answer_entropy(group) for group in scored.clusters]),
        "unscored": (~scored.scored).sum(),
        "exploring": np.mean([mode == "pass_at_k" for mode in scored.modes]) if scored.modes else 0.0,
    }
    figures |= {f"guard_{kind}": tripped[kind] / len(scored.rollouts) for kind in GUARDS}
    if judge is not None and judged:
        figures |= {f"guard_{kind}": gaming[kind] / len(judged) for kind in GAMING}
    for name, values in scored.rewards.items():
        valid = values[~np.isnan(values)]
        figures[f"reward_{name}"] = valid.mean() if len(valid) else math.nan
        figures[f"signal_{name}"] = np.abs(scored.weights[name] * scored.components[name]).mean()
    return {name: float(value) for name, value in figures.items()}


def _right_by_group(correctness: Floats, size: int) -> NDArray[np.int64]:
    return np.nan_to_num(correctness).reshape(-1, size).sum(axis=1).astype(np.int64)

"""Scores whole groups of rollouts: every component's raw reward, and from them one advantage a rollout."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.core import answers

from .advantage import Floats, answer_entropy, modes_at, pass_at_k
from .combine import combine, component_advantages
from .config import Config, Guards, Ramp
from .extra import ExtraRewards, load_function
from .rewards import Rollout
from .rewards.correctness import correctness
from .rewards.diversity import Similarity, answer_similarity, clusters, diversity, word_similarity
from .rewards.format import GUARDS, guard, well_formed
from .rewards.length import length, overlong
from .rewards.perception import perception


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
    """A batch of whole groups, scored."""

    rollouts: list[Rollout]
    rewards: dict[str, Floats]
    """Raw rewards by component, each (n,)."""
    components: dict[str, Floats]
    """Normalised advantages by component before weighting, each (n,)."""
    weights: dict[str, float]
    advantages: Floats
    clusters: list[list[int]]
    """Cluster number of every response, by group."""
    scored: NDArray[np.bool_]
    errors: list[str] = field(default_factory=list)

    @property
    def group_size(self) -> int:
        """Rollouts of one prompt."""
        return len(self.clusters[0])

    @property
    def success(self) -> dict[str, float]:
        """Share of right responses by prompt, over the prompts of this batch."""
        totals: dict[str, list[float]] = {}
        for rollout, right in zip(self.rollouts, self.rewards["correctness"], strict=True):
            totals.setdefault(rollout.prompt_id, []).append(0.0 if math.isnan(right) else float(right))
        return {prompt: float(np.mean(values)) for prompt, values in totals.items()}


def weight_at(weight: float | Ramp, progress: float) -> float:
    """A weight's value at a point of training (`progress` in [0, 1])."""
    if not isinstance(weight, Ramp):
        return weight
    if progress >= weight.finish:
        return weight.end
    if progress <= weight.begin:
        return weight.start
    return weight.start + (weight.end - weight.start) * (progress - weight.begin) / (
        weight.finish - weight.begin
    )


class Scorer:
    """Applies the settings' components. Holds no state: the same rollouts at the same step give the same advantages."""

    def __init__(self, config: Config) -> None:
        """Resolve the similarity and the user's functions.

        Raises:
            ConfigError: a function named in the settings cannot be loaded.
        """
        self.config = config
        self.extra = ExtraRewards(config.extra_rewards)
        self.settings: dict[str, float | Ramp] = {
            **{name: getattr(config.weights, name) for name in type(config.weights).model_fields},
            **{extra.name: extra.weight for extra in config.extra_rewards},
        }
        named: dict[str, Similarity] = {"answer": answer_similarity, "words": word_similarity}
        how = config.diversity.similarity
        self._similarity: Similarity = named.get(how) or load_function(
            how, "diversity.similarity", arguments=2
        )

    def singles(self, rollouts: Sequence[Rollout]) -> list[Single]:
        """Rewards that need one rollout alone; what raises is recorded with the rollout, never passed on."""
        config, guards = self.config, self.config.guards
        functions: dict[str, Callable[[Rollout], float]] = {
            "correctness": lambda r: correctness(r, guards.max_ngram_repeats, guards.ngram_words),
            "format": lambda r: well_formed(r, guards.max_ngram_repeats, guards.ngram_words),
            "overlong": lambda r: overlong(
                r.tokens, config.max_completion_tokens, config.overlong_cache_tokens
            ),
        }
        extra = self.extra.score(rollouts)
        result = []
        for index, rollout in enumerate(rollouts):
            rewards: dict[str, float] = {}
            errors: list[str] = []
            for name, function in functions.items():
                rewards[name] = _attempt(function, rollout, name, errors)
            seen = partial(_perception, right=rewards["correctness"])
            rewards["perception"] = _attempt(seen, rollout, "perception", errors)
            for name, scores in extra.items():
                rewards[name] = scores.values[index]
                if scores.failed[index]:
                    errors.append(f"{name}: {scores.first_error}")
            result.append(Single(rollout, rewards, tuple(errors)))
        return result

    def score(self, singles: Sequence[Single], progress: float) -> Scored:
        """Advantages of whole groups (`group_size` consecutive rollouts of one prompt each).

        Args:
            singles: of all processes, in order.
            progress: steps done / steps in all.
        """
        config, size = self.config, self.config.group_size
        rollouts = [single.rollout for single in singles]
        errors = [error for single in singles for error in single.errors]
        scored = np.array([not single.errors for single in singles], dtype=bool)
        names = [*singles[0].rewards]
        rewards: dict[str, Floats] = {
            n: np.array([s.rewards[n] for s in singles], dtype=np.float64) for n in names
        }
        rewards["length"], rewards["diversity"] = np.zeros(len(singles)), np.zeros(len(singles))
        cluster_of = []
        for start in range(0, len(singles), size):
            group = slice(start, start + size)
            right = [bool(value > 0.5) for value in rewards["correctness"][group]]
            rewards["length"][group] = length([r.tokens for r in rollouts[group]], right)
            try:
                found = clusters(rollouts[group], self._similarity, config.diversity.threshold)
            except Exception as error:  # noqa: BLE001 - the user's; the group then has no diversity reward
                errors.append(f"diversity: {type(error).__name__}: {error}")
                found = [0] * len(right)
            cluster_of.append(found)
            rewards["diversity"][group] = diversity(found, right)
        modes = modes_at(
            config.advantage,
            progress,
            config.switch_at,
            [answer_entropy(found) for found in cluster_of],
            [
                0 < right < size
                for right in np.nan_to_num(rewards["correctness"]).reshape(-1, size).sum(axis=1)
            ],
            config.adaptive_share,
        )
        components = component_advantages(rewards, size, scored, modes, config.k)
        weights = {name: weight_at(weight, progress) for name, weight in self.settings.items()}
        advantages = combine(components, weights, config.batch_normalise)
        return Scored(rollouts, rewards, components, weights, advantages, cluster_of, scored, errors)


def metrics(scored: Scored, k: int, guards: Guards | None = None) -> dict[str, float]:
    """What is shown of one batch: pass@1, pass@k, distinct answers, lengths, tripped guards by kind, and each component's
    raw mean."""
    limits = guards or Guards()
    tripped = Counter(guard(r, limits.max_ngram_repeats, limits.ngram_words) for r in scored.rollouts)
    size = scored.group_size
    right = np.nan_to_num(scored.rewards["correctness"]).reshape(-1, size).sum(axis=1).astype(int)
    result = {
        "pass_at_1": float(right.mean() / size),
        "pass_at_k": float(np.mean([pass_at_k(size, int(c), k) for c in right])),
        "distinct_clusters": float(np.mean([len(set(group)) for group in scored.clusters])),
        "mixed_groups": float(np.mean((right > 0) & (right < size))),
        "response_tokens": float(np.mean([rollout.tokens for rollout in scored.rollouts])),
        "truncated": float(np.mean([rollout.truncated for rollout in scored.rollouts])),
        "answer_entropy": float(np.mean([answer_entropy(group) for group in scored.clusters])),
        "unscored": float((~scored.scored).sum()),
    }
    result |= {f"guard_{kind}": tripped[kind] / len(scored.rollouts) for kind in GUARDS}
    for name, values in scored.rewards.items():
        valid = values[~np.isnan(values)]
        result[f"reward_{name}"] = float(valid.mean()) if len(valid) else math.nan
        result[f"signal_{name}"] = float(np.abs(scored.weights[name] * scored.components[name]).mean())
    return result


def make_rollout(
    prompt: Mapping[str, Any], response: str, token_ids: Sequence[int], end_tokens: frozenset[int]
) -> Rollout:
    """A rollout from a row of the training set and a generated response."""
    answer_type: answers.AnswerType = prompt["answer_type"]
    choices = tuple(str(choice) for choice in (prompt["choices"] or ()))
    blank = prompt.get("blank_answer")
    return Rollout(
        prompt_id=str(prompt["prompt_id"]),
        image_id=str(prompt["image_id"]),
        question=str(prompt["question"]),
        reference=str(prompt["reference"]),
        answer_type=answer_type,
        choices=choices,
        response=response,
        answer=answers.extract(response, answer_type, choices),
        tokens=len(token_ids),
        truncated=not token_ids or token_ids[-1] not in end_tokens,
        blank_answer=None if blank is None else str(blank),
    )


def _perception(rollout: Rollout, right: float) -> float:
    if rollout.blank_answer is None:
        return math.nan
    same = bool(rollout.blank_answer) and answers.agree(
        rollout.answer,
        rollout.blank_answer,
        rollout.answer_type,
        rollout.choices,
    )
    return perception(right > 0.5, same)


def _attempt(function: Callable[[Rollout], float], rollout: Rollout, name: str, errors: list[str]) -> float:
    try:
        return function(rollout)
    except Exception as error:  # noqa: BLE001 - one odd response must not end a run; it is counted
        errors.append(f"{name}: {type(error).__name__}: {error}")
        return math.nan

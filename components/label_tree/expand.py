"""Growing the tree level by level, round by round. Pure given the two functions that ask and embed.

MindGPT-4ov (arXiv 2512.02895): experts write the first level, a model proposes the second and third. How often a
parent is asked and when a branch stops are choices of this implementation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from pydantic import BaseModel

from components.label_tree.tree import Merge, Topic, Vectors, merge, propose


class TopicChild(BaseModel):
    """A proposed topic."""

    name: str
    description: str


class TopicChildren(BaseModel):
    """The model's answer when it is asked for the children of a topic."""

    children: list[TopicChild]


@dataclass(frozen=True)
class Branch:
    """A parent that is asked for children, with what the model should see of the tree around it."""

    parent: Topic
    siblings: tuple[Topic, ...]
    children: tuple[Topic, ...]
    wanted: int
    round: int


@dataclass(frozen=True)
class Limits:
    """When to stop: children of a parent by the children's level, rounds, share of new topics; what is a duplicate."""

    max_children: dict[int, int]
    rounds: int
    min_new_share: float
    merge_similarity: float


@dataclass(frozen=True)
class Round:
    """What one round on one level brought; proposed = new + merged + the nameless."""

    level: int
    round: int
    asked: int
    failed: int
    proposed: int
    new: int


@dataclass
class Growth:
    """The grown tree (`vectors`: (len(topics), d) unit vectors) and how it came to be."""

    topics: list[Topic]
    vectors: Vectors
    merges: list[Merge] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)


Ask = Callable[[Sequence[Branch]], Sequence[TopicChildren | None]]
Embed = Callable[[Sequence[str]], Vectors]


def grow(planted: Sequence[Topic], limits: Limits, ask: Ask, embed: Embed) -> Growth:
    """Grow the second and then the third level under `planted`.

    Each round asks all branches still open together, then merges their proposals in the parents' order, so the result
    depends on the answers alone and not on which of them arrived first. A branch closes when its budget is full, when
    its answer was unusable, or when less than `min_new_share` of what it proposed was new.

    Args:
        planted: the experts' topics, parents first.
        limits: see `Limits`.
        ask: branches -> an answer each, None where the model gave none that could be used.
        embed: texts -> (n, d) unit vectors.
    """
    growth = Growth(list(planted), embed([topic.text for topic in planted]))
    for level in (2, 3):
        open_parents = [topic for topic in growth.topics if topic.level == level - 1]
        for number in range(limits.rounds):
            branches = _branches(growth.topics, open_parents, limits.max_children[level], number)
            if not branches:
                break
            open_parents = _round(growth, branches, ask(branches), limits, embed, level, number)
    return growth


def _branches(topics: Sequence[Topic], parents: Sequence[Topic], budget: int, number: int) -> list[Branch]:
    children: dict[str, list[Topic]] = {}
    for topic in topics:
        # Siblings of a first-level topic are those of its own dimension.
        children.setdefault(topic.parent_id or topic.dimension, []).append(topic)
    branches = []
    for parent in parents:
        own = tuple(children.get(parent.topic_id, ()))
        siblings = tuple(t for t in children[parent.parent_id or parent.dimension] if t != parent)
        if len(own) < budget:
            branches.append(Branch(parent, siblings, own, budget - len(own), number))
    return branches


def _round(
    growth: Growth,
    branches: Sequence[Branch],
    answers: Sequence[TopicChildren | None],
    limits: Limits,
    embed: Embed,
    level: int,
    number: int,
) -> list[Topic]:
    """Add one round's new topics to `growth`; return the parents whose branches stay open."""
    candidates: list[Topic] = []
    owner: list[int] = []
    proposed = [0] * len(branches)
    for index, (branch, answer) in enumerate(zip(branches, answers, strict=True)):
        for child in (answer.children if answer else [])[: branch.wanted]:
            proposed[index] += 1
            topic = propose(branch.parent, child.name, child.description)
            if topic is not None:
                candidates.append(topic)
                owner.append(index)
    new = [0] * len(branches)
    if candidates:
        vectors = embed([topic.text for topic in candidates])
        accepted, merges = merge(growth.topics, growth.vectors, candidates, vectors, limits.merge_similarity)
        growth.topics.extend(candidates[index] for index in accepted)
        growth.vectors = np.concatenate([growth.vectors, vectors[accepted]])
        growth.merges.extend(merges)
        for index in accepted:
            new[owner[index]] += 1
    failed = sum(answer is None for answer in answers)
    growth.rounds.append(Round(level, number, len(branches), failed, sum(proposed), sum(new)))
    return [
        branch.parent
        for branch, count, fresh in zip(branches, proposed, new, strict=True)
        if count and fresh / count >= limits.min_new_share
    ]

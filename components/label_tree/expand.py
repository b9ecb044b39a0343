"""Growing the tree level by level, round by round. Pure given the two functions that ask and embed.

MindGPT-4ov (arXiv 2512.02895): experts write the first level, a model proposes the second and third. How often a
parent is asked and when a branch stops are choices of this implementation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from pydantic import BaseModel

from components.label_tree.edits import Edits, path_key
from components.label_tree.names import MAX_NAME_CHARS, clean_text
from components.label_tree.previous import Embed, Start
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
    """What one round on one level brought; proposed = new + refused."""

    level: int
    round: int
    asked: int
    failed: int
    proposed: int
    new: int


@dataclass(frozen=True)
class Refused:
    """A proposal that did not become a topic.

    `reason` is one of `REASONS`; `into` is the topic it was taken for, at this cosine, where there is one.
    """

    parent: Topic
    name: str
    reason: str
    into: Topic | None = None
    similarity: float = 0.0


# Why a proposal is refused; the list is closed.
REASONS = ("no_name", "over_budget", "removed_by_expert", "same_name", "near_duplicate")


@dataclass
class Growth:
    """The grown tree (`vectors`: (len(topics), d) unit vectors) and how it came to be."""

    topics: list[Topic]
    vectors: Vectors
    refused: list[Refused] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)

    @property
    def merges(self) -> list[Refused]:
        """The proposals that were taken for a topic of the tree."""
        return [refused for refused in self.refused if refused.reason in ("same_name", "near_duplicate")]


Ask = Callable[[Sequence[Branch]], Sequence[TopicChildren | None]]


def grow(start: Start, limits: Limits, ask: Ask, embed: Embed, edits: Edits | None = None) -> Growth:
    """Grow the second and then the third level under the topics of `start` that are not settled.

    Each round asks all branches still open together, then merges their proposals in the parents' order, so the result
    depends on the answers alone and not on which of them arrived first. A branch closes when its budget is full, when
    its answer was unusable, or when less than `min_new_share` of what it proposed was new.

    Args:
        start: the topics there are, parents first, and which of them keep their children as they are.
        limits: see `Limits`.
        ask: branches -> an answer each, None where the model gave none that could be used.
        embed: texts -> (n, d) unit vectors.
        edits: experts' changes, which proposals are subject to as well.
    """
    edits = edits or Edits()
    graves = _graves(start, edits)
    growth = Growth(list(start.topics), embed([topic.text for topic in start.topics]))
    soil = _Soil(edits, graves, embed([topic.text for topic in graves]) if graves else growth.vectors[:0])
    for level in (2, 3):
        open_parents = [t for t in growth.topics if t.level == level - 1 and t.topic_id not in start.settled]
        for number in range(limits.rounds):
            branches = _branches(growth.topics, open_parents, limits.max_children[level], number)
            if not branches:
                break
            open_parents = _round(growth, soil, branches, ask(branches), limits, embed, level, number)
    return growth


def _graves(start: Start, edits: Edits) -> list[Topic]:
    """The removed topics, described as in their edits or else as in the earlier tree."""
    known = {path_key(edits.new_path(left.topic.path)): left.topic.description for left in start.left}
    return [
        Topic(path, edits.sources[key].description or known.get(path_key(path), ""), "", "expert")
        for key, path in edits.removed()
    ]


@dataclass(frozen=True)
class _Soil:
    """What experts decided about proposals: their edits, and removed topics that attract near-duplicates."""

    edits: Edits
    graves: list[Topic]
    grave_vectors: Vectors


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
    soil: _Soil,
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
        for place, child in enumerate(answer.children if answer else []):
            proposed[index] += 1
            reason, topic = "over_budget", None
            if place < branch.wanted:
                reason, topic = _read(branch.parent, child, soil.edits)
            if topic is None:
                name = clean_text(child.name, MAX_NAME_CHARS)
                growth.refused.append(Refused(branch.parent, name, reason))
            else:
                candidates.append(topic)
                owner.append(index)
    new = [0] * len(branches)
    if candidates:
        vectors = embed([topic.text for topic in candidates])
        accepted, merges = merge(
            [*growth.topics, *soil.graves],
            np.concatenate([growth.vectors, soil.grave_vectors]),
            candidates,
            vectors,
            limits.merge_similarity,
        )
        parents = {branch.parent.topic_id: branch.parent for branch in branches}
        growth.topics.extend(candidates[index] for index in accepted)
        growth.vectors = np.concatenate([growth.vectors, vectors[accepted]])
        growth.refused.extend(_refused(m, parents[m.dropped.parent_id], soil) for m in merges)
        for index in accepted:
            new[owner[index]] += 1
    failed = sum(answer is None for answer in answers)
    growth.rounds.append(Round(level, number, len(branches), failed, sum(proposed), sum(new)))
    considered = [min(count, branch.wanted) for count, branch in zip(proposed, branches, strict=True)]
    return [
        branch.parent
        for branch, count, fresh in zip(branches, considered, new, strict=True)
        if count and fresh / count >= limits.min_new_share
    ]


def _read(parent: Topic, child: TopicChild, edits: Edits) -> tuple[str, Topic | None]:
    """A proposal as a topic after the experts' edits, or the reason why it is none."""
    topic = propose(parent, child.name, child.description)
    if topic is None:
        return "no_name", None
    edited = edits.apply(topic.path, topic.description)
    if edited is None:
        return "removed_by_expert", None
    return "", replace(topic, path=edited[0], description=edited[1])


def _refused(merged: Merge, parent: Topic, soil: _Soil) -> Refused:
    dropped, into = merged.dropped, merged.into
    if into in soil.graves:
        reason = "removed_by_expert"
    else:
        reason = "same_name" if into.topic_id == dropped.topic_id else "near_duplicate"
    return Refused(parent, dropped.name, reason, into, merged.similarity)

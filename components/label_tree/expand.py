"""Label-tree expansion, level by level and round by round. Pure given the two functions that ask and embed.

After MindGPT-4ov (arXiv 2512.02895): experts write the first level, a model proposes the second and third.
How often a parent is asked and when a branch stops are choices of this implementation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from pydantic import BaseModel, Field

from components.label_tree.edits import Edits, path_key
from components.label_tree.names import MAX_NAME_CHARS, clean_text
from components.label_tree.previous import Embed, Start
from components.label_tree.tree import Topic, Vectors, merge, propose


class TopicChild(BaseModel):
    """A proposed topic."""

    name: str = Field(max_length=500)
    description: str = Field(max_length=4000)


class TopicChildren(BaseModel):
    """The model's answer when it is asked for the children of a topic."""

    children: list[TopicChild] = Field(max_length=1000)


@dataclass(frozen=True)
class Branch:
    """A parent that is asked for children, with the topics around it that the model should see."""

    parent: Topic
    siblings: tuple[Topic, ...]
    children: tuple[Topic, ...]
    wanted: int
    round: int


@dataclass(frozen=True)
class GrowthLimits:
    """When to stop: children a parent by their level, rounds, share of new topics, cosine of duplicates."""

    max_children: dict[int, int]
    rounds: int
    min_new_share: float
    merge_similarity: float


@dataclass(frozen=True)
class Round:
    """Counts of one round on one level; proposed = new + refused."""

    level: int
    round: int
    asked: int
    failed: int
    proposed: int
    new: int


@dataclass(frozen=True)
class RefusedProposal:
    """A proposal that became no topic: one of `REASONS`, and the topic it was taken for, with the cosine."""

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
    refused: list[RefusedProposal] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)

    @property
    def merges(self) -> list[RefusedProposal]:
        """The proposals that were taken for a topic of the tree."""
        return [refused for refused in self.refused if refused.reason in ("same_name", "near_duplicate")]


Ask = Callable[[Sequence[Branch]], Sequence[TopicChildren | None]]


def grow(start: Start, limits: GrowthLimits, ask: Ask, embed: Embed, edits: Edits | None = None) -> Growth:
    """Grow the second and then the third level under the topics of `start` that are not settled.

    Each round asks all branches still open together, then merges their proposals in the parents' order. So
    the result depends on the answers alone and not on which of them arrived first. A branch closes when its
    budget is full, when its answer was unusable, or when less than `min_new_share` of its proposals was new.

    Args:
        start: the topics there are, and which of them keep their children as they are.
        limits: when to stop.
        ask: branches -> an answer each, None where the model gave none that could be used.
        embed: texts -> (n, d) unit vectors.
        edits: experts' changes, which apply to proposals as well.
    """
    grower = _Grower(start, limits, embed, edits or Edits())
    topics = grower.growth.topics
    for level in (2, 3):
        open_parents = [t for t in topics if t.level == level - 1 and t.topic_id not in start.settled]
        for number in range(limits.rounds):
            branches = _branches(topics, open_parents, limits.max_children[level], number)
            if not branches:
                break
            open_parents = grower.add(branches, ask(branches))
    return grower.growth


def _branches(topics: Sequence[Topic], parents: Sequence[Topic], budget: int, number: int) -> list[Branch]:
    """The branches of those parents whose budget is not full."""
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


class _Grower:
    """Reads and merges proposals; topics that experts removed attract their near-duplicates."""

    def __init__(self, start: Start, limits: GrowthLimits, embed: Embed, edits: Edits) -> None:
        self.growth = Growth(list(start.topics), embed([topic.text for topic in start.topics]))
        self._limits, self._embed, self._edits = limits, embed, edits
        # Removed topics are described as in their edits or else as in the earlier tree.
        known = {path_key(edits.new_path(left.topic.path)): left.topic.description for left in start.left}
        self._removed = [
            Topic(path, edits.sources[key].description or known.get(path_key(path), ""), "", "expert")
            for key, path in edits.removed()
        ]
        texts = [topic.text for topic in self._removed]
        self._removed_vectors = embed(texts) if texts else self.growth.vectors[:0]

    def add(self, branches: Sequence[Branch], answers: Sequence[TopicChildren | None]) -> list[Topic]:
        """Add one round's new topics to the growth; returns the parents whose branches stay open."""
        proposals = [answer.children if answer else [] for answer in answers]
        candidates = []
        for branch, children in zip(branches, proposals, strict=True):
            for place, child in enumerate(children):
                topic = self._read(branch, place, child)
                if isinstance(topic, Topic):
                    candidates.append(topic)
                else:
                    name = clean_text(child.name, MAX_NAME_CHARS)
                    self.growth.refused.append(RefusedProposal(branch.parent, name, reason=topic))
        parents = {branch.parent.topic_id: branch.parent for branch in branches}
        new = Counter(topic.parent_id for topic in self._merge(candidates, parents))
        failed, proposed = sum(answer is None for answer in answers), sum(map(len, proposals))
        level, number = branches[0].parent.level + 1, branches[0].round
        self.growth.rounds.append(Round(level, number, len(branches), failed, proposed, new.total()))
        open_parents = []
        for branch, children in zip(branches, proposals, strict=True):
            considered = min(len(children), branch.wanted)
            if considered and new[branch.parent.topic_id] / considered >= self._limits.min_new_share:
                open_parents.append(branch.parent)
        return open_parents

    def _read(self, branch: Branch, place: int, child: TopicChild) -> Topic | str:
        """A proposal as a topic after the experts' edits, or the reason why it is none."""
        if place >= branch.wanted:
            return "over_budget"
        topic = propose(branch.parent, child.name, child.description)
        if topic is None:
            return "no_name"
        edited = self._edits.apply(topic.path, topic.description)
        return replace(topic, path=edited[0], description=edited[1]) if edited else "removed_by_expert"

    def _merge(self, candidates: Sequence[Topic], parents: dict[str, Topic]) -> list[Topic]:
        """Add the candidates that are new to the growth and return them; the others are refused."""
        if not candidates:
            return []
        growth = self.growth
        vectors = self._embed([topic.text for topic in candidates])
        tree_vectors = np.concatenate([growth.vectors, self._removed_vectors])
        tree, threshold = [*growth.topics, *self._removed], self._limits.merge_similarity
        accepted, merges = merge(tree, tree_vectors, candidates, vectors, threshold)
        growth.topics.extend(candidates[index] for index in accepted)
        growth.vectors = np.concatenate([growth.vectors, vectors[accepted]])
        for merged in merges:
            dropped, into = merged.dropped, merged.into
            reason = "same_name" if into.topic_id == dropped.topic_id else "near_duplicate"
            if into in self._removed:
                reason = "removed_by_expert"
            parent = parents[dropped.parent_id]
            growth.refused.append(RefusedProposal(parent, dropped.name, reason, into, merged.similarity))
        return [candidates[index] for index in accepted]

"""Going on from an earlier tree: which topics stay, and which parents need not be asked again. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from components.label_tree.edits import Edits, Key, path_key, split_path
from components.label_tree.tree import Topic, Vectors, most_similar

_SAME_EMBEDDER = 0.99  # cosine of two embeddings of one text; servers differ by their rounding only
_PROBED_TEXTS = 4

Embed = Callable[[Sequence[str]], Vectors]


@dataclass(frozen=True)
class Left:
    """A topic of the earlier tree that is not in the new one, and why (see `carry_over`)."""

    topic: Topic
    reason: str


@dataclass(frozen=True)
class Start:
    """The topics that a tree grows from, parents first.

    `earlier` holds the ids of those that the earlier tree had, `settled` those of them that keep their
    children as they are. `left` lists the topics of the earlier tree that this one has not.
    """

    topics: list[Topic]
    earlier: frozenset[str] = frozenset()
    settled: frozenset[str] = frozenset()
    left: list[Left] = field(default_factory=list)


def read_tree(table: pa.Table) -> tuple[list[Topic], Vectors]:
    """Topics of a `label_tree` table, and their embeddings as (rows, d) float32.

    Raises:
        ValueError: embeddings differ in length.
    """
    topics = [
        Topic(tuple(row["path"]), row["description"], row["dimension"], row["origin"])
        for row in table.select(["path", "description", "dimension", "origin"]).to_pylist()
    ]
    embeddings = table.column("embedding").combine_chunks()
    lengths = set(embeddings.value_lengths().to_pylist())
    if len(lengths) > 1:
        raise ValueError(f"embeddings have different lengths: {sorted(lengths)}")
    vectors = embeddings.flatten().to_numpy(zero_copy_only=False).reshape(len(topics), -1)
    return topics, vectors


def carry_over(
    planted: Sequence[Topic], earlier: Sequence[Topic], edits: Edits, regrow: Iterable[str] = ()
) -> Start:
    """Join the experts' topics with those of an earlier tree.

    A topic stays under its parent's present name, or it is left out with everything below it as
    `parent_left`. An edit leaves it out as `removed`, or as `joined` where it gives another topic's name: the
    children go there. `not_in_experts` is a topic that an expert wrote then and does not now.

    Args:
        planted: the experts' topics; where an earlier topic has the same path, this one counts.
        earlier: the earlier tree, in any order, before the edits.
        edits: experts' edits.
        regrow: written paths of topics that are asked again, with everything below them.

    Raises:
        ValueError: a path of `regrow` is not in the earlier tree.
    """
    topics = list(planted)
    present = {topic.topic_id for topic in planted}
    kept: set[str] = set()
    left: list[Left] = []
    for old in sorted(earlier, key=lambda topic: topic.level):  # parents first, otherwise as they were
        edited = edits.apply(old.path, old.description)
        if edited is None:
            left.append(Left(old, "removed"))
            continue
        topic = Topic(edited[0], edited[1], old.dimension, old.origin)
        if topic.topic_id in present:
            if topic.topic_id in kept:
                left.append(Left(old, "joined"))
        elif topic.origin == "expert":
            left.append(Left(old, "not_in_experts"))
            continue
        elif topic.parent_id not in present:
            left.append(Left(old, "parent_left"))
            continue
        else:
            topics.append(topic)
            present.add(topic.topic_id)
        kept.add(topic.topic_id)
    keys = {path_key(topic.path) for topic in topics if topic.topic_id in kept}
    reopened = [_known(path, keys, edits) for path in regrow]

    def reopens(key: Key) -> bool:
        return any(key[: len(root)] == root for root in reopened)

    settled = {t.topic_id for t in topics if t.topic_id in kept and not reopens(path_key(t.path))}
    return Start(topics, frozenset(kept), frozenset(settled), left)


def _known(path: str, keys: set[Key], edits: Edits) -> Key:
    key = path_key(edits.new_path(split_path(path)))
    if key not in keys:
        raise ValueError(f"regrow: '{path}' is not in the previous tree")
    return key


def lookalikes(
    start: Start, planted: int, vectors: Vectors, threshold: float
) -> list[tuple[Topic, Topic, float]]:
    """New topics of experts, each with the topic of the earlier tree that it resembles, and the cosine.

    Neither is merged: an expert's topic never is, and an earlier topic stays until an expert removes it. The
    first `planted` of the topics are the experts'.

    Args:
        vectors: (at least len(start.topics), d) unit vectors, in their order.
        threshold: cosine from which two topics are named.
    """
    new = [row for row in range(planted) if start.topics[row].topic_id not in start.earlier]
    best, where = most_similar(vectors[new], vectors[planted : len(start.topics)])
    return [
        (start.topics[row], start.topics[planted + int(near)], float(cosine))
        for row, cosine, near in zip(new, best, where, strict=True)
        if cosine >= threshold
    ]


class KnownVectors:
    """Embeds texts, taking the vectors of texts that the earlier tree embedded from there."""

    def __init__(self, embed: Embed, texts: Sequence[str], vectors: Vectors) -> None:
        self._embed, self._width = embed, vectors.shape[1]
        self._known = dict(zip(texts, vectors, strict=True))

    @property
    def same_embedder(self) -> bool:
        """Whether the embedder gives a few of the known texts the vectors that they have; asks it."""
        texts = list(self._known)[:_PROBED_TEXTS]
        known, fresh = np.array([self._known[text] for text in texts]), self._embed(texts)
        return fresh.shape == known.shape and bool((np.sum(fresh * known, axis=1) >= _SAME_EMBEDDER).all())

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """(len(texts), d) unit vectors."""
        missing = list(dict.fromkeys(text for text in texts if text not in self._known))
        fresh = dict(zip(missing, self._embed(missing), strict=True)) if missing else {}
        rows = [self._known[text] if text in self._known else fresh[text] for text in texts]
        return np.array(rows, np.float32).reshape(len(texts), self._width)

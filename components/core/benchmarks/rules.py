"""Types of a benchmark kind: the question that is asked (`Item`), its score, the kind's rules (`Rules`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from components.core.answers import Question
from components.core.benchmarks.base import BenchmarkItem

Role = Literal["domain", "general", "hallucination"]
"""Meaning of a benchmark's score: domain accuracy, general accuracy, or probes about absent objects."""

Form = Literal["", "integer", "float", "text", "list", "formula"]
"""Form of the reference, of kinds mathvista and mathvision."""


@dataclass(frozen=True, kw_only=True)
class Item(Question):
    """One question of an evaluation; it may hold placeholders ``<image 1>`` … where its pictures belong."""

    benchmark: str
    role: Role
    kind: str
    item_id: str
    """Unique in its benchmark; a rotation made here is ``<index>@<shift>``."""
    image_group: str
    """Items about one picture share it: the cluster of the bootstrap."""
    category: str
    pictures: tuple[tuple[int, object], ...]
    """Places of its pictures: number of the source, and place there."""
    pixels: int
    """Width times height summed over its pictures: with the text it decides how long the prompt is."""
    group: str = ""
    """Items that count only together, the rotations of a circular item; its own id elsewhere."""
    hint: str = ""
    form: Form = ""
    precision: int = -1
    """Decimals that the question asks for; -1 where it asks for none."""
    unit: str = ""
    grid: tuple[int, float] | None = None
    """Length and depth of a needle."""


ReadBy = Literal["exact", "rules", "judge", "none"]
"""exact: the response is its answer or marks it; rules: found in running text; judge: a model read it."""


class Scored(NamedTuple):
    """A response's extracted answer, how it was found, and its score in [0, 1]."""

    extracted: str
    stage: ReadBy
    score: float


UNREAD = Scored("", "none", 0.0)
"""A response in which no answer was found is wrong."""


@dataclass(frozen=True)
class Rules:
    """A kind of benchmark: how a row becomes an item, how it is asked, and how a response is scored."""

    build: Callable[[Item, BenchmarkItem], Item]
    """Completes an item that lacks only the parts of its kind; ValueError says why a row is unusable."""
    prompts: Mapping[str, str]
    """Prompt templates (Jinja) by name: that of the item's answer type if it is there, else the only one."""
    score: Callable[[str, Item], Scored]
    """Scores a response by rule; `UNREAD` where it finds no answer."""
    judge: Literal["", "reads", "decides"] = "reads"
    """Task of a judge on an unread response: none, find the answer for `score`, or decide if it is right."""
    rotates: bool = False
    """Whether an item is asked in every rotation of its options."""
    names: str = ""
    """Pattern in the names of benchmarks of this kind, written in lower-case letters and digits alone."""
    rank: int = 0
    """Where the patterns of several kinds match, the lowest rank counts."""
    fits: Callable[[Sequence[BenchmarkItem]], bool] = lambda items: True
    """Whether items have what the kind needs: a dataset called `my-pope` may hold other questions."""

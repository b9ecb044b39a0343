"""Topics: a fixed small ontology for growing a label tree, and which topics fit a picture or a question."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from demo.teachers.replies.noise import words_of
from demo.teachers.replies.parse import Line
from demo.world.questions import TruthQA

ONTOLOGY_FILE = Path(__file__).with_name("ontology.yaml")
_WORD = re.compile(r"[a-z]+")
_MIN_SCORE = 2.0
_STOP = words_of("a an and any are for from how in is it of on one or that the to what which with")


class Ontology:
    """Children of topics by the words in a topic's name; facets of the name itself where no entry fits."""

    def __init__(self, path: Path = ONTOLOGY_FILE) -> None:
        data: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        self._entries: list[tuple[frozenset[str], list[dict[str, str]]]] = [
            (_stems(" ".join(entry["words"])), _children(entry["children"])) for entry in data["topics"]
        ]
        self._facets = [(name, text) for facet in data["facets"] for name, text in facet.items()]

    def children(self, path: Sequence[str]) -> list[dict[str, str]]:
        """New topics below `path`: of the entry that shares most words with its name, else its facets."""
        if not path:
            return []
        words, above = _stems(path[-1]), {part.casefold() for part in path}
        # The entry that a topic comes from holds its siblings, not its children.
        others = [
            (own, below) for own, below in self._entries if path[-1] not in {child["name"] for child in below}
        ]
        shared, children = max(others, key=lambda entry: len(entry[0] & words))
        if shared & words:
            return [child for child in children if child["name"].casefold() not in above]
        name = path[-1]
        return [
            {"name": facet.format(name), "description": text.format(name)} for facet, text in self._facets
        ]


def _children(entries: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "description": text} for entry in entries for name, text in entry.items()]


def _stems(text: str) -> frozenset[str]:
    """Words without plural endings, "-ing" and stop words: enough to compare short topic names."""
    found = (word for word in _WORD.findall(text.lower()) if word not in _STOP)
    return frozenset(re.sub(r"(?<=[a-z]{3})(?:ings?|es|s)$", "", word).rstrip("e") for word in found)


def match_topics(candidates: Sequence[Line], words: frozenset[str]) -> list[tuple[int, float]]:
    """(index, score of 0 to 10) of the candidates whose words fit, best first.

    A candidate is "path > name", perhaps with ": description"; the name counts most.
    """
    known = _stems(" ".join(words))
    scored = []
    for line in candidates:
        title, _, description = line.text.partition(": ")
        name = _stems(title.split(" > ")[-1])
        rest = _stems(f"{title} {description}")
        if not name:
            continue
        score = 7 * len(name & known) / len(name) + 3 * len(rest & known) / len(rest)
        if score >= _MIN_SCORE and name & known:
            scored.append((line.index, round(score, 1)))
    return sorted(scored, key=lambda pair: (-pair[1], pair[0]))


def topic_number(qa: TruthQA, topics: Sequence[tuple[int, str]]) -> int:
    """The listed topic that shares most words with a question, 0 if none does."""
    words = _stems(" ".join((qa.question, qa.kind.replace("_", " "), *qa.skills, *qa.objects)))
    shared = [(len(words & _stems(text)), -index) for index, text in topics]
    best = max(shared, default=(0, 0))
    return -best[1] if best[0] else 0

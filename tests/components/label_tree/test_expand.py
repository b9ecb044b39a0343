from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from components.label_tree.config import ExpertChild, ExpertLabel
from components.label_tree.expand import Branch, Limits, TopicChild, TopicChildren, grow
from components.label_tree.tree import plant

EXPERTS = [
    ExpertLabel(name="Gauges", dimension="domain", children=(ExpertChild(name="Fuel"),)),
    ExpertLabel(name="Lights", dimension="domain"),
    ExpertLabel(name="Counting", dimension="capability"),
]
LIMITS = Limits({2: 3, 3: 2}, rounds=2, min_new_share=0.1, merge_similarity=0.92)


def children(*names: str) -> TopicChildren:
    return TopicChildren(children=[TopicChild(name=name, description="") for name in names])


class Teacher:
    """Answers every branch with what `say` makes of it, and remembers what it was asked."""

    def __init__(self, say) -> None:
        self.say = say
        self.asked: list[Branch] = []

    def __call__(self, branches: Sequence[Branch]) -> list[TopicChildren | None]:
        self.asked.extend(branches)
        return [self.say(branch) for branch in branches]


def numbered(branch: Branch) -> TopicChildren:
    stem = branch.parent.name.lower()
    return children(*[f"{stem} {branch.round}{index}" for index in range(branch.wanted)])


def one_axis_each(texts: Sequence[str], seen: dict[str, int]) -> np.ndarray:
    matrix = np.zeros((len(texts), 256), np.float32)
    for row, text in enumerate(texts):
        matrix[row, seen.setdefault(text, len(seen))] = 1
    return matrix


def grown(say, limits: Limits = LIMITS):
    seen: dict[str, int] = {}
    teacher = Teacher(say)
    return grow(plant(EXPERTS), limits, teacher, lambda texts: one_axis_each(texts, seen)), teacher


def test_a_tree_fills_to_its_budgets() -> None:
    growth, teacher = grown(numbered)
    levels = [topic.level for topic in growth.topics]
    # 3 experts; 3 second-level topics under each, the expert's own included; 2 third-level under each of those.
    assert [levels.count(level) for level in (1, 2, 3)] == [3, 9, 18]
    assert growth.vectors.shape == (30, 256)
    assert [r.round for r in growth.rounds] == [0, 0]
    first = teacher.asked[0]
    assert (first.parent.name, first.wanted) == ("Gauges", 2)
    assert [t.name for t in first.children] == ["Fuel"]
    assert [t.name for t in first.siblings] == ["Lights"], "siblings are of the same dimension"


def test_a_branch_stops_when_a_round_brings_too_little_that_is_new() -> None:
    limits = Limits({2: 9, 3: 0}, rounds=5, min_new_share=0.5, merge_similarity=0.92)

    def say(branch: Branch) -> TopicChildren:
        # "Lights" brings one new topic in three (1/3 < 0.5), the others only new ones, two a round.
        stem = branch.parent.name
        if stem == "Lights":
            return children("red", "Red", "RED")
        return children(f"{stem} a{branch.round}", f"{stem} b{branch.round}")

    growth, teacher = grown(say, limits)
    rounds_asked = {
        name: [b.round for b in teacher.asked if b.parent.name == name] for name in ("Gauges", "Lights")
    }
    # Gauges holds its expert's child, then 3, 5, 7, 9 children: full after four rounds.
    assert rounds_asked == {"Gauges": [0, 1, 2, 3], "Lights": [0]}
    assert len(growth.merges) == 2
    assert growth.rounds[0].new == 2 + 1 + 2


def test_an_unusable_answer_closes_its_branch_only() -> None:
    growth, teacher = grown(lambda b: None if b.parent.name == "Lights" else numbered(b))
    assert not [t for t in growth.topics if t.path[0] == "Lights" and t.level > 1]
    assert sum(r.failed for r in growth.rounds) == 1
    assert [b.parent.name for b in teacher.asked].count("Lights") == 1


def test_experts_topics_are_never_merged_away() -> None:
    everything_is_the_same = lambda texts: np.ones((len(texts), 1), np.float32)  # noqa: E731
    growth = grow(plant(EXPERTS), LIMITS, Teacher(numbered), everything_is_the_same)
    assert [t.origin for t in growth.topics] == ["expert"] * 4


@given(
    st.lists(st.lists(st.sampled_from(["a", "A!", "b", "c", "d", "?"]), max_size=6), min_size=1, max_size=12)
)
def test_whatever_a_model_says_the_tree_is_sound(script: list[list[str]]) -> None:
    answers = iter(script)
    growth, _ = grown(lambda branch: children(*next(answers, [])))
    ids = [topic.topic_id for topic in growth.topics]
    assert len(set(ids)) == len(ids)
    for position, topic in enumerate(growth.topics):
        assert topic.parent_id == "" or topic.parent_id in ids[:position]
    for topic in growth.topics:
        count = sum(other.parent_id == topic.topic_id for other in growth.topics)
        assert count <= LIMITS.max_children.get(topic.level + 1, 0)
    for r in growth.rounds:
        assert 0 <= r.new <= r.proposed

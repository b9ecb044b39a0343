from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from components.label_tree.config import ExpertChild, ExpertLabel
from components.label_tree.edits import Edit, Edits
from components.label_tree.expand import REASONS, Branch, GrowthLimits, TopicChild, TopicChildren, grow
from components.label_tree.previous import Start
from components.label_tree.tree import plant

EXPERTS = [
    ExpertLabel(name="Gauges", dimension="domain", children=(ExpertChild(name="Fuel"),)),
    ExpertLabel(name="Lights", dimension="domain"),
    ExpertLabel(name="Counting", dimension="capability"),
]
LIMITS = GrowthLimits({2: 3, 3: 2}, rounds=2, min_new_share=0.1, merge_similarity=0.92)


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


def grown(say, limits: GrowthLimits = LIMITS):
    seen: dict[str, int] = {}
    teacher = Teacher(say)
    return grow(Start(plant(EXPERTS)), limits, teacher, lambda texts: one_axis_each(texts, seen)), teacher


def test_a_tree_fills_to_its_budgets() -> None:
    growth, teacher = grown(numbered)
    levels = [topic.level for topic in growth.topics]
    # 3 experts; 3 second-level topics under each, the expert's own included; 2 third-level under each of
    # those.
    assert [levels.count(level) for level in (1, 2, 3)] == [3, 9, 18]
    assert growth.vectors.shape == (30, 256)
    assert [r.round for r in growth.rounds] == [0, 0]
    first = teacher.asked[0]
    assert (first.parent.name, first.wanted) == ("Gauges", 2)
    assert [t.name for t in first.children] == ["Fuel"]
    assert [t.name for t in first.siblings] == ["Lights"], "siblings are of the same dimension"


def test_a_branch_stops_when_a_round_brings_too_little_that_is_new() -> None:
    limits = GrowthLimits({2: 9, 3: 0}, rounds=5, min_new_share=0.5, merge_similarity=0.92)

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
    growth = grow(Start(plant(EXPERTS)), LIMITS, Teacher(numbered), everything_is_the_same)
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
    assert sum(r.proposed for r in growth.rounds) == sum(r.new for r in growth.rounds) + len(growth.refused)


def test_near_duplicates_are_merged_across_branches_levels_and_dimensions() -> None:
    # Every text is a unit vector in the plane, given by its angle; cos 20° = 0.9397 is a duplicate, cos 30° =
    # 0.8660 not.
    angles = {
        "Gauges": 0, "Fuel": 40, "Lights": 80, "Counting": 120,  # experts
        "dial": 20,     # second level of Gauges: near its own parent
        "tank": 160,    # second level of Gauges: new
        "glow": 200,    # second level of Lights: new
        "beam": 180,    # second level of Lights: near "tank", of another branch
        "sum": 240,     # second level of Counting: new
        "shine": 220,   # second level of Counting: as near to "glow", of the other dimension, as to "sum"
        "cap": 150,     # third level of tank: 10° from it, 30° from Counting
        "bulb": 280,    # third level of glow: new
    }  # fmt: skip
    said = {
        "Gauges": ["dial", "tank"], "Lights": ["glow", "beam"], "Counting": ["sum", "shine"], "tank": ["cap"],
        "glow": ["bulb"],
    }  # fmt: skip

    def embed(texts: Sequence[str]) -> np.ndarray:
        turned = np.deg2rad([angles[text] for text in texts])
        return np.stack([np.cos(turned), np.sin(turned)], axis=1).astype(np.float32)

    limits = GrowthLimits({2: 9, 3: 9}, rounds=1, min_new_share=0.1, merge_similarity=0.92)
    start = Start(plant(EXPERTS))
    growth = grow(start, limits, Teacher(lambda b: children(*said.get(b.parent.name, []))), embed)
    assert [" > ".join(t.path) for t in growth.topics[4:]] == [
        "Gauges > tank", "Lights > glow", "Counting > sum", "Lights > glow > bulb",
    ]  # fmt: skip
    assert [(" > ".join((*r.parent.path, r.name)), " > ".join(r.into.path)) for r in growth.merges] == [
        ("Gauges > dial", "Gauges"),
        ("Lights > beam", "Gauges > tank"),
        ("Counting > shine", "Lights > glow"),
        ("Gauges > tank > cap", "Gauges > tank"),
    ]
    assert [round(r.similarity, 4) for r in growth.merges] == [0.9397, 0.9397, 0.9397, 0.9848]


def test_settled_parents_are_not_asked_and_what_they_have_counts_as_siblings() -> None:
    first, _ = grown(numbered)
    ids = frozenset(t.topic_id for t in first.topics)
    horn = plant([ExpertLabel(name="Horn", dimension="domain")])
    seen: dict[str, int] = {}
    teacher = Teacher(numbered)
    start = Start([*first.topics, *horn], ids, ids)
    growth = grow(start, LIMITS, teacher, lambda texts: one_axis_each(texts, seen))
    assert growth.topics[: len(first.topics)] == first.topics
    assert {branch.parent.path[0] for branch in teacher.asked} == {"Horn"}
    assert [t.name for t in teacher.asked[0].siblings] == ["Gauges", "Lights"]


def test_every_refused_proposal_has_a_reason() -> None:
    edits = Edits.of([Edit(path="Lights > horn", remove=True), Edit(path="Lights > lamp", name="Bulb")])
    angles = {"hoot": 1, "horn": 0, "shiny": 90.0, "Bulb": 180, "glow": 270}

    def embed(texts: Sequence[str]) -> np.ndarray:
        matrix = np.zeros((len(texts), 6), np.float32)
        for row, text in enumerate(texts):
            if text in angles:
                turned = np.deg2rad(angles[text])
                matrix[row, :2] = np.cos(turned), np.sin(turned)
            else:
                matrix[row, 2 + ["Gauges", "Fuel", "Lights", "Counting"].index(text)] = 1
        return matrix

    def say(branch: Branch) -> TopicChildren:
        if branch.parent.name != "Lights":
            return children()
        # "hoot" is 1 degree from the removed "horn"; "lamp" is renamed, so the second one is there already.
        return children("?", "Horn!", "hoot", "lamp", "LAMP", "shiny", "glow", "one too many")

    limits = GrowthLimits({2: 7, 3: 0}, rounds=1, min_new_share=0.1, merge_similarity=0.92)
    growth = grow(Start(plant(EXPERTS)), limits, Teacher(say), embed, edits)
    assert [t.name for t in growth.topics[4:]] == ["Bulb", "shiny", "glow"]
    assert [(r.name, r.reason, r.into.name if r.into else None) for r in growth.refused] == [
        ("?", "no_name", None),
        ("Horn!", "removed_by_expert", None),
        ("one too many", "over_budget", None),
        ("hoot", "removed_by_expert", "horn"),
        ("Bulb", "same_name", "Bulb"),
    ]
    (lights,) = growth.rounds
    assert lights.proposed == lights.new + len(growth.refused) == 8
    assert {r.reason for r in growth.refused} | {"near_duplicate"} == set(REASONS)

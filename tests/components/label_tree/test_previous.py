from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from components.label_tree.config import ExpertChild, ExpertLabel, ExpertTopic
from components.label_tree.edits import Edit, Edits
from components.label_tree.previous import KnownVectors, carry_over, lookalikes
from components.label_tree.tree import Topic, plant


def topic(path: str, origin: str = "model", description: str = "") -> Topic:
    return Topic(tuple(path.split("/")), description, "domain", origin)


EARLIER = [
    topic("Gauges", "expert"),
    topic("Gauges/Fuel", "expert"),
    topic("Gauges/Fuel/tank"),
    topic("Gauges/Speed"),
    topic("Gauges/Speed/digits"),
    topic("Lights", "expert"),
    topic("Lights/Beam"),
    topic("Lights/Beam/high"),
]


def experts(**children: Sequence[ExpertChild]) -> list[Topic]:
    return plant(
        ExpertLabel(name=name, dimension="domain", children=tuple(below)) for name, below in children.items()
    )


def paths(topics: Sequence[Topic]) -> list[str]:
    return ["/".join(topic.path) for topic in topics]


FUEL = ExpertChild(name="Fuel")


def test_everything_that_had_a_place_keeps_it() -> None:
    planted = experts(Gauges=[FUEL], Lights=[], Horn=[])
    start = carry_over(planted, EARLIER, Edits())
    assert start.topics[: len(planted)] == planted
    assert sorted(paths(start.topics)) == sorted([*paths(EARLIER), "Horn"])
    assert not start.left
    new = [t for t in start.topics if t.topic_id not in start.settled]
    assert paths(new) == ["Horn"], "the only parent to ask"


def test_what_experts_no_longer_write_goes_with_everything_below() -> None:
    start = carry_over(experts(Gauges=[]), EARLIER, Edits())
    assert sorted(paths(start.topics)) == ["Gauges", "Gauges/Speed", "Gauges/Speed/digits"]
    assert {"/".join(left.topic.path): left.reason for left in start.left} == {
        "Gauges/Fuel": "not_in_experts",
        "Gauges/Fuel/tank": "parent_left",
        "Lights": "not_in_experts",
        "Lights/Beam": "parent_left",
        "Lights/Beam/high": "parent_left",
    }


def test_edits_move_describe_and_remove() -> None:
    edits = Edits.of(
        [
            Edit(path="Lights", name="Lamps"),
            Edit(path="Lights > Beam", name="Headlight", description="what shines ahead"),
            Edit(path="Gauges > Speed", remove=True),
        ]
    )
    start = carry_over(experts(Gauges=[FUEL], Lamps=[]), EARLIER, edits)
    assert paths(start.topics) == [
        "Gauges", "Lamps", "Gauges/Fuel", "Lamps/Headlight", "Gauges/Fuel/tank", "Lamps/Headlight/high",
    ]  # fmt: skip
    assert start.topics[3].description == "what shines ahead"
    assert [left.reason for left in start.left] == ["removed", "removed"]
    assert start.settled == {t.topic_id for t in start.topics}
    again = carry_over(experts(Gauges=[FUEL], Lamps=[]), start.topics, edits)
    assert again.topics == start.topics and not again.left, "edits that were applied change nothing more"


def test_a_topic_renamed_to_another_joins_it() -> None:
    edits = Edits.of([Edit(path="Gauges > Speed", name="Fuel")])
    start = carry_over(experts(Gauges=[FUEL], Lights=[]), EARLIER, edits)
    assert [t for t in paths(start.topics) if t.startswith("Gauges/Fuel/")] == [
        "Gauges/Fuel/tank",
        "Gauges/Fuel/digits",
    ]
    assert [(left.topic.name, left.reason) for left in start.left] == [("Speed", "joined")]


def test_an_expert_can_adopt_a_proposed_topic() -> None:
    adopted = ExpertChild(name="Speed", description="mine", children=(ExpertTopic(name="needle"),))
    start = carry_over(experts(Gauges=[FUEL, adopted], Lights=[]), EARLIER, Edits())
    by_path = {"/".join(t.path): t for t in start.topics}
    assert (by_path["Gauges/Speed"].origin, by_path["Gauges/Speed"].description) == ("expert", "mine")
    assert {"Gauges/Speed/needle", "Gauges/Speed/digits"} < set(by_path)
    assert by_path["Gauges/Speed"].topic_id in start.settled, "its children are kept, so it is not asked"
    assert by_path["Gauges/Speed/needle"].topic_id not in start.earlier


def test_regrow_reopens_a_topic_and_what_is_below_it() -> None:
    planted = experts(Gauges=[FUEL], Lights=[])
    start = carry_over(planted, EARLIER, Edits(), ["gauges > speed", "Lights"])
    assert sorted(paths([t for t in start.topics if t.topic_id not in start.settled])) == [
        "Gauges/Speed", "Gauges/Speed/digits", "Lights", "Lights/Beam", "Lights/Beam/high",
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"'Gauges > Sped' is not in the previous tree"):
        carry_over(planted, EARLIER, Edits(), ["Gauges > Sped"])


def test_known_texts_are_not_embedded_again() -> None:
    asked: list[str] = []

    def embed(texts: Sequence[str]) -> np.ndarray:
        asked.extend(texts)
        return np.array([[len(text), 1] for text in texts], np.float32)

    known = KnownVectors(embed, ["a", "b"], np.array([[1, 0], [0, 1]], np.float32))
    assert known(["b", "ccc", "a", "ccc"]).tolist() == [[0, 1], [3, 1], [1, 0], [3, 1]]
    assert asked == ["ccc"]
    assert known([]).shape == (0, 2)


@pytest.mark.parametrize(("vectors", "same"), [([[1, 0]], True), ([[0.6, 0.8]], False), ([[1, 0, 0]], False)])
def test_another_embedder_is_noticed(vectors: list[list[float]], same: bool) -> None:
    known = KnownVectors(lambda texts: np.array([[1, 0]], np.float32), ["a"], np.array(vectors, np.float32))
    assert known.same_embedder is same


def test_lookalikes_name_new_expert_topics_only() -> None:
    planted = experts(Gauges=[FUEL, ExpertChild(name="Velocity")], Lights=[])
    start = carry_over(planted, EARLIER, Edits())
    # Gauges, Lights, Fuel, Velocity, then the carried ones; Velocity is at cosine 0.96 to Speed.
    vectors = np.eye(len(start.topics), 20, dtype=np.float32)
    vectors[3] = 0.28 * np.eye(20)[19]
    vectors[3, paths(start.topics).index("Gauges/Speed")] = 0.96
    (found,) = lookalikes(start, len(planted), vectors, 0.92)
    assert (found[0].name, found[1].name, round(found[2], 4)) == ("Velocity", "Speed", 0.96)
    assert not lookalikes(start, len(planted), vectors, 0.97)

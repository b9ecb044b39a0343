from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.label_tree.edits import Edit, Edits, path_key, split_path

EDITS = (
    Edit(path="Gauges > Fuel", name="Fuel level"),
    Edit(path="Gauges > Fuel > Cap", remove=True),
    Edit(path="Gauges > Fuel level > low", name="Low fuel", description="The tank is nearly empty."),
    Edit(path="Old lights", name="Lights"),
    Edit(path="Lights > Horn", remove=True, description="sounds"),
)


def apply(edits: Edits, path: str) -> str | None:
    edited = edits.apply(split_path(path), "d")
    return None if edited is None else " > ".join(edited[0]) + (f" ({edited[1]})" if edited[1] != "d" else "")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Gauges", "Gauges"),
        ("Gauges > FUEL", "Gauges > Fuel level"),
        ("Gauges > fuel > tank", "Gauges > Fuel level > tank"),
        ("Gauges > fuel > cap", None),
        ("Gauges > Fuel level > cap", None),  # named under the old parent, removed under the new one too
        ("Gauges > fuel > Low", "Gauges > Fuel level > Low fuel (The tank is nearly empty.)"),
        ("Old lights > Horn", None),
        ("Old lights > Horn > loud", None),  # below a removed topic
        ("Old lights > Beam", "Lights > Beam"),
        ("Horn", "Horn"),  # another topic of that name
    ],
)
def test_what_edits_do(path: str, expected: str | None) -> None:
    assert apply(Edits.of(EDITS), path) == expected


@pytest.mark.parametrize("order", list(itertools.permutations(range(len(EDITS))))[::7])
def test_their_order_does_not_matter(order: tuple[int, ...]) -> None:
    one, other = Edits.of(EDITS), Edits.of(EDITS[i] for i in order)
    assert one.sources == other.sources
    assert one.removed() == other.removed()


NAMES = st.sampled_from(
    ["Gauges", "Fuel", "Fuel level", "Cap", "low", "Low fuel", "Old lights", "Lights", "Horn"]
)


@given(st.lists(NAMES, min_size=1, max_size=3), st.sampled_from(["", "x"]))
def test_applying_them_twice_changes_nothing(path: list[str], description: str) -> None:
    edits = Edits.of(EDITS)
    once = edits.apply(path, description)
    assert once is None or edits.apply(*once) == once


def test_removed_paths_are_told_under_their_parents_present_names() -> None:
    assert [path for _, path in Edits.of(EDITS).removed()] == [
        ("Gauges", "Fuel level", "Cap"),
        ("Lights", "Horn"),
    ]


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ([Edit(path="A > b")], "changes nothing"),
        ([Edit(path="A > b", name="c", remove=True)], "both removed and renamed"),
        ([Edit(path="A > b > c > d", remove=True)], "is no path"),
        ([Edit(path="A > ?", remove=True)], "is no path"),
        ([Edit(path="A > b", name="...")], "letter or digit"),
        ([Edit(path="A > b", name="x"), Edit(path="A > B!", description="y")], "changed twice"),
        ([Edit(path="A > b", name="c"), Edit(path="A > c", name="d")], "use another name"),
        ([Edit(path="A > b", name="c"), Edit(path="A > c", remove=True)], "use another name"),
    ],
)
def test_edits_that_cannot_be_meant(edits: list[Edit], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Edits.of(edits)


def test_a_name_may_change_its_spelling_only() -> None:
    assert (
        apply(Edits.of([Edit(path="A > fuel-level", name="Fuel level")]), "A > FUEL LEVEL")
        == "A > Fuel level"
    )


def test_path_key_compares_as_names_do() -> None:
    assert path_key(" Gauges >Fuel-Level ") == path_key(("gauges", "FUEL level")) == ("gauges", "fuel level")

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.label_tree.names import MAX_NAME_CHARS, clean_name, name_key, topic_id


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Warning-Lights:", "warning lights"),
        ("  warning   LIGHTS ", "warning lights"),
        ("ＯＣＲ", "ocr"),  # full-width letters are compatibility forms of plain ones
        ("仪表盘", "仪表盘"),
        ("C++", "c plus plus"),
        ("C#", "c sharp"),
        ("...", ""),
    ],
)
def test_name_key(text: str, key: str) -> None:
    assert name_key(text) == key


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("3. Fuel level.", "Fuel level"),
        ("- Gear\n", "Gear"),
        ("a > b", "a / b"),
        ("10 km/h", "10 km/h"),
        ("x\u200by\x00", "x y"),
    ],
)
def test_clean_name(text: str, name: str) -> None:
    assert clean_name(text) == name


@given(st.text(max_size=300))
def test_a_clean_name_is_one_short_line_that_cannot_forge_a_path(text: str) -> None:
    name = clean_name(text)
    assert len(name) <= MAX_NAME_CHARS
    assert ">" not in name
    assert len(name.splitlines()) <= 1


def test_topic_id_is_the_documented_hash() -> None:
    expected = hashlib.sha256(b"domain\x1fgauges\x1ffuel level").hexdigest()
    assert topic_id("domain", ["Gauges", "Fuel-Level"]) == expected


@given(
    st.lists(st.sampled_from(["a", "b", "a b"]), min_size=1, max_size=3),
    st.sampled_from(["domain", "capability"]),
)
def test_topic_ids_tell_paths_and_dimensions_apart(path: list[str], dimension: str) -> None:
    other = "capability" if dimension == "domain" else "domain"
    assert topic_id(dimension, path) != topic_id(other, path)
    assert topic_id(dimension, path) != topic_id(dimension, [*path, "a"])

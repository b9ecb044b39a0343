from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from components.core.data.hashing import canonical_json, rng_for, seed_for
from components.core.stage.errors import ConfigError
from components.core.stage.settings import Endpoint, Settings, find_settings, parse_settings


class Inner(Settings):
    learning_rate: float = Field(default=1e-4, gt=0)
    """Step size."""


class Outer(Settings):
    epochs: int = 1
    optimizer: Inner = Inner()
    voters: tuple[Endpoint, ...] = ()


ENDPOINT = {"base_url": "http://127.0.0.1:1/v1", "model": "m"}


def test_integral_floats_pass_for_ints_as_kfp_structs_carry_doubles():
    assert parse_settings(Outer, '{"epochs": 3.0}').epochs == 3


def test_unknown_setting_names_the_nearest():
    with pytest.raises(
        ConfigError, match=r"sft\.optimizer\.lerning_rate: unknown setting; did you mean 'learning_rate'"
    ):
        parse_settings(Outer, {"optimizer": {"lerning_rate": 1}}, "sft")


def test_unknown_setting_inside_a_list_is_explained_by_the_right_model():
    with pytest.raises(ConfigError, match=r"voters\.0\.modle: unknown setting; did you mean 'model'"):
        parse_settings(Outer, {"voters": [{**ENDPOINT, "modle": "x"}]})


def test_every_bad_setting_is_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        parse_settings(Outer, {"epochs": "many", "zzz": 1, "optimizer": {"learning_rate": -1}})
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("bad", ["{", "[]", "3"])
def test_not_a_mapping_is_a_config_error(bad):
    with pytest.raises(ConfigError):
        parse_settings(Outer, bad)


def test_find_settings_walks_nested_values():
    outer = parse_settings(Outer, {"voters": [ENDPOINT, {**ENDPOINT, "model": "n"}]})
    assert [(where, e.model) for where, e in find_settings(outer, Endpoint)] == [
        ("voters[0]", "m"),
        ("voters[1]", "n"),
    ]


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=6))
def test_canonical_json_ignores_insertion_order(value):
    assert canonical_json(value) == canonical_json(dict(reversed(value.items())))


def test_seeds_depend_on_parts_and_nothing_else():
    assert seed_for("a", 1) == seed_for("a", 1)
    assert seed_for("a", 1) != seed_for("a1")
    assert rng_for("x").integers(1 << 30) == rng_for("x").integers(1 << 30)


KEY = "sk-proj-0123456789abcdef"


@pytest.mark.parametrize(
    "endpoint",
    [
        {**ENDPOINT, "api_key_env": KEY},
        {**ENDPOINT, "base_url": f"https://user:{KEY}@host/v1"},
        {"base_url": ENDPOINT["base_url"], "api_key": KEY},
        [KEY],
    ],
)
def test_a_key_in_the_settings_is_refused_and_not_printed(endpoint, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", KEY)
    with pytest.raises(ConfigError) as refused:
        parse_settings(Outer, {"voters": [endpoint]})
    assert KEY not in str(refused.value)


@pytest.mark.parametrize("text", ['{"epochs": NaN}', '{"a\\u0000": 1}', '{"a": "\\ud800"}', "[" * 100_000])
def test_what_no_setting_can_be_is_refused_in_one_line(text):
    with pytest.raises(ConfigError) as refused:
        parse_settings(Outer, text)
    assert "\n" not in str(refused.value)
    str(refused.value).encode()


def test_a_long_value_is_shown_in_part():
    with pytest.raises(ConfigError) as refused:
        parse_settings(Outer, {"epochs": "a" * 200_000})
    assert len(str(refused.value)) < 1000

"""YAML with every key once."""

from __future__ import annotations

import pytest
import yaml

from components.core.stage.errors import ConfigError
from components.core.stage.settings import parse_settings
from components.preflight.config import Config
from pipelines.profile.run_profile import load_profile
from pipelines.profile.yaml_files import load_yaml


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2\n",
        "a: {b: 1, c: 2, b: 3}\n",
        "x:\n  - {a: 1, 'a': 2}\n",
        "1: x\n1: y\n",
        "a: &p {b: 1}\nc: {<<: *p, d: 1, d: 2}\n",
    ],
)
def test_a_key_that_stands_twice_is_refused_with_its_places(text: str) -> None:
    with pytest.raises(yaml.YAMLError, match=r"(?s)stands here.*line.*keep one"):
        load_yaml(text)


def test_anchors_may_be_overridden_and_equal_keys_stand_apart() -> None:
    assert load_yaml("a: &p {b: 1}\nc: {<<: *p, b: 2}\nd: {b: 3}\n") == {
        "a": {"b": 1},
        "c": {"b": 2},
        "d": {"b": 3},
    }


def test_a_profile_with_two_sections_of_one_name(tmp_path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("name: x\npreflight: {images: a}\nname2: 1\npreflight: {images: b}\n")
    with pytest.raises(ConfigError, match=r"'preflight' stands here.*line 2.*keep one.*line 4") as raised:
        load_profile(path)
    assert "\n" not in str(raised.value)


def test_settings_as_json_with_a_name_twice() -> None:
    with pytest.raises(ConfigError, match="twice in one object: images"):
        parse_settings(Config, '{"images": "a", "images": "b"}', "preflight")

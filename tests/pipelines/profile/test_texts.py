"""Texts that Kubeflow, Argo or Kubernetes would change are refused with the setting's name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.core.stage.errors import ConfigError
from pipelines.profile.run_profile import load_profile
from pipelines.profile.texts import MOST_BYTES, check_texts, unfit_texts

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "configs" / "demo.yaml"
GAUGES = {"name": "Gauges", "dimension": "domain"}


def lines(value: object) -> list[str]:
    return list(unfit_texts(value, "s"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("the loss $$x^2$$", "makes one '$' of two"),
        ("costs $$", "makes one '$' of two"),
        ("home is $(HOME)", "a variable"),
        ("also $(x-1.y)", "a variable"),
        ("{{workflow.name}}", "a template"),
        ("{{$.inputs.parameters['x']}}", "a template"),
        ("an open {{ brace", "a template"),
        ("a face \U0001f600", "beyond U+FFFF"),
        ("rare Han \U00020bb7", "beyond U+FFFF"),
        ("\U0010ffff", "beyond U+FFFF"),
        ("half \ud83d", "half a character"),
    ],
)
def test_what_would_arrive_changed_is_refused(text, why):
    (line,) = lines(text)
    assert line.startswith("s: has '") and why in line
    assert line.isascii()


@pytest.mark.parametrize(
    "text",
    ["$5 and $x$", "$ $", "${HOME}", "$(open", "中文，仪表盘", "\uffff", "a \"b\" 'c'", "two\nlines\ttab",
     "<b>&amp;</b>", "{one} brace }}", "100 %", "back\\slash", "#comment: yes", "\u2028", ""],
)  # fmt: skip
def test_what_arrives_whole_is_allowed(text):
    assert lines(text) == []


@given(st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"], exclude_characters="${")))
def test_no_other_character_is_refused(text):
    assert lines({"a": [text], text: 1}) == []


@given(
    st.recursive(
        st.text(max_size=3), lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner)
    )
)
def test_wherever_a_text_stands_it_is_found(value):
    """An emoji anywhere in the JSON is found, and only then."""
    written = json.dumps(value, ensure_ascii=False)
    beyond = any(ord(character) > 0xFFFF for character in written)
    assert any("U+FFFF" in line for line in lines(value)) == beyond


def profile_with(tmp_path, **stated):
    path = tmp_path / "p.yaml"
    path.write_text(yaml.safe_dump({"extends": str(DEMO), **stated}, allow_unicode=True), encoding="utf-8")
    return load_profile(path)


def test_every_setting_is_named_and_the_way_out(tmp_path):
    profile = profile_with(
        tmp_path,
        label_tree={
            "experts": [{"name": "Gauges", "dimension": "domain", "description": "needles \U0001f600"}]
        },
        sft_2_restore={"mixture": {"weights": {"$$": 1.0}}},
        resources={"hybrid_rl": {"env": {"GREETING": "{{name}}"}}},
    )
    with pytest.raises(ConfigError) as raised:
        check_texts(profile, **{"--name": "run \U0001f600"})
    said = str(raised.value)
    assert "label_tree.experts.0.description: has '\\U0001f600'" in said
    assert "sft_2_restore.mixture.weights, the name '$$': has '$$'" in said
    assert "resources.hybrid_rl.env.GREETING: has '{{'" in said
    assert "--name: has " in said
    assert said.endswith("a file of their own, on a volume or in a bucket")


def test_a_section_that_no_argument_holds_is_refused(tmp_path):
    """Linux takes 128 KiB in one argument; three bytes a sign of Han."""
    long = {"name": "Gauges", "dimension": "domain", "description": "表" * (MOST_BYTES // 3)}
    profile = profile_with(tmp_path, label_tree={"experts": [long]})
    with pytest.raises(
        ConfigError, match=f"^label_tree: is 1.* bytes long, and a task can be given {MOST_BYTES};"
    ):
        check_texts(profile)


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_profile_of_the_repository_is_fit(path):
    check_texts(load_profile(path))

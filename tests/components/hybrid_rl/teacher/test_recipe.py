"""The settings that the docs recommend are settings that the stages take."""

from __future__ import annotations

import re
import textwrap

import yaml

from components.core.stage.settings import parse_settings, stage_config
from components.stages import SECTIONS
from tests.house import ROOT


def test_the_recipes_of_the_docs_are_valid():
    text = (ROOT / "docs" / "algorithms.md").read_text(encoding="utf-8")
    found = {}
    for block in re.findall(r"(?:^ {4}.*\n)+", text, re.MULTILINE):
        for name, section in yaml.safe_load(textwrap.dedent(block)).items():
            found[name] = parse_settings(stage_config(SECTIONS[name].stage), section, name)
    assert set(found) == {"hybrid_rl", "sft_1_domain", "sft_2_restore"}
    assert found["hybrid_rl"].objective == "distill" and found["sft_1_domain"].general_answers == "own"

from __future__ import annotations

import dataclasses

import pytest

from components.core.stage.errors import ConfigError
from pipelines.graph.lengths import MOST_BYTES, refuse_long_settings
from pipelines.profile.run_profile import load_profile
from tests.house import ROOT


def test_settings_that_kubeflow_cannot_hand_on_are_refused_before_they_are_sent():
    profile = load_profile(ROOT / "configs/smoke.yaml")
    refuse_long_settings(profile)
    long = {**profile.sections["label_tree"], "experts": [{"name": "a", "description": "é" * MOST_BYTES}]}
    longer = dataclasses.replace(profile, sections={**profile.sections, "label_tree": long})
    with pytest.raises(ConfigError, match=r"preflight: its settings take .* shorten label_tree \("):
        refuse_long_settings(longer)

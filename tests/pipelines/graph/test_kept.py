"""How long Kubernetes keeps a run's workflow and pods."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.core.stage.errors import ConfigError
from pipelines.graph.compiled import Compiled
from pipelines.graph.post_training import compile_pipeline
from pipelines.profile.run_profile import load_profile

ROOT = Path(__file__).resolve().parents[3]


def compiled(tmp_path, *overrides: str) -> Compiled:
    profile = load_profile(ROOT / "configs" / "demo.yaml", overrides)
    return Compiled.read(compile_pipeline(profile, tmp_path / "ir.yaml"))


@pytest.mark.parametrize(
    ("overrides", "seconds"), [((), 604800), (("kubeflow.ttl_seconds_after_finished=60",), 60)]
)
def test_a_week_by_default_and_whatever_the_end(tmp_path, monkeypatch, overrides, seconds):
    """All three, because Kubeflow's own default of an hour is set for success and failure too."""
    monkeypatch.chdir(ROOT)
    found = compiled(tmp_path, *overrides).platform["platforms"]["kubernetes"]["pipelineConfig"]
    ends = ("Completion", "Success", "Failure")
    assert found == {f"resourceTtlOn{end}": seconds for end in ends}


def test_it_changes_no_task(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    one, other = compiled(tmp_path), compiled(tmp_path, "kubeflow.ttl_seconds_after_finished=60")
    assert one.spec == other.spec and not one.same_as(other)


def test_a_misspelt_setting_is_named(monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigError, match="did you mean 'ttl_seconds_after_finished'"):
        load_profile(ROOT / "configs" / "demo.yaml", ["kubeflow.ttl_seconds_after_finish=60"])
    with pytest.raises(ConfigError, match="kubeflow"):
        load_profile(ROOT / "configs" / "demo.yaml", ["kubeflow.ttl_seconds_after_finished=0"])

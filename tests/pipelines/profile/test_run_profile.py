"""Run profiles: merging, overrides, errors that name the nearest valid setting."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from components.core.stage.errors import ConfigError
from components.core.stage.settings import Settings
from components.stages import SECTIONS, TASKS
from pipelines.profile import run_profile as profile_module
from pipelines.profile.run_profile import load_profile

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


@pytest.fixture(autouse=True)
def _in_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture
def write(tmp_path):
    def write(name: str = "run.yaml", **document) -> Path:
        path = tmp_path / name
        path.write_text(yaml.safe_dump({"extends": str(ROOT / "configs" / "demo.yaml"), **document}))
        return path

    return write


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_profile_of_the_repository_is_valid(path):
    profile = load_profile(path)
    assert set(profile.sections) == set(SECTIONS)
    assert set(profile.resources) == set(TASKS)
    assert profile.sections["label_tree"]["experts"]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_resolved_profile_is_a_profile_that_resolves_to_itself(path, tmp_path):
    profile = load_profile(path)
    copy = tmp_path / "copy.yaml"
    copy.write_text(profile.as_yaml())
    assert load_profile(copy) == profile


def test_extends_merges_mappings_and_replaces_lists(write):
    base = load_profile(ROOT / "configs" / "demo.yaml")
    two_voters = [dict(voter) for voter in base.sections["voting_filter"]["voters"][:2]]
    profile = load_profile(write(voting_filter={"voters": two_voters}))
    assert profile.sections["voting_filter"]["voters"] == two_voters
    rest = {key: value for key, value in base.sections["voting_filter"].items() if key != "voters"}
    assert rest == {key: value for key, value in profile.sections["voting_filter"].items() if key != "voters"}
    assert profile.sections["qa_synthesis"] == base.sections["qa_synthesis"]


def test_a_circle_of_profiles_is_an_error(tmp_path):
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / f"{name}.yaml").write_text(f"extends: {other}.yaml\n")
    with pytest.raises(ConfigError, match="extends itself"):
        load_profile(tmp_path / "a.yaml")


def test_override_wins_and_is_read_as_yaml():
    profile = load_profile(
        ROOT / "configs" / "demo.yaml",
        [
            "qa_synthesis.evolution_rounds=0",
            "voting_filter.voters.1.max_retries=9",
            "resources.hybrid_rl.gpu=4",
        ],
    )
    assert profile.sections["qa_synthesis"]["evolution_rounds"] == 0
    assert profile.sections["voting_filter"]["voters"][1]["max_retries"] == 9
    assert profile.resources["hybrid_rl"].gpu == 4


def test_override_changes_one_section_of_those_that_share_an_anchor():
    base = load_profile(ROOT / "configs" / "demo.yaml")
    profile = load_profile(ROOT / "configs" / "demo.yaml", ["ids_scoring.endpoint.max_tokens_total=5"])
    assert profile.sections["ids_scoring"]["endpoint"]["max_tokens_total"] == 5
    assert profile.sections["qa_synthesis"] == base.sections["qa_synthesis"]


def test_override_with_a_mapping_is_merged():
    base = load_profile(ROOT / "configs" / "demo.yaml").sections["qa_synthesis"]
    profile = load_profile(
        ROOT / "configs" / "demo.yaml", ["qa_synthesis={evolution_rounds: 0, endpoint: {timeout_s: 9}}"]
    )
    endpoint = {**base["endpoint"], "timeout_s": 9.0}
    assert profile.sections["qa_synthesis"] == {**base, "evolution_rounds": 0, "endpoint": endpoint}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("qa_synthesis.evolution_round=1", "did you mean 'evolution_rounds'"),
        ("voting_filtr.x=1", "did you mean 'voting_filter'"),
        ("voting_filter", "expected SECTION.KEY=VALUE"),
        ("voting_filter=3", "voting_filter: expected a mapping of settings"),
        ("voting_filter.voters.9.model=x", "not an index into a list of"),
        ("qa_synthesis.endpoint.model.x=1", "'model' is a value"),
        ("qa_synthesis.evolution_rounds=many", "evolution_rounds"),
        ("qa_synthesis.evolution_rounds=[", "not valid YAML"),
        ("resources.hybrid_rl.gpus=1", "did you mean 'gpu'"),
        ("resources.hybridrl.gpu=1", "did you mean 'hybrid_rl'"),
        ("resources.hybrid_rl.memory=lots", "resources.hybrid_rl.memory"),
    ],
)
def test_wrong_overrides_are_named(override, message):
    with pytest.raises(ConfigError, match=message):
        load_profile(ROOT / "configs" / "demo.yaml", [override])


def test_every_bad_setting_is_named_at_once(write):
    with pytest.raises(ConfigError) as caught:
        load_profile(write(image_ingest={"formatz": []}, hybrid_rl={"max_steps": -1}))
    assert "image_ingest.formatz" in str(caught.value)
    assert "hybrid_rl.max_steps" in str(caught.value)


def test_unknown_section_is_named_with_its_neighbour(write):
    with pytest.raises(ConfigError, match="unknown section 'hybridrl'; did you mean 'hybrid_rl'"):
        load_profile(write(hybridrl={}))


def test_missing_file_is_a_setting_error(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_profile(tmp_path / "absent.yaml")


def test_null_that_the_pipeline_cannot_carry_is_refused(monkeypatch):
    class Config(Settings):
        limit: int | None = 3

    monkeypatch.setattr(profile_module, "stage_config", lambda stage: Config)
    with pytest.raises(
        ConfigError, match="promotion: a setting is null whose default is not; give it a value"
    ):
        profile_module._section({"promotion": {"limit": None}}, "promotion")


def test_resources_fall_back_to_the_default_and_to_evaluation(write):
    stated = {"default": {"cpu": "4", "retries": 1}, "evaluation": {"gpu": 1}, "evaluation_base": {"gpu": 2}}
    resources = load_profile(write(resources=stated)).resources
    assert (resources["preflight"].cpu, resources["preflight"].gpu, resources["preflight"].retries) == (
        "4",
        0,
        1,
    )
    assert resources["evaluation_hybrid_rl"].gpu == 1
    assert resources["evaluation_base"].gpu == 2

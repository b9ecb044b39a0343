"""Paths in profiles, read from whatever directory a command runs in."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from components.core.stage.errors import ConfigError
from components.core.stage.settings import READ_PATH, WRITTEN_PATH, named_paths
from components.stages import SECTIONS
from pipelines.profile.run_profile import Profile, load_profile

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "configs" / "demo.yaml"
WORLD = ROOT / "build" / "demo" / "world"
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


@pytest.fixture(autouse=True, params=["the repository", "elsewhere"])
def _somewhere(request, monkeypatch, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(ROOT if request.param == "the repository" else elsewhere)


def paths(profile: Profile) -> list[str]:
    """Every path and address of a profile."""
    settings = profile.settings.values()
    return [
        path
        for use in (READ_PATH, WRITTEN_PATH)
        for own in settings
        for path in named_paths(own, use)
        if path
    ]


def wrote(path: Path, **document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_repository_s_profiles_are_the_same_from_everywhere(path, monkeypatch):
    here = load_profile(path)
    monkeypatch.chdir(ROOT)
    assert load_profile(path) == here == load_profile(path.relative_to(ROOT))
    assert len(paths(here)) >= 4
    assert all(Path(found).is_absolute() for found in paths(here))


def test_the_demo_s_world_and_domain_are_the_repository_s():
    demo = load_profile(DEMO)
    assert demo.sections["preflight"]["images"] == str(WORLD / "images")
    assert demo.sections["preflight"]["benchmarks"][1]["uri"] == str(
        ROOT / "build/demo/world/benchmarks/general"
    )
    assert demo.sections["promotion"]["registry"] == str(ROOT / "build/demo/registry")
    assert demo.sections["promotion"]["domain"] == "instrument_cluster"


def test_each_file_s_paths_start_at_that_file(tmp_path):
    """Three files in three folders: the repository's, a team's and one's own."""
    wrote(
        tmp_path / "team" / "domain.yaml", domain="lamps", labels=[{"name": "kinds", "dimension": "domain"}]
    )
    wrote(
        tmp_path / "team" / "base.yaml",
        extends=str(DEMO),
        domain="domain.yaml",
        preflight={"images": "pictures", "base_model": "../models/base"},
        image_ingest={"catalogue": ["seen/a", "seen/b#sha256=00"]},
    )
    own = wrote(
        tmp_path / "own" / "run.yaml",
        extends="../team/base.yaml",
        label_tree={"previous": "tree"},
        promotion={"registry": "./registry"},
    )
    sections = load_profile(own).sections
    assert sections["preflight"]["images"] == str(tmp_path / "team/pictures")
    assert sections["preflight"]["base_model"] == str(tmp_path / "models/base")
    assert sections["preflight"]["general_data"] == str(WORLD / "general")
    assert sections["image_ingest"]["catalogue"] == [
        str(tmp_path / "team/seen/a"), f"{tmp_path}/team/seen/b#sha256=00"
    ]  # fmt: skip
    assert sections["label_tree"]["previous"] == str(tmp_path / "own/tree")
    assert sections["label_tree"]["domain"] == "lamps"
    assert sections["promotion"]["registry"] == str(tmp_path / "own/registry")


@pytest.mark.parametrize(
    "section, name", [("preflight", "images"), ("label_tree", "previous"), ("promotion", "registry")]
)
@pytest.mark.parametrize("address", ["s3://bucket/prefix", "/data/place", "file:///data/place"])
def test_addresses_and_absolute_paths_stay_as_they_are(tmp_path, section, name, address):
    path = wrote(tmp_path / "p.yaml", extends=str(DEMO), **{section: {name: address}})
    assert load_profile(path).sections[section][name] == address


def test_a_file_address_can_be_relative_too(tmp_path):
    path = wrote(
        tmp_path / "p.yaml",
        extends=str(DEMO),
        preflight={"images": "file://pictures"},
    )
    assert load_profile(path).sections["preflight"]["images"] == f"file://{tmp_path}/pictures"


def test_a_path_of_the_command_line_starts_where_the_command_runs():
    profile = load_profile(
        DEMO,
        ["preflight.images=pictures", "preflight.benchmarks.0.uri=mine", "image_ingest.catalogue=[seen]"],
    )
    preflight = profile.sections["preflight"]
    assert preflight["images"] == str(Path.cwd() / "pictures")
    assert preflight["benchmarks"][0]["uri"] == str(Path.cwd() / "mine")
    assert preflight["benchmarks"][1]["uri"] == str(WORLD / "benchmarks/general")
    assert profile.sections["image_ingest"]["catalogue"] == [str(Path.cwd() / "seen")]


def test_a_domain_file_that_is_missing_is_named_where_it_was_looked_for(tmp_path):
    path = wrote(tmp_path / "p.yaml", extends=str(DEMO), domain="configs/domains/x.yaml")
    wanted = f"{tmp_path}/configs/domains/x.yaml: cannot be read .*relative to the profile that names it"
    with pytest.raises(ConfigError, match=wanted):
        load_profile(path)


def test_every_section_with_paths_is_covered():
    """The settings that are marked, so that a new one is thought of."""
    profile = load_profile(DEMO, ["label_tree.previous=t", "image_ingest.catalogue=[c]"])
    found = {
        name
        for name in SECTIONS
        for use in (READ_PATH, WRITTEN_PATH)
        if [path for path in named_paths(profile.settings[name], use) if path]
    }
    assert found == {"preflight", "image_ingest", "label_tree", "promotion"}


def test_names_of_the_hub_are_no_relative_paths(tmp_path):
    """Unless a path of this name is there: what worked before stays."""
    (tmp_path / "team" / "model@main").mkdir(parents=True)
    named = {"base_model": "o/model@main", "general_data": "o/data@v1/part", "images": "./o/images@main"}
    path = wrote(tmp_path / "p.yaml", extends=str(DEMO), preflight=named)
    preflight = load_profile(path, ["preflight.benchmarks.0.uri=o/b@main/x.tsv"]).sections["preflight"]
    assert preflight["base_model"] == "hf://o/model@main"
    assert preflight["general_data"] == "hf://datasets/o/data@v1/part"
    assert preflight["images"] == str(tmp_path / "o/images@main")
    assert preflight["benchmarks"][0]["uri"] == "hf://datasets/o/b@main/x.tsv"
    path = wrote(tmp_path / "p.yaml", extends=str(DEMO), preflight={"base_model": "team/model@main"})
    assert load_profile(path).sections["preflight"]["base_model"] == str(tmp_path / "team/model@main")
    path = wrote(tmp_path / "p.yaml", extends=str(DEMO), preflight={"base_model": "hf://datasets/o/d@main"})
    with pytest.raises(ConfigError, match="this setting takes a model"):
        load_profile(path)

"""What names mean, and the one line that says what a name lacks."""

from __future__ import annotations

import shutil

import pytest

from components.core.stage.errors import ConfigError, DataError, NoInputError
from components.stages import TRAINING
from pipelines.serving.targets import Places, find_target, find_targets, last_run


@pytest.fixture
def run(tmp_path, checkpoints):
    """A run with a base model and the first two stages trained."""
    root = tmp_path / "run"
    (root / "outputs" / "preflight").mkdir(parents=True)
    base = tmp_path / "the base"
    shutil.copytree(checkpoints[0], base)
    (root / "outputs" / "preflight" / "base_model").write_text(f"{base}#sha256={'0' * 64}")
    for stage in TRAINING[:2]:
        shutil.copytree(checkpoints[1], root / "outputs" / stage / "checkpoint")
    return root


def test_without_a_name_it_is_the_base_model_and_the_newest_of_the_run(run):
    found = find_targets([], Places(run))
    assert [target.name for target in found] == ["base", TRAINING[1]]
    assert found[0].checkpoint.name == "the base"


def test_with_a_registry_it_is_the_base_model_and_the_current_version(run, promoted):
    found = find_targets([], Places(run, str(promoted.root), "lamps"))
    assert [target.name for target in found] == ["base", "lamps@2"]
    promoted.registry.rollback()
    assert find_target("current", Places(None, str(promoted.root), "lamps")).name == "lamps@1"


def test_a_directory_a_number_and_an_address_are_models(run, promoted, checkpoints):
    places = Places(run, str(promoted.root), "lamps")
    found = find_targets([str(checkpoints[0]), "1", "http://host:8000/v1/#qwen", "https://host/v1"], places)
    assert [target.name for target in found] == [checkpoints[0].name, "lamps@1", "qwen", "https://host/v1"]
    assert found[2].base_url == "http://host:8000/v1" and found[2].model == "qwen"


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("hybrd_rl", NoInputError, "hybrid_rl"),
        ("hybrid_rl", NoInputError, "has not ended"),
        ("7", NoInputError, "no version 7"),
        ("0", NoInputError, "no version"),
        ("/nowhere/at/all", NoInputError, "no such model"),
    ],
)
def test_a_name_that_means_nothing_ends_with_one_line(run, promoted, name, error, said):
    with pytest.raises(error, match=said) as raised:
        find_target(name, Places(run, str(promoted.root), "lamps"))
    assert "\n" not in str(raised.value)


def test_a_version_needs_a_registry_and_a_stage_a_run():
    with pytest.raises(ConfigError, match="--registry"):
        find_target("current", Places())
    with pytest.raises(NoInputError, match="make demo"):
        find_target("base", Places())


def test_a_registry_without_a_current_version_says_so(tmp_path):
    with pytest.raises(NoInputError, match="no version is current"):
        find_target("current", Places(None, str(tmp_path), "lamps"))


def test_a_changed_template_or_limit_of_pictures_is_noticed(promoted):
    places = Places(None, str(promoted.root), "lamps")
    template = promoted.checkpoint(2) / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    with pytest.raises(DataError, match="chat_template"):
        find_target("2", places)


@pytest.mark.parametrize("gone", ["config.json", "chat_template.jinja", "tokenizer_config.json"])
def test_a_directory_that_cannot_be_asked_says_what_is_missing(tmp_path, checkpoints, gone):
    shutil.copytree(checkpoints[0], tmp_path / "model")
    (tmp_path / "model" / gone).unlink()
    with pytest.raises(DataError, match="missing"):
        find_target(str(tmp_path / "model"), Places())


def test_two_models_of_one_name_are_refused(tmp_path, checkpoints):
    for folder in ("a", "b"):
        shutil.copytree(checkpoints[0], tmp_path / folder / "model")
    with pytest.raises(ConfigError, match="two models"):
        find_targets([str(tmp_path / "a" / "model"), str(tmp_path / "b" / "model")], Places())


def test_the_last_run_is_the_one_worked_on_last(run, tmp_path):
    assert last_run([tmp_path / "none", run]) == run
    assert last_run([tmp_path / "none"]) is None

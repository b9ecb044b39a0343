"""The plain fields of Kubeflow's form win over the sections: a stage's own, and those that it keeps."""

from __future__ import annotations

import json

import pytest

from components.core.stage.arguments import read_arguments
from components.core.stage.errors import ConfigError
from components.core.stage.io import StageIO, stage_io
from components.core.stage.settings import parse_settings, stage_config

SFT = StageIO()
PLACES = ["--metrics", "m", "--report", "r"]


def test_a_field_wins_over_the_section():
    line = ["--config", '{"seed": 1, "max_steps": 5}', "--field-seed", "7", *PLACES]
    config = read_arguments("curriculum_sft", SFT, line).config
    assert config == {"seed": "7", "max_steps": 5}
    assert parse_settings(stage_config("curriculum_sft"), config).seed == 7


@pytest.mark.parametrize("field", [[], ["--field-seed", ""]])
def test_an_empty_field_leaves_the_section_as_it_is(field):
    line = ["--config", '{"seed": 1}', *field, *PLACES]
    assert read_arguments("curriculum_sft", SFT, line).config == {"seed": 1}


def test_a_field_of_another_section_changes_nothing():
    line = ["--config", "{}", "--field-pictures", "/x", *PLACES]
    assert read_arguments("curriculum_sft", SFT, line).config == {}


def test_fields_come_from_the_executor_input():
    inputs = {"parameterValues": {"config": {"seed": 1.0}, "field_seed": "9"}}
    given = json.dumps({"inputs": inputs, "outputs": {}})
    found = read_arguments("curriculum_sft", SFT, [*PLACES, "--executor-input", given])
    assert found.config == {"seed": "9"}


def test_sections_that_a_stage_checks_or_keeps_have_the_fields_too():
    io = StageIO(sections=("image_ingest", "evaluation"))
    line = ["--config", '{"images": "/a"}', "--section-image-ingest", "{}", "--section-evaluation", "{}"]
    fields = ["--field-pictures", "/b", "--field-min-new-images", "12", "--field-seed", "3"]
    found = read_arguments("preflight", io, [*line, *fields, *PLACES])
    assert found.config == {"images": "/b"}
    assert json.loads(found.params["section_image_ingest"]) == {"min_new_images": "12"}
    assert json.loads(found.params["section_evaluation"]) == {"seed": "3"}


@pytest.mark.parametrize(
    ("stage", "field", "value", "message"),
    [
        ("image_ingest", "min_new_images", "many", "min_new_images: .*valid integer.*'many'"),
        ("preflight", "start_from", "last", "start_from: .*'base_model' or 'promoted'.*'last'"),
        ("curriculum_sft", "seed", "1.5", "seed: .*valid integer"),
    ],
)
def test_a_field_that_says_nonsense_is_named(stage, field, value, message):
    base = {"preflight": {"images": "a", "general_data": "b", "base_model": "c"}}.get(stage, {})
    line = ["--config", json.dumps(base), f"--field-{field.replace('_', '-')}", value, *PLACES]
    config = read_arguments(stage, StageIO(), line).config
    with pytest.raises(ConfigError, match=message):
        parse_settings(stage_config(stage), config, stage)


def test_no_option_of_a_field_is_one_of_a_stage():
    """Preflight has outputs named like fields."""
    assert {"general_data", "base_model"} < set(stage_io("preflight").written)
    line = ["--config", "{}", "--base-model", "out", "--field-base-model", "in", *PLACES]
    found = read_arguments("preflight", StageIO(output_params=("base_model",)), line)
    assert str(found.outputs["base_model"]) == "out" and found.config == {"base_model": "in"}

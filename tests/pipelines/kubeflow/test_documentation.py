"""The page of commands: the command line takes each of them, and Kubernetes takes the manifest."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import kubernetes_validate
import pytest
import typer
import yaml

from pipelines.cli import app
from pipelines.profile.run_profile import load_profile

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "kubeflow.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (vlm-posttrain .*)$", PAGE, flags=re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_one_that_there_is(line):
    command, arguments = typer.main.get_command(app), shlex.split(line)[1:]
    while hasattr(command, "commands"):
        name, *arguments = arguments
        command = command.commands[name]
    command.make_context(name, arguments)


def test_the_page_has_the_way_from_a_run_to_a_schedule():
    names = [" ".join(shlex.split(line)[1:3]) for line in COMMANDS]
    assert {"rerun RUN", "schedule replace", "schedule list", "status RUN", "logs RUN"} <= set(names)


def test_the_claims_are_those_of_the_production_profile(monkeypatch):
    monkeypatch.chdir(ROOT)
    text = re.search(r"<<EOF\n(.*?)\n +EOF", PAGE, flags=re.DOTALL)[1]
    (names,) = re.findall(r"for claim in (.*); do", PAGE)
    for name in names.split():
        kubernetes_validate.validate(yaml.safe_load(text.replace("$claim", name)), "1.31", strict=True)
    resources = load_profile(ROOT / "configs" / "qwen3-vl-8b.yaml").resources
    assert {volume.claim for task in resources.values() for volume in task.volumes} == set(names.split())

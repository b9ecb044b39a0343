"""The pages of commands: the command line takes each of them, Kubernetes takes the manifests, and every
statement says how it is known."""

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
PAGES = {
    name: (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    for name in ("kubeflow", "kubeflow_single_user", "kubeflow_multi_user")
}
NAMESPACES = {"kubeflow_single_user": "kubeflow", "kubeflow_multi_user": "vlm-posttrain"}
COMMANDS = {
    name: re.findall(r"^    (vlm-posttrain .*)$", page, flags=re.MULTILINE) for name, page in PAGES.items()
}
KNOWN = re.compile(r"\*(Seen|Read|Tested|Not tried|[Nn]ot tried)\b")


@pytest.mark.parametrize(("page", "line"), [(p, line) for p, lines in COMMANDS.items() for line in lines])
def test_a_command_is_one_that_there_is(page, line):
    command, arguments = typer.main.get_command(app), shlex.split(line)[1:]
    while hasattr(command, "commands"):
        name, *arguments = arguments
        command = command.commands[name]
    context = command.make_context(name, arguments)
    talks_to_kubeflow = "namespace" in context.params
    said = context.params.get("namespace")
    assert said == ("vlm-posttrain" if talks_to_kubeflow and page == "kubeflow_multi_user" else said and "")


@pytest.mark.parametrize("page", NAMESPACES)
def test_a_page_has_the_way_from_a_run_to_a_schedule(page):
    names = [" ".join(shlex.split(line)[1:3]) for line in COMMANDS[page]]
    assert {"rerun RUN", "schedule replace", "schedule list", "status RUN", "logs RUN"} <= set(names)


@pytest.mark.parametrize("page", NAMESPACES)
def test_the_claims_are_those_of_the_production_profile(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = re.search(r"kubectl[^\n]*apply[^\n]*<<EOF\n(.*?)\n +EOF", PAGES[page], flags=re.DOTALL)[1]
    (names,) = re.findall(r"for claim in (.*); do", PAGES[page])
    for name in names.split():
        kubernetes_validate.validate(yaml.safe_load(text.replace("$claim", name)), "1.31", strict=True)
    resources = load_profile(ROOT / "configs" / "qwen3-vl-8b.yaml").resources
    assert {volume.claim for task in resources.values() for volume in task.volumes} == set(names.split())


@pytest.mark.parametrize("page", NAMESPACES)
def test_everything_of_a_user_is_in_one_namespace(page):
    """But for Kubeflow's own services, which both kinds have in `kubeflow`."""
    lines = [line for line in PAGES[page].splitlines() if re.match(r" {4}.*(kubectl|helm) ", line)]
    namespaces = {m[1] for line in lines if "svc/" not in line for m in re.finditer(r"-n (\S+)", line)}
    assert namespaces == {NAMESPACES[page]} and len(lines) >= 4


@pytest.mark.parametrize("page", NAMESPACES)
def test_the_profile_of_a_page_is_one(page, monkeypatch, tmp_path):
    """Written as the page writes it, beside the production profile, in a copy of the profiles."""
    configs = tmp_path / "configs"
    (configs / "domains").mkdir(parents=True)
    for path in (ROOT / "configs").rglob("*.yaml"):
        (tmp_path / path.relative_to(ROOT)).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    if "sed '" in PAGES[page]:
        text = (configs / "qwen3-vl-8b.yaml").read_text(encoding="utf-8")
        moved = text.replace(".vlm-posttrain.svc", ".kubeflow.svc")
        assert moved != text
        (configs / "qwen3-vl-8b-here.yaml").write_text(moved, encoding="utf-8")
    stated = re.search(r"cat > configs/my-profile.yaml <<EOF\n(.*?)\n +EOF", PAGES[page], flags=re.DOTALL)[1]
    (configs / "my-profile.yaml").write_text(re.sub(r"^ {4}", "", stated, flags=re.MULTILINE))
    monkeypatch.chdir(tmp_path)
    profile = load_profile(configs / "my-profile.yaml")
    assert f".{NAMESPACES[page]}.svc:" in profile.sections["ids_scoring"]["endpoint"]["base_url"]
    assert profile.resources["promotion"].image_pull_secrets == ["registry"]


@pytest.mark.parametrize("page", NAMESPACES)
def test_every_step_says_how_it_is_known(page):
    steps = re.split(r"^\*\*\d+\. ", PAGES[page], flags=re.MULTILINE)[1:]
    ungrounded = [step.partition("\n")[0] for step in steps if not KNOWN.search(step)]
    assert not ungrounded and len(steps) == 10


def test_every_row_point_and_paragraph_says_how_it_is_known():
    page = PAGES["kubeflow"]
    rows = [line for line in page.splitlines() if re.match(r"\| [`*]", line) and "| what it" not in line]
    points = re.findall(r"^- .*(?:\n  .*)*", page, flags=re.MULTILINE)
    paragraphs = re.findall(r"^\*\*[A-Z].*?(?=\n\n\*\*|\n## )", page, flags=re.MULTILINE | re.DOTALL)
    assert len(rows) > 15 and len(points) > 10 and len(paragraphs) > 6
    parts = [part for part in [*rows, *points, *paragraphs] if "`multi_user`" not in part]
    assert not [part for part in parts if not KNOWN.search(part)]

"""The compiled pipeline: tasks, parameters, caching, resources, the reach of a changed image or setting."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.stages import SECTIONS, TASKS, section_of
from pipelines.graph.post_training import compile_pipeline
from pipelines.profile.run_profile import load_profile

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _in_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


def compiled(path: Path, *overrides: str) -> dict[str, Any]:
    profile = load_profile(ROOT / "configs" / "demo.yaml", overrides)
    return next(yaml.safe_load_all(compile_pipeline(profile, path).read_text()))


@pytest.fixture(scope="module")
def ir(tmp_path_factory) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return compiled(tmp_path_factory.mktemp("ir") / "pipeline.yaml")


def tasks(ir: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("-", "_"): task for name, task in ir["root"]["dag"]["tasks"].items()}


def container(ir: dict[str, Any], task: str) -> dict[str, Any]:
    component = ir["components"][f"comp-{task.replace('_', '-')}"]
    return ir["deploymentSpec"]["executors"][component["executorLabel"]]["container"]


def test_is_flat_and_has_every_task(ir):
    assert set(tasks(ir)) == set(TASKS)
    assert all("executorLabel" in component for component in ir["components"].values())


def test_parameters_are_one_described_section_each_in_stage_order(ir):
    parameters = ir["root"]["inputDefinitions"]["parameters"]
    assert sorted(parameters) == [section.parameter for section in SECTIONS.values()]
    for section in SECTIONS.values():
        assert parameters[section.parameter]["description"] == section.description
        assert parameters[section.parameter]["defaultValue"]


@pytest.mark.parametrize("task", TASKS)
def test_a_task_gets_its_own_settings_alone(ir, task):
    parameters = tasks(ir)[task]["inputs"]["parameters"]
    assert parameters["config"]["componentInputParameter"] == section_of(task).parameter
    others = [
        value for name, value in parameters.items() if name != "config" and "componentInputParameter" in value
    ]
    # Preflight checks every section; promotion keeps them with the version that it registers.
    assert bool(others) == (task in ("preflight", "promotion"))


def test_every_task_but_preflight_is_cached(ir):
    cached = {name for name, task in tasks(ir).items() if task["cachingOptions"].get("enableCache")}
    assert cached == set(TASKS) - {"preflight"}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_runs_its_component_in_the_component_s_image(ir, task):
    component = section_of(task).stage
    found = container(ir, task)
    assert found["command"] == ["python3", "-m", f"components.{component}"]
    assert f"/{component.replace('_', '-')}:" in found["image"]
    assert "{{$}}" in found["args"]


def test_checkpoints_follow_each_other_and_each_is_evaluated(ir):
    def producer(task: str, name: str) -> str:
        source = tasks(ir)[task]["inputs"]["artifacts"][name]["taskOutputArtifact"]
        return source["producerTask"].replace("-", "_")

    chain = ["sft_1_domain", "sft_2_restore", "sft_3_align", "hybrid_rl"]
    for before, after in zip(chain, chain[1:], strict=False):
        models = {
            producer(after, name)
            for name in tasks(ir)[after]["inputs"]["artifacts"]
            if name == "init_checkpoint"
        }
        assert models == {before}
    for name in chain:
        assert producer(f"evaluation_{name}", "checkpoint") == name
        assert producer("promotion", f"scores_{name}") == f"evaluation_{name}"
    assert "checkpoint" not in tasks(ir)["evaluation_base"]["inputs"]["artifacts"]
    assert producer("promotion", "checkpoint") == "hybrid_rl"


def test_resources_and_retries_come_from_the_profile(tmp_path):
    ir = compiled(
        tmp_path / "p.yaml",
        "resources.hybrid_rl={gpu: 8, cpu: 32, memory: 400G, retries: 3}",
        "resources.evaluation.gpu=1",
    )
    resources = container(ir, "hybrid_rl")["resources"]
    assert resources["accelerator"]["resourceCount"] == "8"
    assert resources["accelerator"]["resourceType"] == "nvidia.com/gpu"
    assert resources["resourceMemoryLimit"] == "400G"
    assert tasks(ir)["hybrid_rl"]["retryPolicy"]["maxRetryCount"] == 3
    assert container(ir, "evaluation_base")["resources"]["accelerator"]["resourceCount"] == "1"
    assert "resources" not in container(ir, "label_tree")


def test_a_setting_changes_its_parameter_and_nothing_else(ir, tmp_path):
    changed = compiled(tmp_path / "p.yaml", "voting_filter.posterior_threshold=0.9")
    expected = copy.deepcopy(ir)
    parameters = expected["root"]["inputDefinitions"]["parameters"]
    parameters["s06_voting_filter"]["defaultValue"]["posterior_threshold"] = 0.9
    assert changed == expected


def test_a_stage_s_new_image_changes_its_tasks_and_nothing_else(ir, tmp_path, monkeypatch):
    from components.core.stage import container_image as images

    monkeypatch.setattr(images, "_digests", lambda: {"ids_scoring": "registry.example/ids@sha256:1"})
    changed = compiled(tmp_path / "p.yaml")
    different = {task for task in TASKS if container(changed, task) != container(ir, task)}
    assert different == {"ids_scoring"}
    assert container(changed, "ids_scoring")["image"] == "registry.example/ids@sha256:1"


def test_no_run_id_time_or_secret_in_any_command(ir, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-never-in-here")
    text = json.dumps([container(ir, task) for task in TASKS])
    for placeholder in ("pipeline_job", "pipeline_task_uuid", "time", "sk-"):
        assert placeholder not in text


def test_compiles_to_the_same_bytes(tmp_path):
    profile = load_profile(ROOT / "configs" / "demo.yaml")
    first = compile_pipeline(profile, tmp_path / "a.yaml").read_bytes()
    assert first == compile_pipeline(profile, tmp_path / "b.yaml").read_bytes()

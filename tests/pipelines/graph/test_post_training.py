"""The compiled pipeline: tasks, parameters, caching, resources, the reach of a changed image or setting."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.core.stage.settings import stage_config
from components.stages import FIELDS, SECTIONS, TASKS, section_of
from pipelines.graph.flat import found_tasks
from pipelines.graph.post_training import compile_pipeline
from pipelines.profile.run_profile import load_profile

ROOT = Path(__file__).resolve().parents[3]
PROFILES = sorted((ROOT / "configs").glob("*.yaml"))
DIFFERENT = [path for path in PROFILES if not path.stem.startswith("qwen3-vl-") or path.stem == "qwen3-vl-8b"]
"""Those whose graphs differ: sizes of one model have the same tasks."""


@pytest.fixture(autouse=True)
def _in_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


def compiled(path: Path, *overrides: str, nested: bool = True) -> dict[str, Any]:
    profile = load_profile(ROOT / "configs" / "demo.yaml", overrides)
    return next(yaml.safe_load_all(compile_pipeline(profile, path, nested).read_text()))


@pytest.fixture(scope="module")
def ir(tmp_path_factory) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return compiled(tmp_path_factory.mktemp("ir") / "pipeline.yaml")


def tasks(ir: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every task as the file states it, its inputs traced through the borders of sub-graphs."""
    return {
        name: {**task.stated, "inputs": {"artifacts": task.artifacts, "parameters": task.parameters}}
        for name, task in found_tasks(ir)
    }


def container(ir: dict[str, Any], task: str) -> dict[str, Any]:
    component = ir["components"][f"comp-{task.replace('_', '-')}"]
    return ir["deploymentSpec"]["executors"][component["executorLabel"]]["container"]


def test_has_every_task(ir):
    assert set(tasks(ir)) == set(TASKS)


@pytest.mark.parametrize("path", DIFFERENT, ids=lambda path: path.stem)
def test_both_forms_are_the_same_tasks_with_the_same_arguments_and_edges(path, tmp_path):
    forms = []
    for nested in (True, False):
        text = compile_pipeline(load_profile(path), tmp_path / "p.yaml", nested).read_text()
        spec, platform = yaml.load_all(text, yaml.CSafeLoader)
        found = {
            name: (
                task.component,
                task.artifacts,
                task.parameters,
                {key: task.stated.get(key) for key in ("cachingOptions", "retryPolicy", "taskInfo")},
            )
            for name, task in found_tasks(spec)
        }
        forms.append((found, spec["deploymentSpec"], spec["root"]["inputDefinitions"], platform))
    assert forms[0] == forms[1]
    assert set(forms[0][0]) == set(TASKS)
    assert all("executorLabel" in component for component in spec["components"].values())


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_nothing_is_left_for_a_cluster_to_decide(path, nested, tmp_path):
    """No conditional argument, no optional artifact, no task without its own executor, no default in one."""
    text = compile_pipeline(load_profile(path), tmp_path / "p.yaml", nested).read_text()
    assert "IfPresent" not in text and "Concat" not in text
    spec = next(yaml.load_all(text, yaml.CSafeLoader))
    executors = [task.component["executorLabel"] for _, task in found_tasks(spec)]
    assert len(set(executors)) == len(executors) == len(spec["deploymentSpec"]["executors"])
    for name, task in found_tasks(spec):
        declared = task.component["inputDefinitions"]
        given = {"artifacts": task.artifacts, "parameters": task.parameters}
        for kind, sources in given.items():
            assert set(declared.get(kind, {})) == set(sources), name
            assert not any(
                "isOptional" in one or "defaultValue" in one for one in declared.get(kind, {}).values()
            )
        arguments = spec["deploymentSpec"]["executors"][task.component["executorLabel"]]["container"]["args"]
        assert all(isinstance(argument, str) for argument in arguments)
        for artifact in task.artifacts:
            assert f"{{{{$.inputs.artifacts['{artifact}'].path}}}}" in arguments, (name, artifact)


@pytest.mark.parametrize("nested", [True, False])
def test_too_few_new_pictures_skip_what_everything_else_depends_on(tmp_path, nested):
    ir = compiled(tmp_path / "p.yaml", nested=nested)
    main = ir["root"]["dag"]["tasks"]
    skipped = {name for name, task in main.items() if "triggerPolicy" in task}
    assert skipped == ({"data"} if nested else {"ids-scoring", "label-tree"})
    for name in skipped:
        assert main[name]["triggerPolicy"] == {"condition": "inputs.parameter_values['enough'] == 'true'"}
        enough = {"producerTask": "image-ingest", "outputParameterKey": "enough"}
        assert main[name]["inputs"]["parameters"]["enough"] == {"taskOutputParameter": enough}
    while True:
        more = {n for n, task in main.items() if set(task.get("dependentTasks", [])) & skipped} - skipped
        if not more:
            break
        skipped |= more
    assert set(main) - skipped == {"preflight", "image-ingest"}


def test_parameters_are_plain_fields_and_then_one_section_each_in_stage_order(ir):
    parameters = ir["root"]["inputDefinitions"]["parameters"]
    fields = [field.parameter for field in FIELDS.values()]
    assert sorted(parameters) == [*fields, *(section.parameter for section in SECTIONS.values())]
    for section in SECTIONS.values():
        assert parameters[section.parameter]["description"] == section.description
        assert parameters[section.parameter]["defaultValue"]
    for field in FIELDS.values():
        assert parameters[field.parameter]["parameterType"] == "STRING"
        assert parameters[field.parameter]["defaultValue"] == ""
        assert all(setting in parameters[field.parameter]["description"] for setting in field.settings)


def test_a_field_stands_for_settings_that_there_are():
    for field in FIELDS.values():
        for name in field.settings:
            section, _, setting = name.partition(".")
            assert setting in stage_config(SECTIONS[section].stage).model_fields
    seeded = {
        f"{name}.seed"
        for name, section in SECTIONS.items()
        if "seed" in stage_config(section.stage).model_fields
    }
    assert set(FIELDS["seed"].settings) == seeded


def test_a_field_reaches_the_tasks_whose_settings_it_decides_and_those_that_keep_or_check_all(ir):
    reached = {
        field.name: {
            name
            for name, task in tasks(ir).items()
            if task["inputs"]["parameters"].get(f"field_{field.name}")
            == {"componentInputParameter": field.parameter}
        }
        for field in FIELDS.values()
    }
    for field in FIELDS.values():
        sections = {name.partition(".")[0] for name in field.settings}
        own = {task for task in TASKS if section_of(task).name in sections}
        assert reached[field.name] == own | {"preflight", "promotion"}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_gets_its_own_settings_alone(ir, task):
    parameters = tasks(ir)[task]["inputs"]["parameters"]
    assert parameters["config"]["componentInputParameter"] == section_of(task).parameter
    others = [name for name, value in parameters.items() if name.startswith("section_")]
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
        assert producer("promotion", f"predictions_{name}") == f"evaluation_{name}"
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

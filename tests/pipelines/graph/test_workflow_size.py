"""The workflow that a run leaves in the cluster: how large, and why not smaller."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.graph.flat import found_tasks
from pipelines.graph.post_training import compile_pipeline
from pipelines.profile.run_profile import load_profile
from tests.pipelines.graph.workflow_size import pod_patch, task_bytes, workflow_bytes

ROOT = Path(__file__).resolve().parents[3]
RECORDED = Path(__file__).parent / "recorded" / "training_task.json"
"""A training task as Kubeflow Pipelines 2.17.0 and Argo 4.0.5 had it in a workflow: what its driver was told,
the length of the patch that it answered, and the bytes of the task's nodes."""
MIB = 2**20


@pytest.fixture(scope="module")
def production(tmp_path_factory) -> list[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        profile = load_profile(ROOT / "configs" / "qwen3-vl-8b.yaml")
        text = compile_pipeline(profile, tmp_path_factory.mktemp("ir") / "p.yaml").read_text()
    return list(yaml.load_all(text, yaml.CSafeLoader))


def test_the_estimate_is_that_of_a_recorded_task():
    seen = json.loads(RECORDED.read_text())
    of = ("component", "container", "kubernetes", "values")
    component, container, kubernetes, values = (seen[part] for part in of)
    patch = pod_patch(component, "sft-2-restore", container, kubernetes, values)
    assert len(patch) == pytest.approx(seen["patch_bytes"], rel=0.03)
    estimated = task_bytes(component, "sft-2-restore", seen["task"], container, kubernetes, values)
    assert seen["nodes"] == 6 and estimated == pytest.approx(seen["nodes_bytes"], rel=0.03)


def test_the_production_profile_leaves_a_workflow_of_one_and_a_half_mib(production):
    """It was 2.13 million bytes. One MiB cannot be had: Argo and Kubeflow alone need more for 17 tasks, six
    copies of every pod with an address, a store and a digest for each artifact. So Argo compresses the nodes.
    """
    assert workflow_bytes(*production) < 1.46 * MIB
    assert workflow_bytes(*production, settings=False) > MIB


def test_settings_stand_once_in_a_pod(production):
    spec, _ = production
    for name, task in found_tasks(spec):
        container = spec["deploymentSpec"]["executors"][task.component["executorLabel"]]["container"]
        assert not any("inputs.parameters" in argument for argument in container["args"]), name
        patch = pod_patch(task.component, name, container, {}, {"config": {"unmistakable": 1}})
        assert patch.count("unmistakable") == 1


def test_tasks_with_the_same_container_have_the_same_interface(production):
    """Kubeflow keeps one component for all tasks whose containers are equal: that of the first."""
    spec, _ = production
    found: dict[str, Any] = {}
    for name, task in found_tasks(spec):
        container = spec["deploymentSpec"]["executors"][task.component["executorLabel"]]["container"]
        interface = {key: task.component.get(key) for key in ("inputDefinitions", "outputDefinitions")}
        assert found.setdefault(json.dumps(container, sort_keys=True), interface) == interface, name

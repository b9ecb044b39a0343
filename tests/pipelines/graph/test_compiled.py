"""The compiled pipeline as Kubeflow's cache sees it, and as custom resources."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.core.stage import container_image as images
from components.stages import SECTIONS, TASKS, section_of
from pipelines.graph.compiled import Compiled, compile_manifests, version_name
from pipelines.graph.post_training import NAME, compile_pipeline
from pipelines.profile.run_profile import Profile, load_profile

ROOT = Path(__file__).resolve().parents[3]
ALL_SETTINGS = {"preflight", "promotion"}
"""Tasks that get every section: one checks them, the other keeps them with the registered model."""
CLUSTER = {
    "default": {
        "image_pull_secrets": ["registry"],
        "volumes": [{"claim": "vlm-data", "mount_path": "/data"}],
        "env": {"S3_ENDPOINT": "http://store:9000"},
        "secret_env": {"OPENAI_API_KEY": {"secret": "teacher", "key": "api-key"}},
    },
    "hybrid_rl": {"gpu": 8, "retries": 3, "timeout_s": 60},
}


@pytest.fixture(autouse=True)
def _in_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def profile(tmp_path_factory) -> Profile:
    """With everything that a cluster asks for."""
    path = tmp_path_factory.mktemp("profile") / "cluster.yaml"
    parts = {"extends": str(ROOT / "configs" / "demo.yaml"), "resources": CLUSTER}
    path.write_text(yaml.safe_dump({**parts, "image_ingest": {"min_new_images": 5}}))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return load_profile(path)


@pytest.fixture(scope="module")
def ir(profile, tmp_path_factory) -> Path:
    return compile_pipeline(profile, tmp_path_factory.mktemp("ir") / "p.yaml")


@pytest.fixture
def found(ir) -> Compiled:
    return Compiled.read(ir)


def changed(before: Compiled, now: Compiled) -> set[str]:
    """The tasks whose part of the cache key differs."""
    return {task for task in TASKS if before.key_parts(task) != now.key_parts(task)}


def test_the_order_is_a_topological_one(found):
    assert sorted(found.order) == sorted(TASKS)
    assert all(
        found.order.index(need) < found.order.index(task) for task in TASKS for need in found.needs(task)
    )
    del found.spec["root"]["dag"]["tasks"]["promotion"]  # as an older version may lack a task
    left = [task for task in TASKS if task != "promotion"]
    assert sorted(found.order) == sorted(left)
    assert all(
        found.order.index(need) < found.order.index(task) for task in left for need in found.needs(task)
    )


def test_what_follows_a_task(found):
    """By what tasks read: that a sub-graph waits for the one before it makes nothing run again."""
    assert found.followers("evaluation_base") == {"evaluation_base", "promotion"}
    assert found.followers("hybrid_rl") == {"hybrid_rl", "evaluation_hybrid_rl", "promotion"}


@pytest.mark.parametrize("section", list(SECTIONS))
def test_a_section_is_in_the_key_of_its_own_tasks_alone(profile, found, section):
    parameter = SECTIONS[section].parameter
    now = found.with_parameters({parameter: {**profile.sections[section], "changed": True}})
    assert changed(found, now) == {t for t in TASKS if section_of(t).name == section} | ALL_SETTINGS


def test_a_new_image_is_in_the_key_of_its_own_tasks_alone(profile, found, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "_digests", lambda: {"ids_scoring": "registry.example/ids@sha256:1"})
    now = Compiled.read(compile_pipeline(profile, tmp_path / "p.yaml"))
    assert changed(found, now) == {"ids_scoring"}


def test_settings_of_the_cluster_are_in_no_key_but_for_claims(found, tmp_path):
    bare = load_profile(ROOT / "configs" / "demo.yaml", ["image_ingest.min_new_images=5"])
    plain = Compiled.read(compile_pipeline(bare, tmp_path / "p.yaml"))
    for task in TASKS:
        parts = found.key_parts(task)
        assert parts.pop("claims") == ["vlm-data"]
        expected = plain.key_parts(task)
        assert expected.pop("claims") == [] and parts == expected


def test_no_argument_changes_from_run_to_run(profile, ir, found, tmp_path, monkeypatch):
    """Arguments are hashed with their placeholders: only fixed text, inputs and outputs may be in them."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-never-in-here")
    resolved = r"\{\{\$(\.(inputs|outputs)\.(parameters|artifacts)\[[^]]+\](\.(path|output_file))?)?\}\}"
    for task in TASKS:
        for argument in found.key_parts(task)["command"]:
            assert "{{" not in re.sub(resolved, "", argument), (task, argument)
    text = compile_pipeline(profile, tmp_path / "again.yaml").read_text()
    assert "sk-never-in-here" not in text and "workflow." not in text
    assert text == ir.read_text()


def test_without_cache_changes_the_caching_of_these_tasks_and_nothing_else(ir, found, tmp_path):
    now = found.without_cache({"hybrid_rl"})
    assert not now.is_cached("hybrid_rl") and found.is_cached("hybrid_rl")
    assert version_name(now.write(tmp_path / "w.yaml")) != version_name(ir)
    training = now.spec["components"]["comp-reinforcement"]["dag"]["tasks"]
    training["hybrid-rl"]["cachingOptions"] = {"enableCache": True}
    assert now == found
    written = now.write(tmp_path / "w.yaml")
    assert Compiled.read(written) == now
    assert version_name(written) == version_name(ir)  # other comments, same content


def test_another_spelling_of_the_same_is_the_same(found):
    """A Kubeflow that keeps pipelines in Kubernetes rewrites them, e.g. 2 for 2.0 and 30s for 30.000s."""
    policy = {
        "maxRetryCount": 3.0,
        "backoffDuration": "30.000s",
        "backoffFactor": 2,
        "backoffMaxDuration": "2592000s",
    }
    spec = json.loads(json.dumps(found.spec))
    training = spec["components"]["comp-reinforcement"]["dag"]["tasks"]
    training["hybrid-rl"]["retryPolicy"] = policy
    assert Compiled(spec, found.platform) != found and Compiled(spec, found.platform).same_as(found)
    policy["maxRetryCount"] = 4
    assert not Compiled(spec, found.platform).same_as(found)
    assert not Compiled(found.spec, {}).same_as(found)


def test_what_the_api_answers_is_read_with_and_without_pod_settings(found):
    both = {"pipeline_spec": found.spec, "platform_spec": found.platform}
    assert Compiled.received(both) == found
    assert Compiled.received(found.spec) == Compiled(found.spec, {})


def test_manifests_carry_what_an_upload_carries(profile, ir, tmp_path):
    written = compile_manifests(profile, tmp_path / "out" / "m.yaml", "team")
    documents: list[dict[str, Any]] = list(yaml.load_all(written.read_text(), yaml.CSafeLoader))
    pipeline, version = documents
    assert [d["kind"] for d in documents] == ["Pipeline", "PipelineVersion"]
    assert {d["apiVersion"] for d in documents} == {"pipelines.kubeflow.org/v2beta1"}
    assert pipeline["metadata"] == {"name": NAME, "namespace": "team"}
    name = version_name(ir)
    assert version["metadata"] == {"name": f"{NAME}-{name}", "namespace": "team"}
    names = {key: version["spec"][key] for key in ("pipelineName", "displayName", "versionName")}
    assert names == {"pipelineName": NAME, "displayName": name, "versionName": name}
    found = Compiled(version["spec"]["pipelineSpec"], version["spec"]["platformSpec"])
    assert found == Compiled.read(ir)
    tasks = found.spec["root"]["dag"]["tasks"]
    assert {t for t in tasks if tasks[t].get("triggerPolicy", {}).get("condition")} == {"data"}


def test_another_setting_is_another_version_of_the_same_pipeline(profile, tmp_path):
    def version(*overrides: str) -> tuple[str, str]:
        changed = load_profile(ROOT / "configs" / "demo.yaml", overrides)
        written = compile_manifests(changed, tmp_path / "m.yaml").read_text()
        found = list(yaml.load_all(written, yaml.CSafeLoader))
        assert "namespace" not in found[0]["metadata"]
        return found[0]["metadata"]["name"], found[1]["metadata"]["name"]

    first, second = version(), version("hybrid_rl.max_steps=7")
    assert first[0] == second[0] and first[1] != second[1]

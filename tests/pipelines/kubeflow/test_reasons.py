"""Why a task failed: Argo's messages and stages' last lines in words."""

from __future__ import annotations

import json

import pytest

from pipelines.kubeflow.reasons import advice, last_line, reason, waiting
from pipelines.kubeflow.workflow import TaskState, Workflow
from tests.pipelines.kubeflow.imitation import argo


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("main: OOMKilled (exit code 137)", "raise resources.hybrid_rl.memory"),
        ("The node was low on resource: memory. Threshold quantity: 100Mi", "resources.hybrid_rl.memory"),
        ("main: Error (exit code 137)", "ran out of memory"),
        ("Pod ephemeral local storage usage exceeds the total limit of containers 2Gi.", "ephemeral storage"),
        ("The node was low on resource: ephemeral-storage.", "ephemeral storage"),
        ('pods "x" is forbidden: exceeded quota: compute, requested: limits.cpu=8', "ResourceQuota"),
        ('pods "x" is forbidden: maximum memory usage per Container is 4Gi, but limit is 8Gi', "LimitRange"),
        (
            'pods "x" is forbidden: error looking up service account a/b: serviceaccount "b" not found',
            "--service",
        ),
        ("ImagePullBackOff: Back-off pulling image", "resources.hybrid_rl.image_pull_secrets"),
        ('Error: secret "hugging-face" not found', "resources.hybrid_rl.secret_env"),
        ('Unschedulable: 0/1 nodes are available: persistentvolumeclaim "vlm-data" not found.', "volumes"),
        ("Unschedulable: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", "no node has room"),
        ("Unschedulable: 0/3 nodes are available: 3 node(s) had untolerated taint {gpu: }.", "tolerations"),
        ("Pod was active on the node longer than the specified deadline", "resources.hybrid_rl.timeout_s"),
        ("pod deleted", "resources.hybrid_rl.retries"),
        ("main: Error (exit code 1)", ""),
        ("", ""),
    ],
)
def test_a_message_names_the_setting_that_changes_it(message, expected):
    found = advice("hybrid_rl", TaskState("FAILED", message))
    assert expected in found and bool(found) == bool(expected)


def test_a_reason_is_one_line_with_all_that_is_known():
    state = TaskState("FAILED", "main: Error\n(exit code 1)")
    assert reason("promotion", state, "no rows left;\ncheck the folder") == (
        "main: Error (exit code 1); no rows left; check the folder"
    )
    assert reason("promotion", TaskState("FAILED")) == ""


def test_waiting_is_told_where_somebody_has_to_act():
    assert waiting("promotion", TaskState("PENDING", "ContainerCreating")) == ""
    assert "resources.promotion" in waiting("promotion", TaskState("PENDING", "Unschedulable: 0/1 nodes"))
    assert waiting("promotion", TaskState("FAILED", "Unschedulable: 0/1 nodes")) == ""


def entry(level: str, message: str) -> str:
    return json.dumps({"time": "t", "level": level, "stage": "promotion", "message": message})


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            [entry("info", "begins"), entry("error", "no rows left"), "I1126 launcher_v2.go:1] x"],
            "no rows left",
        ),
        ([entry("error", "first"), entry("info", "saved"), '{"broken'], "first"),
        ([entry("error", "failed unexpectedly\nTraceback …\nKeyError: 'x'\n")], "KeyError: 'x'"),
        ([entry("info", "step 7")], "step 7"),
        (['{"not": "ours"}', "{", "Killed"], ""),
        ([], ""),
    ],
)
def test_the_last_line_of_a_stage(lines, expected):
    assert last_line(lines) == expected


def test_a_driver_that_failed_is_its_task_s_failure():
    found = argo.workflow("x", {"preflight": "SUCCEEDED", "image_ingest": "OMITTED"})
    nodes = found["status"]["nodes"]
    name = "vlm-post-training-x(0).root(0).image-ingest-driver(0)"
    nodes[name] = {
        "name": name,
        "type": "Pod",
        "phase": "Error",
        "message": "pods are forbidden: exceeded quota",
    }
    state = Workflow(found).tasks["image_ingest"]
    assert state.state == "FAILED" and state.message == "driver: pods are forbidden: exceeded quota"
    assert "ResourceQuota" in advice("image_ingest", state) and Workflow(found).problems == {}


def test_what_failed_before_any_task_is_told_too():
    found = argo.workflow("x", {})
    name = "vlm-post-training-x(0).root-driver(0)"
    found["status"] |= {"message": "entrypoint failed", "nodes": {
        name: {"name": name, "type": "Pod", "phase": "Failed", "message": "Error (exit code 1)"}
    }}  # fmt: skip
    assert Workflow(found).problems == {
        "root-driver": "Error (exit code 1)", "vlm-post-training-x": "entrypoint failed"
    }  # fmt: skip

"""Per-stage settings of the cluster: merging, refusals, and their place in the compiled pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig

from components.core.stage.errors import ConfigError
from components.core.stage.settings import parse_settings
from components.stages import TASKS
from pipelines.graph.flat import found_tasks
from pipelines.graph.post_training import compile_pipeline
from pipelines.profile.resources import Resources
from pipelines.profile.run_profile import Profile, load_profile

ROOT = Path(__file__).resolve().parents[3]
STATED = {
    "default": {
        "cpu": 4,
        "image_pull_secrets": ["registry"],
        "volumes": [{"claim": "vlm-data", "mount_path": "/data"}],
        "env": {"VLM_WORK_ROOT": "/data/work"},
        "pod_labels": {"team": "vision"},
        "node_selector": {"pool": "general"},
    },
    "evaluation": {"gpu": 1, "timeout_s": 3600},
    "hybrid_rl": {
        "gpu": 8,
        "gpu_type": "amd.com/gpu",
        "memory": "400G",
        "retries": 3,
        "timeout_s": 86400,
        "shared_memory": "64Gi",
        "node_selector": {"pool": "training", "spot": False},
        "tolerations": [
            {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"},
            {"key": "spot", "value": "yes", "effect": "NoExecute", "seconds": 60},
        ],
        "secret_env": {"HF_TOKEN": {"secret": "hugging-face", "key": "token"}},
        "env": {"NCCL_DEBUG": "WARN"},
    },
}


@pytest.fixture(scope="module")
def profile(tmp_path_factory) -> Profile:
    path = tmp_path_factory.mktemp("profile") / "run.yaml"
    path.write_text(yaml.safe_dump({"extends": str(ROOT / "configs" / "demo.yaml"), "resources": STATED}))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return load_profile(path)


@pytest.fixture(scope="module")
def compiled(profile, tmp_path_factory) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pipeline, and the pod settings by executor."""
    spec, platform = yaml.safe_load_all(
        compile_pipeline(profile, tmp_path_factory.mktemp("ir") / "p.yaml").read_text()
    )
    return spec, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def container(spec: dict[str, Any], task: str) -> dict[str, Any]:
    return spec["deploymentSpec"]["executors"][f"exec-{task}"]["container"]


def test_default_evaluation_and_task_are_merged_key_by_key(profile):
    training, evaluation = profile.resources["hybrid_rl"], profile.resources["evaluation_base"]
    assert training.env == {"VLM_WORK_ROOT": "/data/work", "NCCL_DEBUG": "WARN"}
    assert training.node_selector == {"pool": "training", "spot": "false"}
    assert (evaluation.gpu, evaluation.timeout_s, evaluation.cpu) == (1, 3600, "4")
    assert {profile.resources[task].pod_labels["team"] for task in TASKS} == {"vision"}


def test_limits_retries_and_variables_are_in_the_pipeline(compiled):
    spec, _ = compiled
    resources = container(spec, "hybrid-rl")["resources"]
    assert (
        resources["accelerator"] | {"resourceType": "amd.com/gpu", "resourceCount": "8"}
        == resources["accelerator"]
    )
    assert resources["resourceCpuLimit"] == "4" and resources["resourceMemoryLimit"] == "400G"
    assert container(spec, "hybrid-rl")["env"] == [
        {"name": "NCCL_DEBUG", "value": "WARN"},
        {"name": "VLM_WORK_ROOT", "value": "/data/work"},
    ]
    tasks = dict(found_tasks(spec))
    assert tasks["hybrid_rl"].stated["retryPolicy"] == {
        "maxRetryCount": 3,
        "backoffDuration": "30s",
        "backoffFactor": 2.0,
        "backoffMaxDuration": "2592000s",
    }
    assert "retryPolicy" not in tasks["label_tree"].stated


def test_pod_settings_are_beside_it(compiled):
    _, pods = compiled
    training = pods["exec-hybrid-rl"]
    assert training["activeDeadlineSeconds"] == "86400"
    assert training["emptyDirMounts"] == [
        {"medium": "Memory", "mountPath": "/dev/shm", "sizeLimit": "64Gi", "volumeName": "shared-memory"}
    ]
    assert training["nodeSelector"]["labels"] == {"pool": "training", "spot": "false"}
    assert training["tolerations"] == [
        {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"},
        {
            "key": "spot",
            "operator": "Equal",
            "value": "yes",
            "effect": "NoExecute",
            "tolerationSeconds": "60",
        },
    ]
    (secret,) = training["secretAsEnv"]
    assert secret["secretName"] == "hugging-face"
    assert secret["keyToEnv"] == [{"secretKey": "token", "envVar": "HF_TOKEN"}]
    assert [s["secretName"] for s in training["imagePullSecret"]] == ["registry"]
    assert [(v["constant"], v["mountPath"]) for v in training["pvcMount"]] == [("vlm-data", "/data")]
    assert training["podMetadata"]["labels"] == {"team": "vision"}
    assert "emptyDirMounts" not in pods["exec-label-tree"] and "tolerations" not in pods["exec-label-tree"]
    assert set(pods) == {f"exec-{task.replace('_', '-')}" for task in TASKS}


def test_every_pod_s_settings_are_a_message_that_kubeflow_reads(compiled):
    _, pods = compiled
    for settings in pods.values():
        json_format.ParseDict(settings, KubernetesExecutorConfig())  # an unknown or wrong field raises


def test_a_profile_without_resources_makes_a_plain_pipeline(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    ir = compile_pipeline(load_profile(ROOT / "configs" / "demo.yaml"), tmp_path / "p.yaml")
    spec, platform = yaml.safe_load_all(ir.read_text())
    assert "env" not in container(spec, "hybrid-rl")
    assert "pipelineConfig" in platform["platforms"]["kubernetes"]
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(pods) == {f"exec-{task.replace('_', '-')}" for task in TASKS}
    assert all(pod == {"securityContext": {"runAsNonRoot": True}} for pod in pods.values())


def test_a_task_may_run_as_root_where_its_profile_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    stated = ["resources.label_tree.run_as_non_root=false"]
    ir = compile_pipeline(load_profile(ROOT / "configs" / "demo.yaml", stated), tmp_path / "p.yaml")
    pods = list(yaml.safe_load_all(ir.read_text()))[1]["platforms"]["kubernetes"]["deploymentSpec"]
    tasks = set(TASKS) - {"label_tree"}
    assert set(pods["executors"]) == {f"exec-{task.replace('_', '-')}" for task in tasks}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"env": {"HF_TOKEN": "hf_x"}}, "use secret_env"),
        ({"env": {"AWS_ACCESS_KEY_ID": "x"}}, "use secret_env"),
        ({"env": {"1X": "x"}}, "not the name of an environment variable"),
        (
            {"env": {"A": "x"}, "secret_env": {"A": {"secret": "s", "key": "k"}}},
            "in env and in secret_env: A",
        ),
        ({"secret_env": {"A": {"secret": "s"}}}, "r.secret_env.A.key"),
        ({"secret_env": {"A": {"secret": "S_S", "key": "k"}}}, "r.secret_env.A.secret"),
        ({"secret_env": {"A": {"name": "s", "key": "k"}}}, "unknown setting"),
        ({"tolerations": [{"value": "x"}]}, "without a key the operator has to be Exists"),
        ({"tolerations": [{"key": "a", "operator": "Exists", "value": "x"}]}, "Exists takes no value"),
        ({"tolerations": [{"key": "a", "seconds": 5}]}, "only go with effect NoExecute"),
        ({"tolerations": [{"key": "a", "efect": "NoExecute"}]}, "did you mean 'effect'"),
        ({"volumes": [{"claim": "c", "mount_path": "data"}]}, "absolute path"),
        ({"volumes": [{"claim": "vlm.data", "mount_path": "/data"}]}, "claim: String should match"),
        ({"volumes": [{"claim": "vlm_data", "mount_path": "/data"}]}, "claim: String should match"),
        ({"volumes": [{"claim": "-data", "mount_path": "/data"}]}, "claim: String should match"),
        ({"volumes": [{"claim": "c" * 64, "mount_path": "/data"}]}, "at most 63 characters"),
        ({"volumes": [{"claim": "c", "mount_path": "/a/../b"}]}, "absolute path"),
        ({"volumes": [{"claim": "c", "mount_path": "/a", "sub_path": "/b"}]}, "relative path"),
        ({"volumes": [{"claim": "c", "mount_path": p} for p in ("/a", "/b")]}, "can be mounted once"),
        ({"volumes": [{"claim": c, "mount_path": "/a"} for c in ("c", "d")]}, "at one path"),
        (
            {"shared_memory": "1Gi", "volumes": [{"claim": "c", "mount_path": "/dev/shm"}]},
            "mounted at one path",
        ),
        ({"pod_labels": {"pipeline/runid": "x"}}, "belongs to Kubeflow"),
        ({"pod_labels": {"team": "a b"}}, "r.pod_labels.team"),
        ({"node_selector": {"a/b/c": "x"}}, "r.node_selector"),
        ({"image_pull_secrets": ["Registry"]}, "r.image_pull_secrets.0"),
        ({"gpu_type": "H200"}, "r.gpu_type"),
        ({"backoff_factor": 1.5}, "r.backoff_factor"),
        ({"timeout_s": -1}, "r.timeout_s"),
    ],
)
def test_what_a_cluster_would_refuse_is_refused_here(settings, message):
    with pytest.raises(ConfigError) as caught:
        parse_settings(Resources, settings, where="r")
    assert message in str(caught.value)


def test_a_wrong_default_is_told_once(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigError) as caught:
        load_profile(ROOT / "configs" / "demo.yaml", ["resources.default={gpus: 1}"])
    assert str(caught.value) == ("resources.default.gpus: unknown setting; did you mean 'gpu'?")

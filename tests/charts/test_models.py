"""Model servers: names, arguments, volumes, GPUs, replicas, autoscaling, monitors."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from pipelines.profile.run_profile import load_profile

ROOT = Path(__file__).resolve().parents[2]


def one(objects, kind: str, name: str) -> dict:
    return objects.kind(kind)[f"vlm-posttrain-{name}"]


def container(objects, name: str) -> dict:
    return one(objects, "Deployment", name)["spec"]["template"]["spec"]["containers"][0]


def volumes(objects, name: str) -> dict:
    spec = one(objects, "Deployment", name)["spec"]["template"]["spec"]
    return {volume["name"]: volume for volume in spec["volumes"]}


def endpoints(value) -> set[tuple[str, str]]:
    """(base_url, model) of every endpoint in a profile."""
    if isinstance(value, dict):
        own = {(value["base_url"], value["model"])} if "base_url" in value else set()
        return own.union(*(endpoints(child) for child in value.values()))
    return set().union(*(endpoints(child) for child in value)) if isinstance(value, list) else set()


def test_the_production_profile_finds_its_servers(named_set):
    objects = named_set("qwen3-vl-8b")
    wanted = endpoints(yaml.safe_load((ROOT / "configs" / "qwen3-vl-8b.yaml").read_text()))
    served = set()
    for name, service in objects.kind("Service").items():
        args = container(objects, name)["args"]
        port = service["spec"]["ports"][0]["port"]
        url = f"http://{name}.{service['metadata']['namespace']}.svc:{port}/v1"
        served.add((url, args[args.index("--served-model-name") + 1]))
    assert wanted == served
    assert {urlsplit(url).hostname.split(".")[0] for url, _ in wanted} == set(objects.kind("Service"))


def test_no_server_is_on_by_default(render):
    assert not render().kind("Deployment")


def test_arguments_of_a_server_from_the_hub(named_set):
    server = container(named_set("hub-and-path"), "teacher")
    assert server["command"] == ["vllm", "serve"]
    assert server["args"][:11] == [
        "Qwen/Qwen3-VL-235B-A22B-Instruct",
        "--served-model-name",
        "Qwen/Qwen3-VL-235B-A22B-Instruct",
        "--host",
        "0.0.0.0",
        "--port",
        "8000",
        "--tensor-parallel-size",
        "8",
        "--revision",
        "main",
    ]
    assert server["args"][11:13] == ["--max-model-len", "32768"]
    assert "HF_HUB_OFFLINE" not in {variable["name"] for variable in server["env"]}


def test_servers_that_answer_have_sampling_settings_and_structure_of_ours(named_set):
    objects = named_set("qwen3-vl-8b")
    for name in ("teacher", "voter-a", "voter-b", "voter-c"):
        args = container(objects, name)["args"]
        assert args[args.index("--generation-config") + 1] == "vllm"
        structured = json.loads(args[args.index("--structured-outputs-config") + 1])
        assert structured == {"backend": "xgrammar", "disable_any_whitespace": True}
    assert "--generation-config" not in container(objects, "embedder")["args"]
    assert "--structured-outputs-config" not in container(objects, "embedder")["args"]


def test_arguments_of_one_s_own_take_the_place_of_the_defaults(render):
    own = ["--generation-config=auto", "--structured-outputs-config", '{"backend": "guidance"}']
    objects = render({"models": {"teacher": {"enabled": True, "extraArgs": own}}})
    args = container(objects, "teacher")["args"]
    assert [arg for arg in args if "config" in arg] == own[:2]


def test_the_server_of_rollouts_has_what_the_trainer_asks_of_it(render):
    server = container(render({"models": {"policy": {"enabled": True}}}), "policy")
    args = " ".join(server["args"])
    for flag in (
        '--weight-transfer-config {"backend": "nccl"}',
        "--enable-scale-out",
        "--logprobs-mode processed_logprobs",
        "--generation-config vllm",
    ):
        assert flag in args
    assert {"name": "VLLM_SERVER_DEV_MODE", "value": "1"} in server["env"]


def test_a_path_is_served_from_a_read_only_claim_and_offline(named_set):
    objects = named_set("existing-claims")
    server = container(objects, "embedder")
    assert server["args"][:3] == ["/weights/Qwen3-Embedding-0.6B", "--served-model-name", "embedder"]
    mounts = {mount["mountPath"]: mount for mount in server["volumeMounts"]}
    assert mounts["/weights"]["readOnly"] is True
    assert volumes(objects, "embedder")["weights"]["persistentVolumeClaim"]["claimName"] == "weights"
    assert volumes(objects, "embedder")["cache"]["persistentVolumeClaim"]["claimName"] == "vllm-cache"
    assert {"name": "HF_HUB_OFFLINE", "value": "1"} in server["env"]
    assert not objects.kind("PersistentVolumeClaim")
    assert "vlm-posttrain-models-to-hub" not in objects.kind("NetworkPolicy")


def test_a_created_claim_outlives_the_release(named_set):
    claim = named_set("qwen3-vl-8b").kind("PersistentVolumeClaim")["vlm-posttrain-teacher-cache"]
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert claim["spec"]["resources"]["requests"]["storage"] == "700Gi"
    assert claim["spec"]["storageClassName"] == "fast"


def test_shared_memory_is_memory_and_within_the_limit(named_set):
    objects = named_set("qwen3-vl-8b")
    assert volumes(objects, "teacher")["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "64Gi"}
    assert container(objects, "teacher")["resources"]["limits"]["memory"] == "512Gi"


def test_gpus_are_limits_requests_and_tensor_parallel_size(named_set):
    objects = named_set("several-gpus")
    teacher, embedder = container(objects, "teacher"), container(objects, "embedder")
    assert teacher["resources"]["limits"]["nvidia.com/gpu"] == 8
    assert teacher["resources"]["requests"]["nvidia.com/gpu"] == 8
    assert embedder["resources"]["limits"]["nvidia.com/mig-1g.18gb"] == 1
    assert "nvidia.com/gpu" not in embedder["resources"]["limits"]
    assert "--tensor-parallel-size" not in embedder["args"]


def test_a_server_without_gpus_asks_for_none(render):
    objects = render({"models": {"embedder": {"enabled": True, "gpus": {"count": 0}}}})
    assert "nvidia.com/gpu" not in container(objects, "embedder")["resources"]["limits"]


def test_probes_give_an_hour_to_start(named_set):
    server = container(named_set("minimal"), "teacher")
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert server[probe]["httpGet"] == {"path": "/health", "port": "http"}
    assert server["startupProbe"]["periodSeconds"] * server["startupProbe"]["failureThreshold"] == 3600
    deployment = one(named_set("minimal"), "Deployment", "teacher")["spec"]
    assert deployment["progressDeadlineSeconds"] > 3600


def test_rollouts_need_no_spare_gpu_unless_asked(named_set):
    assert one(named_set("minimal"), "Deployment", "teacher")["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1},
    }
    several = named_set("several-gpus")
    assert one(several, "Deployment", "teacher")["spec"]["strategy"]["rollingUpdate"] == {
        "maxSurge": 1,
        "maxUnavailable": 0,
    }
    assert one(several, "Deployment", "voter-b")["spec"]["strategy"] == {"type": "Recreate"}


def test_placement_reaches_the_pod_and_a_spread_selects_its_own_pods(named_set):
    objects = named_set("several-gpus")
    template = one(objects, "Deployment", "voter-a")["spec"]["template"]
    spec = template["spec"]
    assert spec["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-H200"}
    assert spec["priorityClassName"] == "vlm-posttrain"
    assert spec["runtimeClassName"] == "nvidia"
    assert "nodeAffinity" in spec["affinity"]
    (spread,) = spec["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert spread["labelSelector"]["matchLabels"]["vlm-posttrain/model"] == "voter-a"


def test_a_disruption_budget_only_where_there_are_several(named_set):
    assert set(named_set("several-gpus").kind("PodDisruptionBudget")) == {
        "vlm-posttrain-teacher",
        "vlm-posttrain-voter-a",
    }
    assert set(named_set("hpa").kind("PodDisruptionBudget")) == {"vlm-posttrain-voter-a"}
    assert not named_set("qwen3-vl-8b").kind("PodDisruptionBudget")


def test_false_in_a_model_beats_true_in_the_defaults(render):
    objects = render(
        {"models": {"teacher": {"enabled": True, "replicas": 2, "disruptionBudget": {"enabled": False}}}}
    )
    assert not objects.kind("PodDisruptionBudget")


def test_hpa_scales_on_the_queue(named_set):
    spec = one(named_set("hpa"), "HorizontalPodAutoscaler", "voter-a")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 6)
    assert spec["metrics"] == [
        {
            "type": "Pods",
            "pods": {
                "metric": {"name": "vllm_num_requests_waiting"},
                "target": {"type": "AverageValue", "averageValue": "4"},
            },
        }
    ]


def test_keda_scales_on_the_queue(named_set):
    objects = named_set("keda")
    spec = one(objects, "ScaledObject", "teacher")["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (1, 3)
    (trigger,) = spec["triggers"]
    assert trigger["type"] == "prometheus"
    assert {type(value) for value in trigger["metadata"].values()} == {str}
    query = trigger["metadata"]["query"]
    assert query.startswith('sum(vllm:num_requests_waiting{namespace="vlm-posttrain",')
    pods = re.compile(re.search(r'pod=~"([^"]+)"', query)[1])
    assert pods.fullmatch("vlm-posttrain-teacher-6d5f9c7b8-x2k4q")
    assert not pods.fullmatch("vlm-posttrain-teacher-large-6d5f9c7b8-x2k4q")
    (own,) = one(objects, "ScaledObject", "voter-a")["spec"]["triggers"]
    assert own["authenticationRef"] == {"name": "prometheus"}
    assert own["metadata"]["query"] == 'max(vllm:num_requests_waiting{job="a"})'


@pytest.mark.parametrize(
    ("name", "kind", "endpoints"),
    [("keda", "ServiceMonitor", "endpoints"), ("hpa", "PodMonitor", "podMetricsEndpoints")],
)
def test_monitors_select_the_servers(named_set, name, kind, endpoints):
    objects = named_set(name)
    (monitor,) = objects.kind(kind).values()
    (endpoint,) = monitor["spec"][endpoints]
    assert endpoint["path"] == "/metrics"
    labels = [item["metadata"]["labels"] for item in objects.kind("Service").values()]
    if kind == "PodMonitor":
        labels = [pod for _, pod, _ in objects.pods()]
    wanted = monitor["spec"]["selector"]["matchLabels"]
    assert labels
    assert all(wanted.items() <= of.items() for of in labels)
    assert endpoint["port"] in {port["name"] for port in container(objects, "voter-a")["ports"]}


def test_profiles_that_the_chart_carries_load(named_set, tmp_path):
    """As the schedule's job sees them: files side by side."""
    (config,) = named_set("schedule").kind("ConfigMap").values()
    for name, text in config["data"].items():
        (tmp_path / name).write_text(text)
    weekly = load_profile(tmp_path / "weekly.yaml")
    assert weekly.name == "weekly"
    assert weekly.sections["image_ingest"]["min_new_images"] == 500
    assert weekly.sections["voting_filter"]["voters"][0]["model"] == "Qwen/Qwen3-VL-32B-Instruct"


def test_every_shipped_profile_survives_the_config_map(render):
    files = {path.name: path.read_text() for path in sorted((ROOT / "configs").glob("*.yaml"))}
    (config,) = render({"profiles": {"files": files}}).kind("ConfigMap").values()
    assert config["data"] == files

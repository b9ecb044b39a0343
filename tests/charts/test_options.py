"""Schedule, Ray, quota, priority, and the names that a release gets."""

from __future__ import annotations

import re

import pytest
import typer
import yaml

from pipelines.cli import app
from tests.charts.conftest import CHART


def test_the_schedule_is_a_hook_that_replaces_the_recurring_run(named_set):
    objects = named_set("schedule")
    job = objects.kind("Job")["vlm-posttrain-schedule"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "post-install,post-upgrade"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example/team/cli:9a4465c11d20"
    command, settings = container["args"][:6], container["args"][6:]
    assert command == ["python3", "-m", "pipelines", "schedule", "replace", "weekly"]
    assert dict(zip(settings[::2], settings[1::2], strict=True)) == {
        "--profile": "/profiles/weekly.yaml",
        "--cron": "0 0 2 * * 0",
        "--timezone": "Europe/Berlin",
        "--kubeflow-timezone": "Europe/Berlin",
        "--service-account": "vlm-posttrain-pipeline",
        "--host": "http://ml-pipeline.kubeflow.svc:8888",
        "--namespace": "vlm-posttrain",
    }
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"  # a pod failure policy asks for it


@pytest.mark.parametrize("name", ["schedule", "everything"])
def test_the_command_line_takes_what_the_schedule_s_job_gives_it(named_set, name):
    job = named_set(name).kind("Job")["vlm-posttrain-schedule"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["args"][:4] == ["python3", "-m", "pipelines", "schedule"]
    command, arguments = container["args"][4], container["args"][5:]
    schedule = typer.main.get_command(app).commands["schedule"]
    context = schedule.commands[command].make_context(command, list(arguments))
    assert context.params["name"] == arguments[0]
    assert str(context.params["profile"]).startswith("/profiles/")
    assert len(context.params["cron"].split()) == 6
    assert context.params["namespace"] == "vlm-posttrain"


def test_permanent_errors_of_the_schedule_are_not_retried(named_set):
    (rule,) = named_set("schedule").kind("Job")["vlm-posttrain-schedule"]["spec"]["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob"
    assert all(64 <= code <= 78 for code in rule["onExitCodes"]["values"])


def test_the_schedule_s_token_is_for_kubeflow_only(named_set):
    spec = named_set("schedule").kind("Job")["vlm-posttrain-schedule"]["spec"]["template"]["spec"]
    (source,) = next(v for v in spec["volumes"] if v["name"] == "token")["projected"]["sources"]
    assert source["serviceAccountToken"]["audience"] == "pipelines.kubeflow.org"
    mount = next(m for m in spec["containers"][0]["volumeMounts"] if m["name"] == "token")
    (path,) = (v["value"] for v in spec["containers"][0]["env"] if v["name"] == "KFP_TOKEN_FILE")
    assert path == f"{mount['mountPath']}/{source['serviceAccountToken']['path']}"


def test_the_schedule_may_replace_recurring_runs_and_not_touch_runs(named_set):
    rules = named_set("schedule").kind("Role")["vlm-posttrain-schedule"]["rules"]
    verbs = {resource: rule["verbs"] for rule in rules for resource in rule["resources"]}
    assert verbs.keys() == {"pipelines", "pipelineversions", "experiments", "jobs", "runs"}
    assert set(verbs["runs"]) == {"get", "list"}
    assert {"create", "delete"} <= set(verbs["jobs"])
    assert "delete" not in verbs["pipelines"]
    assert {group for rule in rules for group in rule["apiGroups"]} == {"pipelines.kubeflow.org"}


def test_there_is_no_schedule_by_default(render):
    assert not render().kind("Job")


def test_the_ray_cluster(named_set):
    cluster = named_set("ray").kind("RayCluster")["vlm-posttrain-ray"]
    spec = cluster["spec"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", spec["rayVersion"])
    assert {type(v) for v in spec["headGroupSpec"]["rayStartParams"].values()} == {str}
    (workers,) = spec["workerGroupSpecs"]
    assert (workers["replicas"], workers["minReplicas"], workers["maxReplicas"]) == (4, 4, 4)
    (container,) = workers["template"]["spec"]["containers"]
    ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    assert ports["raylet"] == workers["rayStartParams"]["node-manager-port"]
    mounts = {m["mountPath"]: m.get("readOnly", False) for m in container["volumeMounts"]}
    assert mounts == {"/tmp": False, "/dev/shm": False, "/data": True, "/work-volume": False}
    env = {variable["name"]: variable for variable in container["env"]}
    assert env["S3_ENDPOINT"]["value"] == "http://minio-service.kubeflow.svc:9000"
    assert env["AWS_SECRET_ACCESS_KEY"]["valueFrom"]["secretKeyRef"] == {
        "name": "object-store",
        "key": "secretkey",
    }


def test_ray_is_the_version_that_the_images_lock(render):
    lock = (CHART.parents[1] / "requirements" / "data.lock").read_text()
    locked = re.search(r"^ray==(\S+)", lock, flags=re.MULTILINE)[1]
    cluster = render({"ray": {"enabled": True, "image": {"tag": "x"}}}).kind("RayCluster")[
        "vlm-posttrain-ray"
    ]
    assert cluster["spec"]["rayVersion"] == locked


def test_quota_limits_and_priority(named_set):
    objects = named_set("everything")
    (quota,) = objects.kind("ResourceQuota").values()
    assert quota["spec"]["hard"] == {"requests.nvidia.com/gpu": "16", "persistentvolumeclaims": "20"}
    (limits,) = objects.kind("LimitRange").values()
    assert limits["spec"]["limits"][0]["type"] == "Container"
    assert objects.kind("PriorityClass")["vlm-posttrain"]["value"] == 100000
    assert "namespace" not in objects.kind("PriorityClass")["vlm-posttrain"]["metadata"]


def test_nothing_cluster_scoped_by_default(render):
    kinds = {item["kind"] for item in render()}
    assert kinds == {"ServiceAccount", "Role", "RoleBinding", "NetworkPolicy"}


def test_names_stay_within_the_limit(render):
    models = {"a-name-of-twenty-four-chr": {"enabled": True, "model": {"name": "x"}}}
    models = {name[:24]: model for name, model in models.items()}
    objects = render({"models": models}, name="a-release-name-as-long-as-helm-lets-it-be-of-53-chars")
    assert max(len(item["metadata"]["name"]) for item in objects) <= 63


def test_the_readme_names_every_value():
    readme = (CHART / "README.md").read_text()
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    keys = {
        f"{section}.{key}"
        for section, content in values.items()
        if isinstance(content, dict) and section not in {"models", "commonLabels"}
        for key in content
    }
    keys |= {section for section, content in values.items() if not isinstance(content, dict)}
    assert sorted(key for key in keys if f"`{key}`" not in readme and f"`{key}." not in readme) == []

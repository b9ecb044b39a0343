"""Wrong values are refused, and the message names the key."""

from __future__ import annotations

import helm_python as helm
import pytest

TEACHER = {"enabled": True}


def teacher(**settings) -> dict:
    return {"models": {"teacher": {**TEACHER, **settings}}}


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"modells": {}}, "modells"),
        (teacher(replica=2), "replica"),
        (teacher(replicas="two"), "/models/teacher/replicas"),
        (teacher(replicas=-1), "/models/teacher/replicas"),
        (teacher(gpus={"count": -1}), "/models/teacher/gpus/count"),
        (teacher(port=70000), "/models/teacher/port"),
        (teacher(sharedMemory="lots"), "/models/teacher/sharedMemory"),
        (teacher(resources={"limits": {"memory": "64 GB"}}), "/models/teacher/resources/limits/memory"),
        (teacher(image={"tag": "latest"}), "/models/teacher/image/tag"),
        (teacher(image={"digest": "sha256:abc"}), "/models/teacher/image/digest"),
        (teacher(cache={"type": "hostPath"}), "/models/teacher/cache/type"),
        (teacher(autoscaling={"type": "vpa"}), "/models/teacher/autoscaling/type"),
        (teacher(autoscaling={"minReplicas": 0}), "/models/teacher/autoscaling/minReplicas"),
        (teacher(env={"1ST": "x"}), "1ST"),
        (teacher(extraArgs=["--api-key", "x"]), "/models/teacher/extraArgs/0"),
        (teacher(apiKey={"secret": "k", "value": "x"}), "/models/teacher/apiKey"),
        (teacher(secretEnv={"A": {"secret": "k"}}), "/models/teacher/secretEnv/A"),
        (teacher(strategy={"maxSurge": "one"}), "/models/teacher/strategy/maxSurge"),
        ({"models": {"Teacher": TEACHER}}, "Teacher"),
        ({"podSecurity": {"runAsUser": 0}}, "/podSecurity/runAsUser"),
        ({"networkPolicies": {"defaultDeny": "off"}}, "/networkPolicies/defaultDeny"),
        ({"networkPolicies": {"kubeflow": {"to": []}}}, "/networkPolicies/kubeflow/to"),
        ({"networkPolicies": {"kubeflow": {"ports": ["http"]}}}, "/networkPolicies/kubeflow/ports/0"),
        ({"schedule": {"cron": "weekly"}}, "/schedule/cron"),
        ({"schedule": {"host": "ml-pipeline:8888"}}, "/schedule/host"),
        ({"objectStore": {"secretKey": "abc"}}, "secretKey"),
        ({"monitoring": {"kind": "Probe"}}, "/monitoring/kind"),
        ({"profiles": {"files": {"weekly": "name: x"}}}, "weekly"),
        ({"priorityClass": {"value": 2_000_000_000}}, "/priorityClass/value"),
        (
            {
                "pipeline": {
                    "role": {"extraRules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]}]}
                }
            },
            "/pipeline/role/extraRules/0/verbs/0",
        ),
        (
            {
                "pipeline": {
                    "role": {"extraRules": [{"apiGroups": ["*"], "resources": ["pods"], "verbs": ["get"]}]}
                }
            },
            "/pipeline/role/extraRules/0/apiGroups/0",
        ),
    ],
)
def test_the_schema_names_the_wrong_key(render, values, key):
    with pytest.raises(helm.HelmValuesError) as caught:
        render(values)
    assert key in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"models": {"mine": {}}}, "models.mine.model.name: is missing"),
        (teacher(env={"HF_TOKEN": "hf_something"}), "models.teacher.env.HF_TOKEN: is the name of a secret"),
        (teacher(model={"path": "/models/x"}), "models.teacher.model.path: lies on no volume"),
        (teacher(model={"claim": "weights"}), "models.teacher.model.claim: is mounted for a path"),
        (teacher(cache={"type": "existingClaim"}), "models.teacher.cache.claim: is missing"),
        (teacher(replicas=2, cache={"type": "createdClaim"}), "models.teacher.cache.accessMode: several"),
        (
            teacher(autoscaling={"type": "keda", "minReplicas": 5, "maxReplicas": 2}),
            "models.teacher.autoscaling.minReplicas: is above",
        ),
        (teacher(strategy={"maxUnavailable": 0}), "models.teacher.strategy: maxSurge and maxUnavailable"),
        (teacher(image={"tag": ""}), "models.teacher.image: has neither tag nor digest"),
        ({"profiles": {"files": {"a.yaml": "a: [1"}}}, "profiles.files.a.yaml: is not a YAML mapping"),
        ({"schedule": {"enabled": True}}, "schedule.profile: '' is no file of profiles.files"),
        (
            {"schedule": {"enabled": True, "profile": "b.yaml"}, "profiles": {"files": {"a.yaml": "a: 1"}}},
            "schedule.profile: 'b.yaml' is no file of profiles.files (a.yaml)",
        ),
        (
            {"schedule": {"enabled": True, "profile": "a.yaml"}, "profiles": {"files": {"a.yaml": "a: 1"}}},
            "cli.image: has neither tag nor digest",
        ),
        ({"ray": {"enabled": True}}, "ray.image: has neither tag nor digest"),
    ],
)
def test_what_the_schema_cannot_say_fails_with_a_clear_line(render, values, message):
    with pytest.raises(helm.HelmError) as caught:
        render(values)
    assert message in str(caught.value)


def test_null_removes_a_default_server(render):
    objects = render({"models": {"teacher": TEACHER, "judge": None}})
    assert set(objects.kind("Service")) == {"teacher"}

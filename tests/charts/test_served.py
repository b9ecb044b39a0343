"""The promoted model: what rolls it over, with which rights, and that no request is cut off."""

from __future__ import annotations

import helm_python as helm
import pytest

from pipelines.cli import app
from tests.charts.conftest import CHART
from tests.charts.test_security import RESTRICTED

KSERVE = {
    "cli": {"image": {"tag": "9a4465c11d20"}},
    "served": {
        "enabled": True,
        "registry": "/registry/models",
        "volume": {"claim": "registry"},
        "kserve": {"enabled": True},
    },
}


@pytest.fixture
def served(named_set):
    return named_set("served")


def pod_of(objects) -> dict:
    return objects.kind("Deployment")["vlm-posttrain-served"]["spec"]["template"]["spec"]


def options(container: dict) -> dict[str, str]:
    args = container["args"]
    return {arg: value for arg, value in zip(args, args[1:], strict=False) if arg.startswith("--")}


def test_the_watcher_may_read_and_patch_one_object_and_nothing_else(served):
    role = served.kind("Role")["vlm-posttrain-served"]
    assert role["rules"] == [
        {
            "apiGroups": ["apps"],
            "resources": ["deployments"],
            "resourceNames": ["vlm-posttrain-served"],
            "verbs": ["get", "patch"],
        }
    ]


def test_the_account_is_mounted_in_the_watcher_alone(served):
    pod = pod_of(served)
    holders = [
        container["name"]
        for container in [*pod["initContainers"], *pod["containers"]]
        if any(mount["name"] == "account" for mount in container["volumeMounts"])
    ]
    assert holders == ["watch"]


def test_the_pod_serves_what_it_fetched_and_watches_the_same_registry(served):
    pod = pod_of(served)
    fetch, (server, watch) = pod["initContainers"][0], pod["containers"]
    for option in ("--registry", "--domain", "--folder"):
        assert options(fetch)[option] == options(watch)[option]
    assert options(watch)["--name"] == "vlm-posttrain-served"
    assert server["args"][0] == f"{options(fetch)['--folder']}/checkpoint"
    assert options(server)["--served-model-name"] == "instrument_cluster"
    (annotation,) = [env for env in fetch["env"] if env["name"] == "VLM_VERSION"]
    assert "vlm-posttrain/version" in annotation["valueFrom"]["fieldRef"]["fieldPath"]


def test_the_commands_of_the_pod_are_those_of_the_command_line(served):
    from typer.main import get_command
    from typer.testing import CliRunner

    pod = pod_of(served)
    assert get_command(app)
    for container in (pod["initContainers"][0], pod["containers"][1]):
        words = container["args"][container["args"].index("pipelines") + 1 :]
        helped = CliRunner().invoke(app, [*words[:2], "--help"], terminal_width=200)
        assert helped.exit_code == 0
        assert all(option in helped.output for option in options(container))


def test_requests_under_way_have_time_to_end(served):
    pod = pod_of(served)
    asleep = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > asleep >= 60


def test_the_next_pod_comes_before_the_last_one_goes(render):
    strategy = render(
        {
            "objectStore": {"secret": "s"},
            "cli": KSERVE["cli"],
            "served": {"enabled": True, "registry": "s3://models/registry"},
        }
    ).kind("Deployment")["vlm-posttrain-served"]["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_its_policies_open_the_store_the_api_and_its_port(served):
    policies = {
        name.removeprefix("vlm-posttrain-"): policy["spec"]
        for name, policy in served.kind("NetworkPolicy").items()
        if "-served-" in name
    }
    assert set(policies) == {
        "served-from-clients", "served-from-prometheus", "served-to-kubernetes-api", "served-to-object-store",
    }  # fmt: skip
    for spec in policies.values():
        assert spec["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "served"


def test_kserve_gets_the_same_pod_under_its_own_names(render):
    objects = render(KSERVE)
    predictor = objects.kind("InferenceService")["vlm-posttrain-served"]["spec"]["predictor"]
    assert [container["name"] for container in predictor["containers"]] == ["kserve-container", "watch"]
    assert options(predictor["containers"][1])["--kind"] == "InferenceService"
    assert objects.kind("Role")["vlm-posttrain-served"]["rules"][0]["resources"] == ["inferenceservices"]
    assert not objects.kind("Deployment")
    for container in [*predictor["containers"], *predictor["initContainers"]]:
        assert container["securityContext"] == RESTRICTED
    assert helm.lint(CHART, KSERVE, strict=True, namespace="vlm-posttrain")["errors"] == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"enabled": True}, "served.registry: is missing"),
        ({"enabled": True, "registry": "/models"}, "served.volume.claim"),
        ({"enabled": True, "registry": "s3://models"}, "objectStore.secret"),
        ({"enabled": True, "registry": "models"}, "registry"),
        ({"enabled": True, "watchSeconds": 90}, "watchSeconds"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(render, values, said):
    with pytest.raises(Exception, match=said):
        render({"cli": KSERVE["cli"], "served": values})

"""Network policies, read as a network plugin reads them: what reaches what inside the namespace."""

from __future__ import annotations

import shutil

import helm_python as helm
import pytest

from tests.charts.conftest import CHART

PIPELINE = {"pipelines.kubeflow.org/v2_component": "true"}
STRANGER = {"app": "stranger"}


def selects(selector: dict, labels: dict[str, str]) -> bool:
    return selector.get("matchLabels", {}).items() <= labels.items()


def isolates(objects, labels: dict[str, str], direction: str) -> list[dict]:
    """The policies that apply to a pod in one direction."""
    policies = objects.kind("NetworkPolicy").values()
    return [
        policy["spec"]
        for policy in policies
        if direction in policy["spec"]["policyTypes"] and selects(policy["spec"]["podSelector"], labels)
    ]


def lets_through(objects, labels, other, port, direction: str) -> bool:
    policies = isolates(objects, labels, direction)
    word = "from" if direction == "Ingress" else "to"
    return not policies or any(
        any(
            "podSelector" in p and "namespaceSelector" not in p and selects(p["podSelector"], other)
            for p in rule[word]
        )
        and ("ports" not in rule or port in {p["port"] for p in rule["ports"]})
        for policy in policies
        for rule in policy.get(direction.lower(), [])
    )


def reaches(objects, source: dict[str, str], target: dict[str, str], port: int) -> bool:
    """Whether a pod can open a connection to another one of the same namespace."""
    return lets_through(objects, source, target, port, "Egress") and lets_through(
        objects, target, source, port, "Ingress"
    )


def labels_of(objects, component: str) -> dict[str, str]:
    found = (labels for _, labels, _ in objects.pods() if labels["app.kubernetes.io/component"] == component)
    return next(found)


def flows(objects) -> set[str]:
    return {name.removeprefix("vlm-posttrain-") for name in objects.kind("NetworkPolicy")}


def test_everything_is_denied_first(objects):
    denied = [
        policy["spec"]["podSelector"]
        for name, policy in objects.kind("NetworkPolicy").items()
        if "default-deny" in name
    ]
    for name, policy in objects.kind("NetworkPolicy").items():
        if "default-deny" in name:
            assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
            assert not {"ingress", "egress"} & policy["spec"].keys()
    for whose, labels, _ in objects.pods():
        assert not objects.kind("NetworkPolicy") or any(selects(s, labels) for s in denied), whose


def test_policies_select_pods_that_are_there(objects):
    """Selectors inside the namespace meet a pod of the release or the pipeline's."""
    pods = [labels for _, labels, _ in objects.pods()] + [PIPELINE]
    for name, policy in objects.kind("NetworkPolicy").items():
        spec = policy["spec"]
        if "default-deny" not in name and "to-dns" not in name:
            assert any(selects(spec["podSelector"], labels) for labels in pods), name
        peers = [
            peer
            for direction, word in (("ingress", "from"), ("egress", "to"))
            for rule in spec.get(direction, [])
            for peer in rule[word]
        ]
        for peer in peers:
            if peer.keys() == {"podSelector"} and "notebook-name" not in str(peer):
                assert any(selects(peer["podSelector"], labels) for labels in pods), name


def test_the_named_flows_of_everything(named_set):
    assert flows(named_set("everything")) == {
        "default-deny",
        "to-dns",
        "pipeline-to-models",
        "models-from-clients",
        "models-from-prometheus",
        "models-to-hub",
        "models-to-object-store",
        "test-to-models",
        "pipeline-to-object-store",
        "pipeline-to-kubeflow",
        "pipeline-to-kubernetes-api",
        "pipeline-extra-wandb",
        "schedule-to-kubeflow",
        "ray-within",
        "ray-from-pipeline",
        "ray-from-operator",
        "pipeline-to-ray",
        "ray-to-models",
        "ray-to-object-store",
    }


def test_who_reaches_whom(named_set):
    objects = named_set("everything")
    model, ray, schedule = (labels_of(objects, component) for component in ("model", "ray", "schedule"))
    head = {**ray, "vlm-posttrain/ray": "head"}
    worker = {**ray, "vlm-posttrain/ray": "worker"}
    assert reaches(objects, PIPELINE, model, 8000)
    assert reaches(objects, PIPELINE, model, 8080)  # the embedder's port in this set
    assert reaches(objects, ray, model, 8000)
    assert reaches(objects, labels_of(objects, "test"), model, 8000)
    assert reaches(objects, PIPELINE, head, 10001)
    assert reaches(objects, worker, head, 6379)
    assert not reaches(objects, PIPELINE, model, 22)
    assert not reaches(objects, PIPELINE, worker, 10001)
    assert not reaches(objects, model, PIPELINE, 8000)
    assert not reaches(objects, model, model, 8000)
    assert not reaches(objects, schedule, model, 8000)
    assert not reaches(objects, STRANGER, model, 8000)
    assert not reaches(objects, PIPELINE, STRANGER, 8000)


def test_without_policies_nothing_is_denied(named_set):
    objects = named_set("no-network-policies")
    assert not objects.kind("NetworkPolicy")
    assert reaches(objects, STRANGER, labels_of(objects, "model"), 8000)


@pytest.mark.parametrize("direction", ["Ingress", "Egress"])
def test_scope_release_leaves_other_pods_of_the_namespace_alone(render, direction):
    objects = render(
        {"networkPolicies": {"defaultDeny": "release"}, "models": {"teacher": {"enabled": True}}}
    )
    assert isolates(objects, STRANGER, direction) == []
    assert isolates(objects, PIPELINE, direction)
    assert isolates(objects, labels_of(objects, "model"), direction)
    assert reaches(objects, PIPELINE, labels_of(objects, "model"), 8000)


def test_only_servers_that_download_reach_the_hub(named_set):
    objects = named_set("hub-and-path")
    hub = objects.kind("NetworkPolicy")["vlm-posttrain-models-to-hub"]["spec"]["podSelector"]
    selected = {labels["vlm-posttrain/model"] for _, labels, _ in objects.pods() if selects(hub, labels)}
    assert selected == {"teacher"}


def test_pipelines_of_another_namespace_come_in_by_that_namespace(named_set):
    objects = named_set("openshift")
    assert not any(name.startswith("vlm-posttrain-pipeline-") for name in objects.kind("NetworkPolicy"))
    (rule,) = objects.kind("NetworkPolicy")["vlm-posttrain-models-from-clients"]["spec"]["ingress"]
    assert rule["from"] == [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "data-science-pipelines"}},
            "podSelector": {"matchLabels": PIPELINE},
        }
    ]
    (dns,) = objects.kind("NetworkPolicy")["vlm-posttrain-to-dns"]["spec"]["egress"]
    assert dns["ports"] == [{"port": 5353, "protocol": "UDP"}, {"port": 5353, "protocol": "TCP"}]


@pytest.fixture
def beside_kubeflow(tmp_path):
    """The chart beside a Service `ml-pipeline`. Rendering sees no cluster, so its answer is written in."""
    copy = shutil.copytree(CHART, tmp_path / "chart")
    policies = copy / "templates" / "networkpolicies.yaml"
    question = 'lookup "v1" "Service" .Release.Namespace "ml-pipeline"'
    text = policies.read_text()
    assert text.count(question) == 1
    policies.write_text(text.replace(question, '(dict "kind" "Service")'))
    with helm.Chart.load(copy) as loaded:
        yield lambda values: loaded.render(values, name="r", namespace="kubeflow", is_install=True)


def test_the_whole_namespace_of_a_kubeflow_is_not_denied(beside_kubeflow):
    with pytest.raises(Exception, match="'namespace' would cut Kubeflow Pipelines in namespace kubeflow off"):
        beside_kubeflow({"networkPolicies": {"defaultDeny": "namespace"}})
    beside_kubeflow({"networkPolicies": {"defaultDeny": "namespace", "enabled": False}})
    assert "default-deny-pipeline" in str(beside_kubeflow({}))


@pytest.mark.parametrize("direction", ["Ingress", "Egress"])
def test_by_default_other_pods_of_the_namespace_are_left_alone(render, direction):
    objects = render({"models": {"teacher": {"enabled": True}}})
    assert isolates(objects, STRANGER, direction) == []
    assert isolates(objects, labels_of(objects, "model"), direction)
    assert isolates(objects, PIPELINE, direction)


def test_a_node_s_own_dns_cache_is_reached(render):
    """NodeLocal DNSCache answers at a link-local address, which no selector of pods means."""
    peers = render().kind("NetworkPolicy")["vlm-posttrain-to-dns"]["spec"]["egress"][0]["to"]
    assert {"ipBlock": {"cidr": "169.254.20.10/32"}} in peers
    assert len(peers) == 2


def test_the_pipeline_reaches_the_hub_where_that_is_wanted(render):
    def policies(values):
        return [name for name in render(values).kind("NetworkPolicy") if "pipeline-to-hub" in name]

    assert not policies({})
    assert len(policies({"networkPolicies": {"modelHub": {"pipeline": True}}})) == 1

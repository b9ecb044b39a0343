"""What holds for every value set: lint, the Kubernetes API's schemas, and references that meet."""

from __future__ import annotations

import helm_python as helm
import kubernetes_validate
import pytest

from tests.charts.conftest import CHART, VALUE_SETS

CUSTOM = {"keda.sh/v1alpha1", "ray.io/v1", "monitoring.coreos.com/v1"}
CLUSTER_SCOPED = {"PriorityClass"}
RECOMMENDED_LABELS = {"name", "instance", "version", "part-of", "managed-by"}


def matches(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return bool(selector) and selector.items() <= labels.items()


def test_there_are_enough_value_sets():
    assert len(VALUE_SETS) >= 10
    assert {"defaults", "minimal", "everything"} <= VALUE_SETS.keys()


def test_lint_is_clean(value_set):
    report = helm.lint(CHART, value_set, strict=True, namespace="vlm-posttrain")
    assert report["errors"] == []
    assert [m["error"] for m in report["messages"] if m["severity"] > 1] == []


@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_objects_fit_the_schemas_of_the_oldest_and_a_new_api(objects, version):
    for item in objects:
        if item["apiVersion"] not in CUSTOM:
            kubernetes_validate.validate(item, version, strict=True)


def test_objects_have_names_a_namespace_and_the_recommended_labels(objects):
    seen = set()
    for item in objects:
        metadata = item["metadata"]
        assert len(metadata["name"]) <= 63
        assert {f"app.kubernetes.io/{label}" for label in RECOMMENDED_LABELS} <= metadata["labels"].keys()
        if item["kind"] not in CLUSTER_SCOPED:
            assert metadata["namespace"] == "vlm-posttrain"
        seen.add((item["kind"], metadata["name"]))
    assert len(seen) == len(objects)


def test_services_and_budgets_select_the_pods_of_one_deployment(objects):
    labels = {
        name: d["spec"]["template"]["metadata"]["labels"] for name, d in objects.kind("Deployment").items()
    }
    selectors = [service["spec"]["selector"] for service in objects.kind("Service").values()]
    selectors += [b["spec"]["selector"]["matchLabels"] for b in objects.kind("PodDisruptionBudget").values()]
    for selector in selectors:
        assert [matches(selector, of) for of in labels.values()].count(True) == 1
    assert len(objects.kind("Service")) == len(labels)


def test_ports_that_probes_and_services_name_exist(objects):
    for whose, _, spec in objects.pods():
        for container in spec["containers"]:
            ports = {port["name"] for port in container.get("ports", [])}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                if probe in container:
                    handler = container[probe].get("httpGet") or container[probe]["tcpSocket"]
                    assert handler["port"] in ports, whose
    for name, service in objects.kind("Service").items():
        (pod,) = (spec for _, labels, spec in objects.pods() if matches(service["spec"]["selector"], labels))
        (target,) = service["spec"]["ports"]
        declared = {port["name"]: port["containerPort"] for port in pod["containers"][0]["ports"]}
        assert declared[target["targetPort"]] == target["port"], name


def test_accounts_claims_and_config_maps_that_pods_name_are_rendered_or_stated(objects, value_set):
    stated = str(value_set)
    rendered = {kind: objects.kind(kind) for kind in ("ServiceAccount", "PersistentVolumeClaim", "ConfigMap")}
    for whose, _, spec in objects.pods():
        assert spec["serviceAccountName"] in rendered["ServiceAccount"], whose
        mounted = {mount["name"] for container in spec["containers"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in spec["volumes"]}, whose
        for volume in spec["volumes"]:
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                assert claim in rendered["PersistentVolumeClaim"] or claim in stated, whose
            if "configMap" in volume:
                assert volume["configMap"]["name"] in rendered["ConfigMap"], whose


def test_role_bindings_bind_a_rendered_role(objects):
    for binding in objects.kind("RoleBinding").values():
        assert binding["roleRef"]["name"] in objects.kind("Role")


def test_scalers_target_a_deployment_that_states_no_replicas(objects):
    scalers = [*objects.kind("HorizontalPodAutoscaler").values(), *objects.kind("ScaledObject").values()]
    targets = {scaler["spec"]["scaleTargetRef"]["name"] for scaler in scalers}
    without = {name for name, d in objects.kind("Deployment").items() if "replicas" not in d["spec"]}
    assert targets == without


def test_notes_are_rendered(chart, value_set):
    files = chart.render(value_set, name="vlm-posttrain", namespace="vlm-posttrain", is_install=True)
    notes = files["vlm-posttrain/templates/NOTES.txt"]
    assert "What to do next" in notes
    assert "<no value>" not in notes

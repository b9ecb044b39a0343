"""The restricted profile on every pod, the least verbs, and no secret but by reference."""

from __future__ import annotations

import pytest

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "privileged": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def test_every_container_is_restricted(objects):
    for whose, _, spec in objects.pods():
        assert spec["securityContext"]["runAsNonRoot"] is True, whose
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, whose
        assert spec["securityContext"].get("runAsUser") != 0, whose
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), whose
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            assert container["securityContext"] == RESTRICTED, whose
            assert "hostPort" not in str(container.get("ports", [])), whose


def test_volumes_are_of_the_kinds_that_the_profile_allows(objects):
    allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "projected"}
    for whose, _, spec in objects.pods():
        assert {kind for volume in spec["volumes"] for kind in volume.keys() - {"name"}} <= allowed, whose


def test_there_is_somewhere_to_write(objects):
    for whose, _, spec in objects.pods():
        writable = {volume["name"] for volume in spec["volumes"] if "emptyDir" in volume}
        for container in spec["containers"]:
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            assert mounts["/tmp"] in writable, whose
        assert all(v["emptyDir"].get("sizeLimit") for v in spec["volumes"] if "emptyDir" in v), whose


def test_no_pod_of_the_chart_gets_a_token_of_the_kubernetes_api(objects):
    for whose, _, spec in objects.pods():
        assert spec["automountServiceAccountToken"] is False, whose
    mounting = {n for n, a in objects.kind("ServiceAccount").items() if a["automountServiceAccountToken"]}
    assert all(name.endswith("-pipeline") for name in mounting)


def test_containers_state_memory_and_images_a_version(objects):
    for whose, _, spec in objects.pods():
        for container in spec["containers"]:
            assert "memory" in container["resources"]["limits"], whose
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), whose
            assert ":" in container["image"].split("/")[-1], whose
            assert not container["image"].endswith(":latest"), whose


def test_roles_have_no_wildcard_and_name_their_secrets(objects):
    assert not objects.kind("ClusterRole")
    assert not objects.kind("ClusterRoleBinding")
    for role in objects.kind("Role").values():
        for rule in role["rules"]:
            assert "*" not in str([rule["apiGroups"], rule["resources"], rule["verbs"]])
            if {"secrets", "configmaps"} & set(rule["resources"]):
                assert rule["resourceNames"]
                assert rule["verbs"] == ["get"]


def test_the_pipeline_may_do_what_kubeflow_s_launcher_does_and_no_more(render):
    (role,) = render({"objectStore": {"secret": "object-store"}}).kind("Role").values()
    granted = {
        (resource, verb): rule.get("resourceNames")
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == {
        ("workflowtaskresults", "create"): None,
        ("workflowtaskresults", "patch"): None,
        ("pods", "get"): None,
        ("configmaps", "get"): ["kfp-launcher"],
        ("secrets", "get"): ["mlpipeline-minio-artifact", "object-store"],
    }


def test_the_chart_makes_no_secret(objects):
    assert not objects.kind("Secret")


def test_secret_variables_are_references(objects):
    for whose, _, spec in objects.pods():
        for container in spec["containers"]:
            names = [variable["name"] for variable in container.get("env", [])]
            assert len(names) == len(set(names)), whose
            for variable in container.get("env", []):
                name = variable["name"]
                secret = name.endswith(("_KEY", "_TOKEN", "_KEY_ID"))
                assert ("secretKeyRef" in variable.get("valueFrom", {})) == secret, (whose, name)


def test_gated_models_get_the_token_and_the_key_from_existing_secrets(named_set):
    deployment = named_set("gated").kind("Deployment")["vlm-posttrain-voter-c"]
    spec = deployment["spec"]["template"]["spec"]
    env = {v["name"]: v for v in spec["containers"][0]["env"]}
    references = {n: v["valueFrom"]["secretKeyRef"] for n, v in env.items() if "valueFrom" in v}
    assert references == {
        "VLLM_API_KEY": {"name": "model-keys", "key": "openai"},
        "HF_TOKEN": {"name": "hugging-face", "key": "token"},
        "AWS_ACCESS_KEY_ID": {"name": "object-store", "key": "accesskey"},
    }
    assert env["VLLM_IMAGE_FETCH_TIMEOUT"]["value"] == "30"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert "@sha256:" in spec["containers"][0]["image"]


@pytest.mark.parametrize("key", ["runAsUser", "runAsGroup", "fsGroup"])
def test_ids_can_be_left_to_the_cluster(named_set, key):
    for _, _, spec in named_set("openshift").pods():
        assert key not in spec["securityContext"]


SIDECAR = "sidecar.istio.io/inject"


def templates(objects):
    """(whose, metadata) of every pod that the objects make."""
    for item in objects:
        if item["kind"] == "Pod":
            yield "Pod", item["metadata"]
        elif item["kind"] in {"Deployment", "Job"}:
            yield item["kind"], item["spec"]["template"]["metadata"]
        elif item["kind"] == "RayCluster":
            for group in (item["spec"]["headGroupSpec"], *item["spec"]["workerGroupSpecs"]):
                yield item["kind"], group["template"]["metadata"]


def test_no_pod_gets_a_sidecar(objects):
    for whose, metadata in templates(objects):
        assert metadata["labels"][SIDECAR] == metadata["annotations"][SIDECAR] == "false", whose


def test_the_sets_cover_every_kind_of_pod(named_set):
    sets = ("everything", "schedule", "ray")
    found = {whose for name in sets for whose, _ in templates(named_set(name))}
    assert found == {"Deployment", "Job", "Pod", "RayCluster"}


def test_a_model_server_may_have_a_sidecar_all_the_same(render):
    stated = {"podLabels": {SIDECAR: "true"}, "podAnnotations": {SIDECAR: "true", "note": "kept"}}
    objects = render({"models": {"teacher": {"enabled": True, **stated}}})
    ((_, metadata),) = templates(objects)
    assert metadata["labels"][SIDECAR] == "true"
    assert metadata["annotations"] == {SIDECAR: "true", "note": "kept"}

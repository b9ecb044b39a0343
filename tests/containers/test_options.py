"""A stage's container: hardening, mounts, environment, limits. No engine is needed for these."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipelines.local.containers import Containers, limits
from pipelines.profile.resources import Resources
from pipelines.profile.run_profile import load_profile

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def containers(tmp_path, monkeypatch) -> Containers:
    monkeypatch.setenv("VLM_CACHE_ROOT", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    for name in ("images", "general", "base_model", "earlier"):
        (tmp_path / name).mkdir()
    settings = [
        f"preflight.images={tmp_path}/images", f"preflight.general_data={tmp_path}/general",
        f"preflight.base_model={tmp_path}/base_model",
        f"preflight.benchmarks=[{{name: b, role: domain, uri: '{tmp_path}/missing'}}]",
        f"image_ingest.catalogue=['{tmp_path}/earlier#sha256=ab', 's3://bucket/images']",
        f"promotion.registry={tmp_path}/registry", "qa_synthesis.endpoint.api_key_env=TEACHER_KEY",
        "resources.hybrid_rl={gpu: 2, memory: 4Gi, cpu: 1500m}",
    ]  # fmt: skip
    return Containers(load_profile(ROOT / "configs" / "smoke.yaml", settings), user=4321)


def options(containers: Containers, root: Path, task: str = "ids_scoring", terminal: bool = False) -> dict:
    return containers._options(root, task, {"FROM_PIPELINE": "1"}, terminal)


def test_hardened_by_default(containers, tmp_path):
    made = options(containers, tmp_path / "run")
    assert made["read_only"] is True
    assert made["cap_drop"] == ["ALL"]
    assert made["security_opt"] == ["no-new-privileges"]
    assert made["user"] == "4321:0"
    assert not {"privileged", "cap_add", "devices", "pid_mode", "ipc_mode"} & set(made)
    assert "/tmp" in made["tmpfs"]


def test_inputs_are_mounted_read_only_and_outputs_alone_are_writable(containers, tmp_path):
    volumes = options(containers, tmp_path / "run")["volumes"]
    modes = {Path(path).relative_to(tmp_path).as_posix(): v["mode"] for path, v in volumes.items()}
    assert modes == {
        "images": "ro", "general": "ro", "base_model": "ro", "earlier": "ro",
        "run/artifacts": "rw", "run/work": "rw", "registry": "rw", "cache": "rw", "cache/hub": "rw",
    }  # fmt: skip
    assert all(path == volume["bind"] for path, volume in volumes.items())


def test_the_environment_is_a_list_of_names(containers, tmp_path, monkeypatch):
    monkeypatch.setenv("TEACHER_KEY", "key")
    monkeypatch.setenv("S3_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("SOMETHING_ELSE", "private")
    environment = options(containers, tmp_path / "run")["environment"]
    assert environment["TEACHER_KEY"] == "key"
    assert environment["S3_ENDPOINT"] == "http://127.0.0.1:1"
    assert environment["FROM_PIPELINE"] == "1"
    assert environment["VLM_WORK_ROOT"] == str(tmp_path / "run" / "work")
    assert not {"SOMETHING_ELSE", "PATH", "HOME"} & set(environment)


def test_work_directories_may_lie_in_object_storage(containers, tmp_path):
    containers.storage = "s3://bucket/run"
    environment = options(containers, tmp_path / "run")["environment"]
    assert environment["VLM_WORK_ROOT"] == "s3://bucket/run/work"
    assert environment["VLM_WORK_LOCAL"] == str(tmp_path / "run" / "work")


def test_limits_are_the_profile_s(containers, tmp_path):
    made = options(containers, tmp_path / "run", "hybrid_rl")
    assert (made["gpus"], made["mem_limit"], made["nano_cpus"]) == (2, 4 * 2**30, 1_500_000_000)
    assert limits(Resources()) == {}
    assert limits(Resources(memory="2G")) == {"mem_limit": 2_000_000_000}


def test_a_caller_who_is_not_root_keeps_their_id(containers):
    expected = os.getuid() or 65532
    assert Containers(containers.profile).user == expected


def test_without_an_engine_the_run_ends_before_it_starts(containers, tmp_path, monkeypatch):
    pytest.importorskip("docker", reason="not installed: the Python package docker")
    from components.core.stage.errors import EndpointError

    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    with pytest.raises(EndpointError, match="podman system service"):
        containers.prepare(tmp_path / "run")

"""The demo's orchestration: the teachers' server is started, waited for, and always stopped."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from components.core.stage.errors import EndpointError
from demo.run import HOST, PORT, at_port, teachers
from demo.world import WorldIndex, render, sample_scene
from pipelines.profile.run_profile import load_profile

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def world(tmp_path) -> Path:
    scene = sample_scene(np.random.default_rng(0))
    WorldIndex.build([(render(scene), scene)]).save(tmp_path / "index.jsonl")
    return tmp_path


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def test_teachers_answer_inside_and_are_gone_after(world, port):
    with teachers(world, world / "teachers.log", port) as url:
        assert urllib.request.urlopen(f"{url}/models").status == 200
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{url}/models", timeout=2)


def test_teachers_are_stopped_when_the_run_fails(world, port):
    with pytest.raises(RuntimeError), teachers(world, world / "teachers.log", port) as url:
        raise RuntimeError
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{url}/models", timeout=2)


def test_a_taken_port_is_an_error_that_says_so(world, port):
    with socket.socket() as holder:
        holder.bind((HOST, port))
        holder.listen()
        with (
            pytest.raises(EndpointError, match=f"port {port} is taken"),
            teachers(world, world / "log", port),
        ):
            pass


def test_a_server_that_stops_is_an_error_that_names_its_log(tmp_path, port):
    with (
        pytest.raises(EndpointError, match=r"exit code 66; see .*log"),
        teachers(tmp_path, tmp_path / "log", port),
    ):
        pass


def test_every_endpoint_moves_to_the_port(monkeypatch):
    monkeypatch.chdir(ROOT)
    text = at_port(load_profile(ROOT / "configs" / "demo.yaml"), 4321).as_yaml()
    assert f"{HOST}:{PORT}" not in text
    assert text.count(f"{HOST}:4321") == load_profile(ROOT / "configs" / "demo.yaml").as_yaml().count(
        f"{HOST}:{PORT}"
    )

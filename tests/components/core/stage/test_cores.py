"""Cores and threads, in processes that see a cgroup of their own below /sys/fs/cgroup."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.core.cores import share_of, sharing, threads_wanted
from components.core.stage.errors import ConfigError

UNLIMITED = {name: value for name, value in os.environ.items() if not name.endswith("_THREADS")}
MOUNT = 'mount --bind "$0" /sys/fs/cgroup && exec "$@"'
VERSIONS = {
    1: {"cpu/cpu.cfs_quota_us": "{quota}", "cpu/cpu.cfs_period_us": "100000"},
    2: {"cpu.max": "{quota} 100000"},
}
CORES = "from components.core.cores import usable_cores; print(usable_cores())"
LIBRARIES = """
from components.core.cores import limit_threads
limit_threads()
import json, threadpoolctl, numpy, pyarrow, torch
from components.core.data.mapping import EngineSettings, map_tasks
from tests.components.core.stage.test_cores import threads_here
from components.core.vlm import set_threads
found = {pool["internal_api"]: pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
found |= {"arrow": pyarrow.cpu_count(), "torch": torch.get_num_threads(), "set": set_threads()}
workers = list(map_tasks(threads_here, range(2), None, EngineSettings(workers=2)))
print(json.dumps([found, workers]))
"""


def threads_here(shared: None, task: int) -> str:
    return os.environ["OMP_NUM_THREADS"]


def limited(folder: Path, version: int, quota: int, code: str, **variables: str) -> str:
    """What a program prints in a container whose CPU quota is `quota` µs in each 100 ms."""
    for name, text in VERSIONS[version].items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.format(quota=quota))
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, str(folder)]
    if subprocess.run([*command, "true"], check=False, capture_output=True).returncode:
        pytest.skip("namespaces are not allowed here")
    done = subprocess.run(
        [*command, sys.executable, "-c", code], env=UNLIMITED | variables, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("quota, cores", [(50_000, 1), (100_000, 1), (150_000, 2), (10_000_000, None)])
def test_the_quota_of_the_container_counts(tmp_path, version, quota, cores):
    """None: above the machine's cores, which then count."""
    machine = len(os.sched_getaffinity(0))
    assert int(limited(tmp_path, version, quota, CORES)) == min(machine, cores or machine)


@pytest.mark.parametrize("version, quota", [(1, -1), (2, "max")])
def test_without_a_quota_the_affinity_counts(tmp_path, version, quota):
    assert int(limited(tmp_path, version, quota, CORES)) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_library_takes_the_container_s_cores(tmp_path, version):
    found, workers = json.loads(limited(tmp_path, version, 100_000, LIBRARIES))
    assert {"openblas", "openmp", "arrow", "torch", "set"} <= found.keys()
    assert set(found.values()) == {1}
    assert workers == ["1", "1"]


def test_a_user_s_number_wins_everywhere(tmp_path):
    found, workers = json.loads(limited(tmp_path, 1, 100_000, LIBRARIES, OMP_NUM_THREADS="2"))
    assert set(found.values()) == {2}
    assert workers == ["2", "2"]


def test_children_share_the_cores(monkeypatch):
    for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    monkeypatch.setattr("components.core.cores.usable_cores", lambda: 8)
    monkeypatch.setattr("components.core.cores._chosen", set())  # as in a new process
    assert share_of(4)["OMP_NUM_THREADS"] == "2"
    assert share_of(16)["RAYON_NUM_THREADS"] == "1"
    assert "OPENBLAS_NUM_THREADS" not in share_of(4)
    with sharing(2):
        assert os.environ["OMP_NUM_THREADS"] == "4"
    assert "OMP_NUM_THREADS" not in os.environ


@pytest.mark.parametrize("text, threads", [("3", 3), ("4,2", 4)])
def test_threads_that_the_user_wants(monkeypatch, text, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert threads_wanted() == threads


@pytest.mark.parametrize("text", ["many", "0", "-1"])
def test_a_number_of_threads_that_is_none_is_refused(monkeypatch, text):
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    with pytest.raises(ConfigError, match="OMP_NUM_THREADS is '"):
        threads_wanted()


def test_a_stage_ends_with_a_clear_line_for_a_wrong_number():
    done = subprocess.run(
        [sys.executable, "-m", "components.promotion"],
        env=UNLIMITED | {"OMP_NUM_THREADS": "many"}, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 78
    assert "$OMP_NUM_THREADS is 'many'" in done.stderr.splitlines()[-1]


def test_a_stage_s_entry_point_imports_no_library_before_the_threads_are_limited():
    libraries = {"numpy", "pyarrow", "torch"}
    code = f"import sys, components.core.stage.entry; print(sorted({libraries!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

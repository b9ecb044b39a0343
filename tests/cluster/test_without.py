"""What can be said about the cluster's tests without a cluster."""

from __future__ import annotations

import shutil
import subprocess

from pipelines.graph.compiled import Compiled
from pipelines.graph.post_training import compile_pipeline
from pipelines.profile.run_profile import load_profile
from tests.cluster.profile import ROOT, write_profile

TEACHERS = "http://10.0.0.5:8765/v1"


def test_the_profile_is_one_and_compiles(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    path = write_profile(tmp_path / "day.yaml", TEACHERS, "s1", 1)
    profile = load_profile(path)
    assert path.read_text().count(TEACHERS) >= 8 and "127.0.0.1" not in path.read_text()
    assert "build/smoke" not in path.read_text()
    assert profile.sections["promotion"]["domain"] == "instrument_cluster"
    found = Compiled.read(compile_pipeline(profile, tmp_path / "ir.yaml"))
    assert "vlm-work" in str(found.platform) and "mlpipeline-minio-artifact" in str(found.platform)


def test_the_script_is_one():
    subprocess.run(["bash", "-n", str(ROOT / "tests" / "cluster" / "kind.sh")], check=True)
    if shutil.which("kind") is None:
        done = subprocess.run(
            ["bash", str(ROOT / "tests" / "cluster" / "kind.sh"), "up"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 69 and "is needed" in done.stderr

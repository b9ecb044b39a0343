"""A Kubeflow given by the environment, and the command line against it. Without one, its tests are skipped.

KFP_ENDPOINT: its API.  KFP_TOKEN, CLUSTER_NAMESPACE: where several users share it.
CLUSTER_TEACHERS: base URL of the demo's teachers, as pods reach it.
CLUSTER_STORE: address of Kubeflow's object store, as pods reach it.
S3_ENDPOINT, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY: the same store, as this machine reaches it.
KUBECONFIG: pods' logs.  VLM_POSTTRAIN_REGISTRY, or images/digests.yaml: the images.

The claims `vlm-data` and `vlm-work` have to be there, and on the first, in a folder `world`, what
`python -m demo.build --mini` builds.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from components.core.objects.s3 import S3Store
from pipelines.kubeflow.client import Kubeflow, connect
from tests.cluster.profile import BUCKET, ROOT, STORE, write_profile

NEEDED = ("KFP_ENDPOINT", "CLUSTER_TEACHERS", "S3_ENDPOINT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
RUN_TIMEOUT_S = 3600
"""A run of the miniature takes five minutes on a free machine."""


@dataclass
class Cluster:
    """The command line, with a profile of these tests."""

    profile: Path
    session: str
    seed: int
    kubeflow: Kubeflow
    store: S3Store = field(default_factory=lambda: S3Store(BUCKET))

    def call(self, *arguments: str) -> tuple[int, str]:
        """Run a command to its end; its exit code, and all that it said."""
        namespace = os.environ.get("CLUSTER_NAMESPACE")
        where = ["--namespace", namespace] if namespace else []
        done = subprocess.run(
            [sys.executable, "-m", "pipelines", *arguments, *where],
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=RUN_TIMEOUT_S,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def submit(self, *overrides: str) -> tuple[int, str, str]:
        """Start a run and follow it; exit code, output, and the run's id."""
        settings = [part for override in overrides for part in ("--set", override)]
        code, said = self.call("submit", "--profile", str(self.profile), *settings)
        found = re.search(r"started run (\S+):", said)
        assert found, said
        return code, said, found[1]

    def runs_of(self, schedule: str) -> list[Any]:
        """Runs of the recurring runs of a name, the newest first."""
        experiment = self.kubeflow.experiment()
        owners = {
            run.recurring_run_id
            for run in self.kubeflow.client.list_recurring_runs(page_size=100, experiment_id=experiment)
            .recurring_runs or []
            if run.display_name == schedule
        }  # fmt: skip
        page = self.kubeflow.client.list_runs(
            page_size=100, experiment_id=experiment, sort_by="created_at desc"
        )
        return [run for run in page.runs or [] if run.recurring_run_id in owners]

    def key(self, run_id: str, task: str, ending: str) -> str:
        """The one object that a task of a run left whose key ends so."""
        folder = f"/{run_id}/{task.replace('_', '-')}/"
        found = [item.key for item in self.store.list("v2/artifacts/") if folder in item.key]
        (key,) = [key for key in found if key.endswith(ending)]
        return key


def eventually(found: Callable[[], Any], seconds: float) -> Any:
    """What `found` returns, once it is something."""
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        if value := found():
            return value
        time.sleep(5)
    raise AssertionError(f"not within {seconds:.0f} s")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Cluster:
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing:
        pytest.skip(f"no Kubeflow to test against: set {', '.join(missing)}")
    seed = int(time.time()) % 1_000_000
    session = f"s{seed}"
    profile = write_profile(
        tmp_path_factory.mktemp("cluster") / "day.yaml",
        os.environ["CLUSTER_TEACHERS"],
        session,
        seed,
        os.environ.get("CLUSTER_STORE", STORE),
    )
    return Cluster(profile, session, seed, connect("", os.environ.get("CLUSTER_NAMESPACE", "")))

"""A container engine of the tests' own, whose images and wheels stay in build/containers."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.stages import STAGES

ROOT = Path(__file__).resolve().parents[2]
KEPT = Path(os.environ.get("VLM_CONTAINER_TEST_DIR", ROOT / "build" / "containers"))
BASE = "localhost/python-base:bookworm"
SYSTEM_PACKAGES = "python3,python3-venv,ca-certificates,tini,libgl1,libglib2.0-0"
NEEDED_GIB = 16
"""What base image, packages and stage images take while they are built; a few of them afterwards."""
FULL = "no space left on device"
ENGINE = """
[containers]
netns = "host"
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


@dataclass(frozen=True)
class Engine:
    """podman with a configuration and a storage that are no one else's."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
            "OMP_NUM_THREADS": "1",
        }

    def command(self, *command: str) -> str:
        """Run to the end; returns what it wrote, or fails the test with it."""
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode and FULL in done.stderr.lower():
            pytest.skip(f"the disk of {self.folder} is full")
        assert done.returncode == 0, f"{command[:4]}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def has(self, image: str) -> bool:
        command = ["podman", "image", "exists", image]
        return subprocess.run(command, env=self.environment, check=False).returncode == 0

    def in_private_network(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run where the only network is loopback; containers on the network `host` share it."""
        inner = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command]
        return subprocess.run(
            ["unshare", "--net", *inner],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip


def missing() -> str:
    """Why containers cannot run here; empty when they can."""
    if os.geteuid() != 0:
        return "needs root: debootstrap, network namespaces"
    programs = [name for name in ("podman", "runc", "debootstrap", "unshare", "ip") if not shutil.which(name)]
    if programs:
        return f"not installed: {', '.join(programs)}"
    if importlib.util.find_spec("docker") is None:
        return "not installed: the Python package docker"
    if subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True).returncode:
        return "network namespaces are not permitted"
    present = next(path for path in (KEPT, *KEPT.parents) if path.exists())
    free = shutil.disk_usage(present).free / 2**30
    if free < NEEDED_GIB and not (KEPT / "storage").exists():
        return f"{free:.0f} GiB are free in {present}, building images takes {NEEDED_GIB}"
    return ""


@pytest.fixture(scope="session")
def engine() -> Engine:
    """podman with a storage of its own; skips where there can be none."""
    if why := missing():
        pytest.skip(f"containers cannot run here: {why}")
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / "containers.conf").write_text(ENGINE)
    storage = f'[storage]\ndriver = "overlay"\ngraphroot = "{KEPT}/storage"\nrunroot = "{KEPT}/run"\n'
    (KEPT / "storage.conf").write_text(storage)
    return Engine(KEPT)


def _download_wheels(engine: Engine) -> None:
    """Every package of a lock, once."""
    wheels = str(engine.folder / "wheels")
    groups = sorted({stage.group for stage in STAGES.values()})
    locks = [part for group in groups for part in ("--requirement", f"requirements/{group}.lock")]
    engine.command(
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes",
        "--only-binary", ":all:", "--dest", wheels, "--find-links", wheels, *locks,
    )  # fmt: skip


def _import_base(engine: Engine) -> None:
    """Python and the system packages that stages need, where there is no such image yet."""
    if engine.has(BASE):
        return
    root = engine.folder / "rootfs"
    shutil.rmtree(root, ignore_errors=True)
    options = ["--variant=minbase", f"--include={SYSTEM_PACKAGES}"]
    engine.command("debootstrap", *options, "bookworm", str(root))
    for leftover in ("var/cache/apt", "var/lib/apt/lists"):
        shutil.rmtree(root / leftover)
        (root / leftover).mkdir()
    archive = engine.folder / "rootfs.tar"
    engine.command("tar", "-C", str(root), "-cf", str(archive), ".")
    engine.command("podman", "import", str(archive), BASE)
    archive.unlink()
    shutil.rmtree(root)


@pytest.fixture(scope="session")
def stage_images(engine) -> Engine:
    """All stage images that need no GPU, built from the tree as it is; packages are downloaded once."""
    with ThreadPoolExecutor() as pool:
        for made in [pool.submit(_import_base, engine), pool.submit(_download_wheels, engine)]:
            made.result()
    wheels = engine.folder / "wheels"
    config = engine.folder / "pip.conf"
    config.write_text("[global]\nno-index = true\n")
    engine.command(
        sys.executable, "-m", "images.build", *STAGES, "--engine", "podman", "--base-image", BASE,
        "--wheels", str(wheels), "--pip-config", str(config), "--sbom", str(engine.folder / "sbom"),
    )  # fmt: skip
    return engine

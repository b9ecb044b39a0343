"""Runs in a network namespace with loopback alone: engine, teachers, then the pipeline or a probe.

python tests/containers/drive.py run   WORLD FOLDER     the miniature pipeline, `run --containers`
python tests/containers/drive.py probe WORLD FOLDER     what a stage's container may do, as JSON
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from components.core.stage.container_image import image
from demo.run import HOST, PORT, teachers
from pipelines.local.containers import Containers
from pipelines.local.process import Signals
from pipelines.profile.run_profile import load_profile

ROOT = Path(__file__).resolve().parents[2]
PROBE = """
import json, os, socket
from pathlib import Path
def refused(path):
    try:
        Path(path).write_text("x")
    except OSError as error:
        return error.strerror
    return ""
lines = Path("/proc/self/status").read_text().splitlines()
status = dict(line.split(":\\t", 1) for line in lines if ":\\t" in line)
print("PROBE" + json.dumps({
    "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(),
    "capabilities": {name: int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh")},
    "no_new_privileges": status["NoNewPrivs"].strip(),
    "interfaces": [name for _, name in socket.if_nameindex()],
    "refused": {path: refused(path) for path in ("/x", "/app/x", "/opt/venv/x", os.environ["INPUT"] + "/x")},
    "allowed": {path: refused(path) for path in ("/tmp/x", os.environ["VLM_WORK_ROOT"] + "/x")},
    "compilers": [c for c in ("cc", "gcc", "g++", "clang", "pip") if any(
        os.access(os.path.join(d, c), os.X_OK) for d in os.environ["PATH"].split(":"))],
    "modules": [m for m in ("kfp", "pytest", "pip") if __import__("importlib.util").util.find_spec(m)],
    "secret": os.environ.get("NOT_FOR_STAGES", ""),
}))
"""


@contextlib.contextmanager
def engine_service(folder: Path) -> Iterator[None]:
    """podman's Docker-compatible service for as long as the block runs, as DOCKER_HOST."""
    socket_path = folder / "podman.sock"
    socket_path.unlink(missing_ok=True)
    command = ["podman", "system", "service", "--time=0", f"unix://{socket_path}"]
    with open(folder / "podman.log", "wb") as log:
        service = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        while not socket_path.exists():
            if service.poll() is not None:
                raise SystemExit((folder / "podman.log").read_text())
            time.sleep(0.05)
        os.environ["DOCKER_HOST"] = f"unix://{socket_path}"
        yield
    finally:
        service.terminate()
        service.wait()


def profile_at(world: Path, folder: Path) -> Path:
    """The repository's miniature, with its world and registry where this test has them."""
    for name in ("demo", "smoke"):
        text = (ROOT / "configs" / f"{name}.yaml").read_text()
        text = text.replace("../build/smoke/world", str(world)).replace("../build/smoke", str(folder))
        text = text.replace("domain: domains", f"domain: {ROOT / 'configs' / 'domains'}")
        (folder / f"{name}.yaml").write_text(text)
    return folder / "smoke.yaml"


def probe(world: Path, folder: Path) -> int:
    """Run PROBE as if it were a stage."""
    containers = Containers(load_profile(profile_at(world, folder)), user=43210)
    root = folder / "probe"
    containers.prepare(root)
    os.environ["NOT_FOR_STAGES"] = "secret"
    probing = ["python3", "-c", PROBE]
    env = {"INPUT": str(world / "images")}
    shown = io.BytesIO()
    shown.isatty = lambda: False  # type: ignore[method-assign]
    ended = containers.run(root, "ids_scoring", image("ids_scoring"), probing, env, shown, Signals())
    print(shown.getvalue().decode())
    return ended.exit_code


def command(world: Path, folder: Path, *arguments: str) -> list[str]:
    """`vlm-posttrain run --containers` of the miniature."""
    start = [sys.executable, "-m", "pipelines", "run", "--containers", "--profile"]
    return [*start, str(profile_at(world, folder)), "--root", str(folder / "run"), *arguments]


def run(world: Path, folder: Path, *arguments: str) -> int:
    """The whole miniature, its teachers on the loopback interface."""
    with teachers(world, folder / "teachers.log", PORT) as url:
        assert HOST in url
        return subprocess.run(command(world, folder, *arguments), check=False).returncode


def end(world: Path, folder: Path, number: str, *arguments: str) -> int:
    """Send a signal to a run whose training has begun its steps; print how both ended."""
    with teachers(world, folder / "teachers.log", PORT):
        process = subprocess.Popen(
            command(world, folder, "--from", "sft_1_domain", *arguments), stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for line in process.stdout:
            if "[curriculum_sft]" in line:
                break
        process.send_signal(int(number))
        process.communicate()
    listed = subprocess.run(["podman", "ps", "--quiet"], capture_output=True, text=True, check=True).stdout
    Containers(load_profile(profile_at(world, folder))).prepare(folder / "run")
    left = subprocess.run(["podman", "ps", "-aq"], capture_output=True, text=True, check=True).stdout
    ended = {"code": process.returncode, "running": len(listed.split()), "left": len(left.split())}
    print("ENDED" + json.dumps(ended))
    return 0


if __name__ == "__main__":
    action, world, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    with engine_service(folder):
        sys.exit({"run": run, "probe": probe, "end": end}[action](world, folder, *sys.argv[4:]))

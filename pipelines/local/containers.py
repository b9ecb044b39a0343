"""Run the tasks of a local run in containers: the parts that kfp.local's DockerRunner lacks, over docker-py.

kfp.local reports only whether a task's container ended well, and one that is gone counts as success. Here a
stage gets what a hardened cluster gives it, and its output, signals and exit code arrive as they do without
containers:

- The root filesystem is read-only, `/tmp` is memory. All capabilities are dropped, privileges cannot be
  gained. The user is an arbitrary id in group 0.
- Mounted are the run's artifacts and work directories, written, and the paths that the settings name:
  read-only, but for the registry. All have the paths that they have here. So has the cache of far models and
  data, where the settings name any.
- Credentials and addresses of storage and endpoints are passed on, by name, and nothing else of the
  environment.

The engine is whatever `DOCKER_HOST` names: docker, or `podman system service`. One task is one child process,
`python -m pipelines.local.containers SPEC`. It creates the container, shows its output and ends with its exit
code.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from pydantic.config import JsonDict

from components.core.sources.cache import CACHE_ROOT_ENV, cache_root, hub_cache
from components.core.sources.copies import is_far
from components.core.stage.errors import ConfigError, EndpointError
from components.core.stage.settings import READ_PATH, WRITTEN_PATH, Endpoint, find_settings, named_paths
from pipelines.local.arguments import SETTINGS
from pipelines.local.process import Ended, Signals, run_child, torch_defaults, with_repository
from pipelines.local.storage import work_environment
from pipelines.profile.resources import Resources
from pipelines.profile.run_profile import Profile

_PASSED_ON = (
    "S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION",
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "HF_ENDPOINT", "HF_HUB_OFFLINE", "HF_TOKEN",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "VLM_LOG_FORMAT",
    "VLM_WORK_SYNC_S", "VLM_WORK_LEASE_S", "VLM_WORK_WAIT_S", "OMP_NUM_THREADS",
)  # fmt: skip
ANY_USER = 65532
_ROOT_LABEL = "vlm-posttrain.run.root"


@dataclass
class Containers:
    """How the tasks of one run become containers."""

    profile: Profile
    network: str = "host"
    """`host` reaches what this machine reaches, endpoints on its loopback included. `none` has loopback only.
    Else the name of a network of the engine."""
    user: int = field(default_factory=lambda: os.getuid() or ANY_USER)
    """The stages' user id: the caller's own, or an arbitrary one where the caller is root."""
    storage: str = ""
    """As `LocalRun.storage`."""

    def prepare(self, root: Path) -> None:
        """Make the directories that stages write, for their user; end what a killed run left behind.

        Raises:
            ConfigError: docker-py is not installed.
            EndpointError: no engine answers.
        """
        try:
            import docker
        except ImportError as error:
            raise ConfigError("--containers needs the package `docker`; pip install docker") from error
        try:
            client = docker.from_env()
            client.ping()
        except docker.errors.DockerException as error:
            advice = "start docker, or `podman system service` and set DOCKER_HOST"
            raise EndpointError(f"no container engine answers ({error}); {advice}") from error
        for container in client.containers.list(all=True, filters={"label": f"{_ROOT_LABEL}={root}"}):
            container.remove(force=True)
        for path in self._written(root):
            path.mkdir(parents=True, exist_ok=True)
            if os.getuid() == 0:
                os.chown(path, self.user, 0)
                path.chmod(0o2775)

    def run(
        self,
        root: Path,
        task: str,
        image: str,
        command: Sequence[str],
        env: Mapping[str, str],
        console: BinaryIO,
        signals: Signals,
    ) -> Ended:
        """Run a task's command in a container of `image`; its output goes to console and log."""
        spec = {"image": image, "command": list(command), **self._options(root, task, env, console.isatty())}
        # In a file that only we can read: the environment holds credentials, and is long for an argument.
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(spec, file)
            file.flush()
            child = [sys.executable, "-m", "pipelines.local.containers", file.name]
            log = root / "logs" / f"{task}.log"
            ended = run_child(child, with_repository(os.environ), log, console, signals)
        if ended.exit_code == 128 + signal.SIGKILL:  # the child may have been killed, not what it watched
            self.prepare(root)
        return ended

    def _options(self, root: Path, task: str, env: Mapping[str, str], terminal: bool) -> dict[str, Any]:
        """Arguments of docker-py's `containers.create`, beside image and command."""
        cwd = str(Path.cwd())
        wanted = self.profile.resources[task]
        return {
            "labels": {_ROOT_LABEL: str(root), "vlm-posttrain.run.task": task},
            "user": f"{self.user}:0",
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            # The directory of the command, empty but for what is mounted below it.
            "tmpfs": {"/tmp": "rw,mode=1777", cwd: "rw,size=64k,mode=0555"},
            "working_dir": cwd,
            "network_mode": self.network,
            "shm_size": "1g",
            "tty": terminal,
            "environment": {**self._environment(), **env, **work_environment(root, self.storage)},
            "volumes": self._volumes(root),
            "gpus": wanted.gpu,
            **limits(wanted),
        }

    def _environment(self) -> dict[str, str]:
        defaults = torch_defaults()
        keys = (endpoint.api_key_env for _, endpoint in find_settings(self.profile.settings, Endpoint))
        names = (*_PASSED_ON, *defaults, *keys)
        caches = {CACHE_ROOT_ENV: str(cache_root()), "HF_HUB_CACHE": str(hub_cache())} if self._far() else {}
        return defaults | caches | {name: os.environ[name] for name in names if name in os.environ}

    def _volumes(self, root: Path) -> dict[str, dict[str, str]]:
        modes = {str(path): "ro" for path in self._paths(READ_PATH) if path.exists()}
        # Written paths last: a path below one that is read stays writable.
        modes |= {str(path): "rw" for path in self._written(root)}
        if (settings := root / SETTINGS).exists():
            modes[str(settings)] = "ro"
        return {path: {"bind": path, "mode": mode} for path, mode in modes.items()}

    def _written(self, root: Path) -> list[Path]:
        caches = [cache_root(), hub_cache()] if self._far() else []
        return [root / "artifacts", root / "work", *self._paths(WRITTEN_PATH), *caches]

    def _far(self) -> bool:
        """Whether a stage may fetch a model or data."""
        return any(is_far(path) for path in self._named(READ_PATH))

    def _paths(self, use: JsonDict) -> list[Path]:
        """The settings' paths of this use, absolute and without pins; addresses are left out."""
        plain = [path.split("#sha256=")[0] for path in self._named(use)]
        return [Path(os.path.abspath(path)) for path in plain if path and "://" not in path]

    def _named(self, use: JsonDict) -> list[str]:
        return [path for settings in self.profile.settings.values() for path in named_paths(settings, use)]


def limits(wanted: Resources) -> dict[str, int]:
    """The profile's limits of a task as the engine takes them: bytes of memory, billionths of a core."""
    from kubernetes.utils.quantity import parse_quantity

    memory = {"mem_limit": int(parse_quantity(wanted.memory))} if wanted.memory else {}
    cpu = {"nano_cpus": int(parse_quantity(wanted.cpu) * 10**9)} if wanted.cpu else {}
    return memory | cpu


def main(spec_file: str) -> int:
    """The child process of one task: create, start, show, wait, remove; returns the container's exit code."""
    import docker

    options = json.loads(Path(spec_file).read_text(encoding="utf-8"))
    client = docker.from_env(timeout=600)
    gpus = options.pop("gpus")
    if gpus:
        options["device_requests"] = [docker.types.DeviceRequest(count=gpus, capabilities=[["gpu"]])]
    image = options["image"]
    try:
        _have(client, image)
        container = client.containers.create(**options)
    except docker.errors.ImageNotFound:
        return _failed(f"{image}: no such image; build it with `make images`", ConfigError.exit_code)
    except docker.errors.APIError as error:
        return _failed(f"the container cannot be created: {error.explanation or error}", 1)
    signal.signal(signal.SIGTERM, lambda *_: container.kill(signal="SIGTERM"))
    try:
        container.start()
        for chunk in container.logs(stream=True, follow=True):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
        code = int(container.wait()["StatusCode"])
        container.reload()
        if container.attrs["State"].get("OOMKilled"):
            _failed("out of memory: the container needed more than its limit, resources.<task>.memory", code)
        return code
    finally:
        container.remove(force=True, v=True)


def _have(client: Any, image: str) -> None:
    """Pull the image unless the engine has it; a name on `localhost` is never pulled."""
    import docker

    try:
        client.images.get(image)
    except docker.errors.ImageNotFound:
        if image.startswith("localhost/"):
            raise
        client.images.pull(image)


def _failed(message: str, code: int) -> int:
    print(f"[containers] error: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

"""Run the tasks of a local run in containers: what kfp.local's DockerRunner lacks, over docker-py.

kfp.local starts a task's container with the artifacts mounted and reports only whether it ended well; a container that
is gone before it was asked counts as success. Here a stage gets what it gets in a hardened cluster, and its output,
signals and exit code arrive as they do without containers:

- the root filesystem is read-only, `/tmp` is memory, all capabilities are dropped, privileges cannot be gained, the user
  is an arbitrary id in group 0;
- mounted are the run's artifacts and work directories (written), and what the profile's settings name outside of them
  (read-only, but for the registry), all at the paths that they have here;
- passed on are credentials and addresses of storage and endpoints, by name, and nothing else of the environment.

The engine is whatever `DOCKER_HOST` names: docker, or `podman system service`. One task is one child process, `python -m
pipelines.local.containers SPEC`, which creates the container, shows what it writes and ends with its exit code.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from components.core.stage.errors import ConfigError, EndpointError
from pipelines.local.process import Ended, Signals, run_child, torch_defaults
from pipelines.local.storage import work_environment
from pipelines.profile.resources import Resources
from pipelines.profile.run_profile import Profile

READ = {
    "preflight": ("images", "general_data", "base_model", "benchmarks.uri"),
    "image_ingest": ("catalogue", "embedding.encoder"),
    "label_tree": ("previous",),
}
"""Section -> settings that may name a path which the stages read."""
WRITTEN = {"promotion": ("registry",)}
"""Section -> settings that may name a directory which a stage writes."""
PASSED_ON = (
    "S3_ENDPOINT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "VLM_LOG_FORMAT",
    "VLM_WORK_SYNC_S",
)  # fmt: skip
ANY_USER = 65532
_LABEL = "vlm-posttrain.run"
_ROOT_LABEL = f"{_LABEL}.root"


@dataclass
class Containers:
    """How the tasks of one run become containers."""

    profile: Profile
    network: str = "host"
    """`host` reaches what this machine reaches, endpoints on its loopback included; `none` has loopback only; or the
    name of a network of the engine."""
    user: int = field(default_factory=lambda: os.getuid() or ANY_USER)
    """The stages' user id: the caller's own, or an arbitrary one where the caller is root."""
    storage: str = ""
    """As `LocalRun.storage`."""

    def require(self) -> None:
        """Look for client and engine before anything starts.

        Raises:
            ConfigError: docker-py is not installed.
            EndpointError: no engine answers.
        """
        try:
            import docker
        except ImportError as error:
            raise ConfigError("--containers needs the package `docker`; pip install docker") from error
        try:
            docker.from_env().ping()
        except docker.errors.DockerException as error:
            raise EndpointError(
                f"no container engine answers ({error}); start docker, or `podman system service` and set DOCKER_HOST"
            ) from error

    def prepare(self, root: Path) -> None:
        """Make the directories that stages write, for their user; end what a killed run left behind.

        Raises:
            ConfigError, EndpointError: as `require`.
        """
        self.require()
        import docker

        for container in docker.from_env().containers.list(
            all=True, filters={"label": f"{_ROOT_LABEL}={root}"}
        ):
            container.remove(force=True)
        for path in (root / "artifacts", root / "work", *self._paths(WRITTEN)):
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
        """Run one task's command in a container of `image`; what it writes goes to the console and the task's log."""
        spec = {"image": image, "command": list(command), **self._options(root, task, env, console.isatty())}
        # In a file that only we can read, because the environment holds credentials; too long for an argument, too.
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(spec, file)
            file.flush()
            child = [sys.executable, "-m", "pipelines.local.containers", file.name]
            here = str(Path(__file__).resolve().parents[2])
            path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")]))
            ended = run_child(
                child, {**os.environ, "PYTHONPATH": path}, root / "logs" / f"{task}.log", console, signals
            )
        if ended.exit_code == 128 + signal.SIGKILL:  # the child may have been killed, not what it watched
            self.prepare(root)
        return ended

    def _options(self, root: Path, task: str, env: Mapping[str, str], terminal: bool) -> dict[str, Any]:
        """Arguments of docker-py's `containers.create`, beside image and command."""
        cwd = str(Path.cwd())
        wanted = self.profile.resources[task]
        return {
            "name": None,
            "labels": {_ROOT_LABEL: str(root), f"{_LABEL}.task": task},
            "user": f"{self.user}:0",
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            # The directory that relative settings are relative to, empty but for what is mounted below it.
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
        keys = {str(value) for name, value in _leaves(self.profile.sections) if name == "api_key_env"}
        defaults = torch_defaults()
        passed = {name: os.environ[name] for name in (*PASSED_ON, *keys, *defaults) if name in os.environ}
        return {**defaults, **passed}

    def _volumes(self, root: Path) -> dict[str, dict[str, str]]:
        read = {str(path): {"bind": str(path), "mode": "ro"} for path in self._paths(READ) if path.exists()}
        # Written paths last: a path below one that is read stays writable.
        written = [root / "artifacts", root / "work", *self._paths(WRITTEN)]
        return read | {str(path): {"bind": str(path), "mode": "rw"} for path in written}

    def _paths(self, settings: Mapping[str, Sequence[str]]) -> list[Path]:
        """What these settings name, without pins, made absolute; addresses of object storage are no paths."""
        found = []
        for section, dotted_names in settings.items():
            for dotted in dotted_names:
                for value in _values(self.profile.sections.get(section, {}), dotted.split(".")):
                    text = str(value).split("#sha256=")[0]
                    if text and "://" not in text:
                        found.append(Path(os.path.abspath(text)))
        return found


def limits(wanted: Resources) -> dict[str, Any]:
    """The profile's limits of a task as the engine takes them: bytes of memory, billionths of a core."""
    from kubernetes.utils.quantity import parse_quantity

    options: dict[str, Any] = {}
    if wanted.memory:
        options["mem_limit"] = int(parse_quantity(wanted.memory))
    if wanted.cpu:
        options["nano_cpus"] = int(parse_quantity(wanted.cpu) * 10**9)
    return options


def _values(value: Any, keys: Sequence[str]) -> Iterator[Any]:
    """What lies under the keys; a list stands for each of its items."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _values(item, keys)
    elif not keys:
        yield value
    elif isinstance(value, Mapping) and keys[0] in value:
        yield from _values(value[keys[0]], keys[1:])


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, str(key))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item, name)
    else:
        yield name, value


def main(spec_file: str) -> int:
    """The child process of one task: create, start, show, wait, remove; returns the container's exit code."""
    import docker

    options = json.loads(Path(spec_file).read_text(encoding="utf-8"))
    client = docker.from_env(timeout=600)
    gpus = options.pop("gpus")
    if gpus:
        options["device_requests"] = [docker.types.DeviceRequest(count=gpus, capabilities=[["gpu"]])]
    try:
        _have(client, options["image"])
        container = client.containers.create(**options)
    except docker.errors.ImageNotFound:
        return _failed(
            f"{options['image']}: no such image; build it with `make images`", ConfigError.exit_code
        )
    except docker.errors.APIError as error:
        return _failed(f"the container cannot be created: {error.explanation or error}", 1)

    def stop(number: int, _: Any) -> None:
        container.kill(signal="SIGTERM")

    signal.signal(signal.SIGTERM, stop)
    try:
        container.start()
        for chunk in container.logs(stream=True, follow=True):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
        code = int(container.wait()["StatusCode"])
        container.reload()
        if container.attrs["State"].get("OOMKilled"):
            return _failed(
                "out of memory: the container needed more than its limit, resources.<task>.memory", code
            )
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

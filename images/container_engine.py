"""podman or docker: build, look up, push and read images by the engine's command line."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.core.stage.errors import ConfigError, StageError


@dataclass(frozen=True)
class ContainerEngine:
    """podman or docker, by the name of its program."""

    program: str

    @classmethod
    def find(cls, name: str = "auto") -> ContainerEngine:
        """The named engine, or the first that is installed.

        Raises:
            ConfigError: there is none.
        """
        wanted = ("podman", "docker") if name == "auto" else (name,)
        for program in wanted:
            if shutil.which(program):
                return cls(program)
        raise ConfigError(f"{' and '.join(wanted)} not found; install podman or docker")

    @property
    def is_podman(self) -> bool:
        """Whether podman's own options are understood."""
        return Path(self.program).name == "podman"

    def build(
        self,
        tag: str,
        dockerfile: Path,
        context: Path,
        arguments: Mapping[str, str],
        options: Sequence[str] = (),
    ) -> None:
        """Build `dockerfile` with these build arguments and further options, and name the result `tag`.

        Raises:
            StageError: the build failed; the engine has said why.
        """
        command = ["build", "--file", str(dockerfile), "--tag", tag, *options]
        # Health checks are Docker's own; the OCI format has no place for them.
        command += ["--format", "docker", "--layers"] if self.is_podman else []
        command += [f"--build-arg={name}={value}" for name, value in arguments.items()]
        self._run([*command, str(context)])

    def exists(self, image: str) -> bool:
        """Whether the image is in the engine's own storage."""
        found = subprocess.run([self.program, "image", "inspect", image], capture_output=True, check=False)
        return found.returncode == 0

    def push(self, image: str) -> str:
        """Push; returns the digest by which the registry knows the image, `sha256:...`.

        Raises:
            StageError: the push failed, or the registry named no digest.
        """
        if self.is_podman:
            with tempfile.NamedTemporaryFile("r") as file:
                self._run(["push", "--digestfile", file.name, image])
                return file.read().strip()
        self._run(["push", image])
        repository = image.rpartition(":")[0]
        known = json.loads(self._output(["image", "inspect", "--format", "{{json .RepoDigests}}", image]))
        digests = [str(name.rpartition("@")[2]) for name in known if name.startswith(f"{repository}@")]
        if not digests:
            raise StageError(f"{image}: pushed, but the engine knows no digest for {repository}")
        return digests[0]

    def read(self, image: str, path: str) -> str:
        """The text of a file in an image."""
        return self._output(["run", "--rm", "--network", "none", "--entrypoint", "cat", image, path])

    def _run(self, arguments: Sequence[str]) -> None:
        code = subprocess.run([self.program, *arguments], check=False).returncode
        if code:
            raise StageError(f"{self.program} {arguments[0]} ended with exit code {code}; see above")

    def _output(self, arguments: Sequence[str]) -> str:
        ended = subprocess.run([self.program, *arguments], capture_output=True, text=True, check=False)
        if ended.returncode:
            raise StageError(f"{self.program} {arguments[0]}: {ended.stderr.strip()}")
        return ended.stdout

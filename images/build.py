"""Build the container images: `python -m images.build [STAGE]... [--gpu] [--push] [--sbom DIR]`.

A tag is a hash of the image's code and locks (`components.core.stage.container_image`). An image that is
built already is skipped, and a change in one stage builds one image. The compiler finds the same names by
itself. All stages of a dependency group stand on one image of dependencies, which a node pulls once.

With --push, `images/digests.yaml` is brought up to date: stage, digest, and the code version that the digest
was made from. By that the compiler knows a digest of older code.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
import yaml

from components.core.stage.container_image import (
    CHECKS_ALL,
    DEFAULT_REGISTRY,
    LOCKS,
    REGISTRY_ENV,
    TAG_HEX,
    code_version,
)
from components.core.stage.errors import ConfigError
from components.core.stage.io import stage_io
from components.core.stage.settings import nearest
from components.stages import STAGES
from images.container_engine import ContainerEngine
from pipelines.commands.shared import clear_errors

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "images"
CLI = "cli"
PACKAGES = {"data": "libgl1 libglib2.0-0"}  # opencv, which text recognition brings, links against these
SBOM = "/usr/share/sbom/bom.json"


def content_tag(*paths: Path, also: str = "") -> str:
    """Twelve hex digits of a hash over files, in order; four more of the hash of `also`, where given."""
    digest = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:TAG_HEX] + (hashlib.sha256(also.encode()).hexdigest()[:4] if also else "")


def image_version(name: str) -> str:
    """The tag of a stage's image, or of the cli image."""
    if name != CLI:
        return code_version(name)
    files = [
        p for folder in ("components", "pipelines", "configs") for p in sorted((ROOT / folder).rglob("*"))
    ]
    kept = [p for p in files if p.suffix in {".py", ".yaml", ".jinja", ".html", ".css"} and p.is_file()]
    return content_tag(*kept, ROOT / "requirements" / "cli.lock")


def chosen(names: Sequence[str]) -> list[str]:
    """The images asked for, all of them by default.

    Raises:
        ConfigError: there is no such image.
    """
    known = [*STAGES, CLI]
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"{unknown[0]}: no such image{nearest(unknown[0], known)}")
    return list(dict.fromkeys(names)) or known


def dependencies_of(name: str, gpu: bool) -> str:
    """The dependency group whose image an image stands on."""
    if name == CLI:
        return CLI
    return "gpu" if gpu and STAGES[name].group == "train" else STAGES[name].group


def image_arguments(name: str) -> dict[str, str]:
    """The arguments of `stage.Dockerfile` that decide an image's content; the cli has a file of its own."""
    if name == CLI:
        return {}
    return {
        "STAGE": name,
        "LOCKS": " ".join(LOCKS[STAGES[name].group]),
        "CODE": "components" if name in CHECKS_ALL else f"components/{name}",
        "DESCRIPTION": stage_io(name).does,
    }


def write_digests(path: Path, pushed: Mapping[str, Mapping[str, str]]) -> None:
    """Lay what was pushed over what the file lists, in one step; entries of other stages stay."""
    before = (yaml.safe_load(path.read_text()) or {}) if path.is_file() else {}
    text = yaml.safe_dump({**before, **{name: dict(entry) for name, entry in pushed.items()}}, sort_keys=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text("# Written by `python -m images.build --push`; read by the compiler.\n" + text)
    fresh.replace(path)


def _revision() -> str:
    """The commit of the tree, marked where files differ from it; `unknown` outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    described = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return described.stdout.strip() or "unknown"


def _dependencies(
    tool: ContainerEngine, group: str, registry: str, base: str, options: Sequence[str], force: bool
) -> str:
    """The reference of a group's dependencies, which are built if they are not there."""
    dockerfile = IMAGES / ("dependencies.gpu.Dockerfile" if group == "gpu" else "dependencies.Dockerfile")
    files = [dockerfile, ROOT / "requirements" / f"{group}.lock"]
    files += [IMAGES / "packages.sh", IMAGES / "bill_of_materials.py"]
    image = f"{registry}/dependencies-{group}:{content_tag(*files, also=base)}"
    if force or not tool.exists(image):
        arguments = {"GROUP": group, "PACKAGES": PACKAGES.get(group, "")}
        arguments |= {"BASE_IMAGE": base} if base else {}
        arguments |= {"ONLY_BINARY": ":none:"} if group == CLI else {}  # kfp-server-api has no wheel
        tool.build(image, dockerfile, ROOT, arguments, options)
    return image


def build(
    names: Annotated[list[str] | None, typer.Argument(help="Stages, or cli; all of them by default.")] = None,
    engine: Annotated[str, typer.Option(help="podman, docker, or auto: what is installed.")] = "auto",
    registry: Annotated[
        str, typer.Option(envvar=REGISTRY_ENV, help="Where images belong: host/path.")
    ] = DEFAULT_REGISTRY,
    base_image: Annotated[
        str, typer.Option(help="Base of images without CUDA; the Dockerfile's own without it.")
    ] = "",
    gpu: Annotated[
        bool, typer.Option("--gpu", help="Training stages with CUDA, vLLM and DeepSpeed.")
    ] = False,
    wheels: Annotated[Path | None, typer.Option(help="Directory of wheels that pip may also use.")] = None,
    pip_config: Annotated[
        Path | None, typer.Option(help="pip.conf for the build: another index; leaves no trace in the image.")
    ] = None,
    push: Annotated[bool, typer.Option("--push", help="Push, and write images/digests.yaml.")] = False,
    sbom: Annotated[Path | None, typer.Option(help="Directory for one bill of materials an image.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Build what exists already, too.")] = False,
) -> None:
    """Build all images, or the named ones."""
    tool = ContainerEngine.find(engine)
    registry = registry.rstrip("/")
    wanted = chosen(names or [])
    revision = _revision()
    options = ["--build-context", f"wheels={wheels}"] if wheels else []
    options += ["--secret", f"id=pip.conf,src={pip_config}"] if pip_config else []
    bases = {}
    for group in dict.fromkeys(dependencies_of(name, gpu) for name in wanted):
        base = "" if group == "gpu" else base_image
        bases[group] = _dependencies(tool, group, registry, base, options, force)
    pushed = {}
    for name in wanted:
        version, group = image_version(name), dependencies_of(name, gpu)
        image = f"{registry}/{name.replace('_', '-')}:{version}"
        if force or gpu or not tool.exists(image):
            dockerfile = IMAGES / f"{CLI if name == CLI else 'stage'}.Dockerfile"
            arguments = {"DEPENDENCIES": bases[group], "CODE_VERSION": version, "REVISION": revision}
            tool.build(image, dockerfile, ROOT, arguments | image_arguments(name))
        if sbom:
            sbom.mkdir(parents=True, exist_ok=True)
            (sbom / f"{name}.cdx.json").write_text(tool.read(image, SBOM), encoding="utf-8")
        if push:
            reference = f"{image.rpartition(':')[0]}@{tool.push(image)}"
            pushed[name] = {"image": reference, "code_version": version, "dependencies": group}
            write_digests(IMAGES / "digests.yaml", pushed)
        typer.echo(pushed[name]["image"] if push else image)


def main() -> None:
    """Command line; a failure's message and exit code are those of its error."""
    os.environ.setdefault("BUILDAH_ISOLATION", "oci")
    with clear_errors():
        typer.run(build)


if __name__ == "__main__":
    main()

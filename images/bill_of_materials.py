"""Write a CycloneDX 1.5 bill of materials of what is installed: `python bill_of_materials.py --name NAME`.

Runs inside an image while it is built, with nothing but the standard library: Python distributions from their
metadata, Debian packages from dpkg's database. The same content gives the same bytes: no time, no random
serial number.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from shutil import which
from typing import Any
from urllib.parse import quote


def python_components(path: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """A component for each distribution on `path` (default: `sys.path`): name, version, license, URL."""
    found = metadata.distributions() if path is None else metadata.distributions(path=list(path))
    for distribution in found:
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        licenses = _licenses(distribution.metadata)
        yield {
            **_library(name, distribution.version, f"pkg:pypi/{name}@{quote(distribution.version)}"),
            **({"licenses": licenses} if licenses else {}),
        }


def _library(name: str, version: str, purl: str) -> dict[str, Any]:
    return {"type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl}


def _licenses(about: Any) -> list[dict[str, Any]]:
    """An SPDX expression where the package states one (PEP 639), else the names in its classifiers."""
    if expression := about.get("License-Expression"):
        return [{"expression": expression}]
    stated = (c for c in about.get_all("Classifier") or [] if c.startswith("License ::"))
    return [{"license": {"name": name}} for name in dict.fromkeys(c.split(" :: ")[-1] for c in stated)]


def debian_components() -> Iterator[dict[str, Any]]:
    """One component a Debian package; none where there is no dpkg."""
    if which("dpkg-query") is None:
        return
    system = platform.freedesktop_os_release()
    distro = f"{system['ID']}-{system['VERSION_ID']}"
    command = ["dpkg-query", "--show", "--showformat=${Package}\t${Version}\t${Architecture}\n"]
    for line in subprocess.check_output(command, text=True).splitlines():
        name, version, architecture = line.split("\t")
        purl = f"pkg:deb/{system['ID']}/{name}@{quote(version)}?arch={architecture}&distro={distro}"
        yield _library(name, version, purl)


def bill(name: str, components: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The document; components sorted and listed once, the serial number made from the content."""
    unique = {component["bom-ref"]: component for component in components}
    ordered = [unique[reference] for reference in sorted(unique)]
    content = json.dumps([name, ordered], sort_keys=True).encode()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.UUID(bytes=sha256(content).digest()[:16], version=5)}",
        "version": 1,
        "metadata": {
            "component": {"type": "container", "name": name, "bom-ref": name},
            "properties": [{"name": "python", "value": platform.python_version()}],
        },
        "components": ordered,
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--name", required=True, help="what the bill is of, e.g. the image's name")
    parser.add_argument("--output", type=Path, help="file to write; standard output without it")
    args = parser.parse_args(argv)
    text = json.dumps(bill(args.name, [*python_components(), *debian_components()]), indent=1) + "\n"
    if args.output:
        args.output.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()

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

_FORMAT = "${Package}\t${Version}\t${Architecture}\n"


def python_components(path: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """A component for each distribution on `path` (default: `sys.path`): name, version, license, URL."""
    found = metadata.distributions() if path is None else metadata.distributions(path=list(path))
    for distribution in found:
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        version = distribution.version
        component: dict[str, Any] = {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name}@{quote(version)}",
        }
        component["bom-ref"] = component["purl"]
        licenses = _licenses(distribution.metadata)
        if licenses:
            component["licenses"] = licenses
        yield component


def _licenses(about: Any) -> list[dict[str, Any]]:
    """An SPDX expression where the package states one (PEP 639), else the names in its classifiers."""
    if expression := about.get("License-Expression"):
        return [{"expression": expression}]
    classifiers = [
        c.split(" :: ")[-1] for c in about.get_all("Classifier") or [] if c.startswith("License ::")
    ]
    return [{"license": {"name": name}} for name in dict.fromkeys(classifiers)]


def debian_components() -> Iterator[dict[str, Any]]:
    """One component a Debian package; none where there is no dpkg."""
    if which("dpkg-query") is None:
        return
    listed = subprocess.run(
        ["dpkg-query", "--show", f"--showformat={_FORMAT}"], capture_output=True, text=True, check=True
    ).stdout
    system = platform.freedesktop_os_release()
    for line in listed.splitlines():
        name, version, architecture = line.split("\t")
        distro = f"{system['ID']}-{system['VERSION_ID']}"
        purl = f"pkg:deb/{system['ID']}/{name}@{quote(version)}?arch={architecture}&distro={distro}"
        yield {"type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl}


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

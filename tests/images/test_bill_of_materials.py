"""The bill of materials: complete, and the same bytes for the same content."""

from __future__ import annotations

import json

from images.bill_of_materials import bill, debian_components, main, python_components


def _installed(tmp_path, name: str, version: str, extra: str = "") -> None:
    folder = tmp_path / f"{name}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{extra}\n")


def test_distributions_with_their_licenses(tmp_path):
    _installed(tmp_path, "Some_Package", "1.0+cpu", "License-Expression: MIT")
    _installed(tmp_path, "other", "2", "Classifier: License :: OSI Approved :: BSD License")
    found = {c["name"]: c for c in python_components([str(tmp_path)])}
    assert found["some-package"]["purl"] == "pkg:pypi/some-package@1.0%2Bcpu"
    assert found["some-package"]["licenses"] == [{"expression": "MIT"}]
    assert found["other"]["licenses"] == [{"license": {"name": "BSD License"}}]


def test_order_and_repetition_change_nothing(tmp_path):
    _installed(tmp_path, "a", "1")
    _installed(tmp_path, "b", "2")
    components = list(python_components([str(tmp_path)]))
    one, two = bill("x", components), bill("x", [*components[::-1], *components])
    assert one == two
    assert one["serialNumber"] != bill("x", components[:1])["serialNumber"]
    assert [c["name"] for c in one["components"]] == ["a", "b"]


def test_debian_packages_are_listed_where_there_is_dpkg():
    for component in debian_components():
        assert component["purl"].startswith("pkg:deb/")
        assert component["version"]


def test_the_command_writes_cyclonedx(tmp_path):
    main(["--name", "image", "--output", str(tmp_path / "bom.json")])
    written = json.loads((tmp_path / "bom.json").read_text())
    assert (written["bomFormat"], written["specVersion"]) == ("CycloneDX", "1.5")
    assert {"pytest", "pydantic"} <= {component["name"] for component in written["components"]}

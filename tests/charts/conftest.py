"""The chart rendered through the Helm SDK, without a cluster, once for each value set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest
import yaml

CHART = Path(__file__).resolve().parents[2] / "charts" / "vlm-posttrain"
VALUE_SETS = {path.stem: path for path in sorted((CHART / "ci").glob("*.yaml"))}


class Rendered(list[dict[str, Any]]):
    """The objects of one release."""

    def kind(self, kind: str) -> dict[str, dict[str, Any]]:
        """Objects of a kind, by name."""
        return {item["metadata"]["name"]: item for item in self if item["kind"] == kind}

    def pods(self) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
        """(whose, labels, spec) of every pod that these objects make."""
        for item in self:
            where = f"{item['kind']}/{item['metadata']['name']}"
            if item["kind"] == "Pod":
                yield where, item["metadata"]["labels"], item["spec"]
            elif item["kind"] in {"Deployment", "Job"}:
                template = item["spec"]["template"]
                yield where, template["metadata"]["labels"], template["spec"]
            elif item["kind"] == "RayCluster":
                for group in (item["spec"]["headGroupSpec"], *item["spec"]["workerGroupSpecs"]):
                    template = group["template"]
                    yield where, template["metadata"]["labels"], template["spec"]


@pytest.fixture(scope="session")
def chart() -> Iterator[helm.Chart]:
    with helm.Chart.load(CHART) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def render(chart) -> Callable[..., Rendered]:
    """Values -> the objects of release `vlm-posttrain` in the namespace of the same name."""

    def rendered(values: dict[str, Any] | None = None, name: str = "vlm-posttrain") -> Rendered:
        files = chart.render(values or {}, name=name, namespace="vlm-posttrain", is_install=True)
        texts = [text for path, text in files.items() if path.endswith(".yaml")]
        return Rendered(item for text in texts for item in yaml.safe_load_all(text) if item)

    return rendered


@pytest.fixture(scope="session", params=VALUE_SETS)
def value_set(request) -> dict[str, Any]:
    return yaml.safe_load(VALUE_SETS[request.param].read_text()) or {}


@pytest.fixture(scope="session")
def objects(value_set, render) -> Rendered:
    """What each value set of the chart renders to."""
    return render(value_set)


@pytest.fixture(scope="session")
def named_set(render) -> Callable[[str], Rendered]:
    return lambda name: render(yaml.safe_load(VALUE_SETS[name].read_text()))

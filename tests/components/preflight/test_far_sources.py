"""Sources in a bucket and on the hub: fetched and checked by preflight, pinned for the stages after it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.core.data.pins import split_pinned_uri
from components.core.objects import open_store
from components.core.registry import SEEN_IMAGES, DomainRegistry
from components.core.sources.copies import local_copy
from tests.hub.fixtures import cache, hub  # noqa: F401 - fixtures
from tests.s3.fixtures import s3_bucket, s3_server  # noqa: F401 - fixtures


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def output(world: Path, name: str) -> str:
    return (world / "out" / name).read_text()


@pytest.fixture
def on_the_hub(hub, world, settings):  # noqa: F811
    """Settings whose sources are names of the hub."""
    hub.repository("model", "o/model").commit(files_of(world / "model"))
    for name in ("general", "benchmark", "images"):
        hub.repository("dataset", f"o/{name}").commit(files_of(world / name))
    benchmark = {"name": "colours", "role": "general", "uri": "o/benchmark@main"}
    names = {"base_model": "o/model@main", "general_data": "o/general@main", "images": "o/images@main"}
    return settings | names | {"benchmarks": [benchmark]}


def test_names_of_the_hub_are_pinned_to_commits(preflight, on_the_hub, hub, world):  # noqa: F811
    code, message = preflight(on_the_hub)
    assert code == 0, message
    commit = hub.repository("model", "o/model").branches["main"]
    reference = output(world, "base-model")
    assert split_pinned_uri(reference)[0] == f"hf://o/model@{commit}"
    assert files_of(local_copy(reference)) == files_of(world / "model")
    (benchmark,) = json.loads(output(world, "benchmarks"))
    assert benchmark["ref"].startswith("hf://datasets/o/benchmark@")
    assert output(world, "images").startswith("hf://datasets/o/images@")
    before = {name: output(world, name) for name in ("base-model", "general-data", "images")}
    assert preflight(on_the_hub)[0] == 0
    assert {name: output(world, name) for name in before} == before
    hub.repository("dataset", "o/general").commit(files_of(world / "general") | {"README.md": b"new"})
    assert preflight(on_the_hub)[0] == 0
    after = {name: output(world, name) for name in before}
    assert [name for name in before if after[name] != before[name]] == ["general-data"]


def test_all_problems_of_far_sources_come_at_once(preflight, on_the_hub, hub, world):  # noqa: F811
    hub.repository("model", "o/model").gated = True
    on_the_hub["general_data"] = "o/nowhere@main"
    code, message = preflight(on_the_hub)
    assert code == 78
    assert "is gated" in message and "no such dataset" in message
    assert preflight(on_the_hub | {"gpu": "24GB"})[1].count("is gated") == 1


def test_a_damaged_model_of_the_hub_is_refused(preflight, on_the_hub, hub, world):  # noqa: F811
    files = files_of(world / "model")
    hub.repository("model", "o/model").commit(files | {"model.safetensors": files["model.safetensors"][:-1]})
    code, message = preflight(on_the_hub)
    assert code == 65 and "its header says" in message


def test_prefixes_of_a_bucket_and_a_promoted_model_there(preflight, settings, world, cache, s3_bucket):  # noqa: F811
    store, _ = open_store(s3_bucket)
    for name in ("model", "general", "benchmark"):
        for file, data in files_of(world / name).items():
            store.put(f"{name}/{file}", data)
    far = {"base_model": f"{s3_bucket}/model", "general_data": f"{s3_bucket}/general/"}
    far["benchmarks"] = [{"name": "colours", "role": "general", "uri": f"{s3_bucket}/benchmark"}]
    code, message = preflight(settings | far)
    assert code == 0, message
    assert files_of(local_copy(output(world, "base-model"))) == files_of(world / "model")
    promotion = {"registry": f"{s3_bucket}/registry", "domain": "cars"}
    registry = DomainRegistry(promotion["registry"], "cars")
    files = {f"checkpoint/{path.name}": path for path in (world / "model").iterdir()}
    version = registry.publish("v", {**files, SEEN_IMAGES: b"ab\n"}, {"passed": True, "judged_at": 0})
    registry.point_to(version)
    code, message = preflight(settings | far | {"start_from": "promoted"}, promotion=promotion)
    assert code == 0, message
    assert output(world, "base-model").startswith(f"{s3_bucket}/registry/cars/1/checkpoint#sha256=")
    assert local_copy(output(world, "seen")).read_text() == "ab\n"

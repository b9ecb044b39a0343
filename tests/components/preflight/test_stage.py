"""The whole stage through its command line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from components.core.data.pins import split_pin
from components.core.registry import SEEN_IMAGES, DomainRegistry
from components.preflight.component import IO
from components.stages import SECTIONS

PINNED = ("images", "general-data", "base-model", "benchmarks")


def outputs(world: Path) -> dict[str, str]:
    return {name: (world / "out" / name).read_text() for name in PINNED}


def test_everything_in_order(preflight, settings, world) -> None:
    code, message = preflight(settings)
    assert code == 0, message
    pinned = outputs(world)
    assert split_pin(pinned["images"])[0] == world / "images"
    assert all(re.search(r"#sha256=[0-9a-f]{64}", reference) for reference in pinned.values())
    (benchmark,) = json.loads(pinned["benchmarks"])
    assert (benchmark["name"], benchmark["role"]) == ("colours", "general")
    assert "checks passed" in (world / "out/report.html").read_text()


def test_references_change_exactly_when_the_content_does(preflight, settings, world) -> None:
    preflight(settings)
    before = outputs(world)
    preflight(settings)
    assert outputs(world) == before
    (world / "images" / "new.jpg").write_bytes(b"new")
    preflight(settings)
    after = outputs(world)
    assert [name for name in PINNED if after[name] != before[name]] == ["images"]


def test_a_teacher_is_pinned_where_one_is_loaded(preflight, settings, world) -> None:
    section = {"objective": "distill", "teacher": {"checkpoint": str(world / "model")}}
    code, message = preflight(settings, hybrid_rl=section)
    assert code == 0, message
    assert split_pin((world / "out/teacher").read_text())[0] == world / "model"
    assert preflight(settings, hybrid_rl={**section, "objective": "rl"})[0] == 0
    assert (world / "out/teacher").read_text() == ""
    section["teacher"] = {"checkpoint": str(world / "none")}
    assert preflight(settings, hybrid_rl=section)[0] == 66


def test_training_starts_from_the_promoted_model_where_there_is_one(preflight, settings, world) -> None:
    settings |= {"start_from": "promoted"}
    assert preflight(settings)[0] == 78  # no registry is named
    section = {"registry": str(world / "registry"), "domain": "cars"}
    assert preflight(settings, promotion=section)[0] == 0
    assert split_pin((world / "out/base-model").read_text())[0] == world / "model"
    assert (world / "out/seen").read_text() == ""
    registry = DomainRegistry(section["registry"], section["domain"])
    files = {f"checkpoint/{path.name}": path for path in (world / "model").iterdir()}
    version = registry.publish("v", {**files, SEEN_IMAGES: b"ab\n"}, {"passed": True, "judged_at": 0})
    registry.point_to(version)
    assert preflight(settings, promotion=section)[0] == 0
    assert split_pin((world / "out/base-model").read_text())[0] == world / "registry/cars/1/checkpoint"
    assert split_pin((world / "out/seen").read_text())[0].read_text() == "ab\n"


def test_sections_are_those_of_the_pipeline() -> None:
    assert list(IO.sections) == [name for name in SECTIONS if name != "preflight"]


def test_all_problems_are_named_at_once(preflight, settings, world) -> None:
    settings |= {"images": str(world / "nowhere"), "base_model": str(world / "images")}
    server = {"base_url": "http://127.0.0.1:9/v1", "model": "m"}
    code, message = preflight(
        settings, image_ingest={"max_side": 64}, ids_scoring={"endpoint": server, "budget": {"n_mim": 1}}
    )
    assert code == 78  # the settings first: they decide everything else
    assert "image_ingest.max_side: unknown setting; did you mean 'max_side_px'?" in message
    assert "ids_scoring.budget.n_mim: unknown setting; did you mean 'n_min'?" in message
    assert "nowhere: no such folder of images" in message
    assert "not a usable base model" in message


def test_integral_floats_pass_as_kubeflow_sends_them(preflight, settings) -> None:
    assert preflight(settings, image_ingest={"max_side_px": 512.0, "engine": {"workers": 2.0}})[0] == 0
    assert preflight(settings, image_ingest={"max_side_px": 512.5})[0] == 78


def test_unreachable_endpoint(preflight, settings) -> None:
    section = {"endpoint": {"base_url": "http://127.0.0.1:9/v1", "model": "m"}}
    code, message = preflight(settings, ids_scoring=section)
    assert code == 69
    assert "ids_scoring.endpoint" in message
    assert preflight({**settings, "probe_endpoints": False}, ids_scoring=section)[0] == 0


def test_served_endpoint(preflight, settings, model_server) -> None:
    section = {"endpoint": {"base_url": model_server.base_url, "model": "teacher"}}
    assert preflight(settings, ids_scoring=section)[0] == 0


def test_no_images(preflight, settings, world) -> None:
    (world / "images/nested/a.PNG").rename(world / "images/nested/a.txt")
    code, message = preflight(settings)
    assert code == 66
    assert "no file that ends with .jpg" in message
    assert preflight({**settings, "image_extensions": []})[0] == 0


def test_samples_that_would_fail_on_the_gpu(preflight, settings, spoil, make_sample) -> None:
    spoil["samples"](make_sample(), make_sample(image_ids=[]))
    code, message = preflight(settings)
    assert code == 65
    assert "1 of 2 samples are unusable" in message
    assert "1 image placeholders, but 0 image_ids" in message


def test_general_data_of_another_table(preflight, settings, world) -> None:
    (world / "general/samples").rename(world / "aside")
    (world / "benchmark").rename(world / "general/samples")
    (world / "aside").rename(world / "benchmark")
    code, message = preflight(settings)
    assert code == 65
    assert "holds table 'benchmark', expected 'samples'" in message
    assert "holds table 'samples', expected 'benchmark'" in message


def test_a_damaged_shard(preflight, settings, world) -> None:
    shard = next((world / "benchmark").glob("*.parquet"))
    data = bytearray(shard.read_bytes())
    data[20] ^= 1
    shard.write_bytes(data)
    code, message = preflight(settings)
    assert code == 65
    assert "checksum differs" in message


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"answer_type": "essay"}, "answer_type 'essay'"),
        ({"answer_type": "choice"}, "without choices"),
        ({"answer": ""}, "no answer"),
    ],
)
def test_items_that_cannot_be_scored(preflight, settings, spoil, make_item, changes, problem) -> None:
    spoil["benchmark"](make_item(**changes))
    code, message = preflight(settings)
    assert code == 65
    assert problem in message


def test_repeated_items_and_empty_benchmarks(preflight, settings, spoil, make_item) -> None:
    spoil["benchmark"](make_item(), make_item())
    assert "occurs twice" in preflight(settings)[1]
    spoil["benchmark"]()
    assert preflight(settings)[0] == 66


def test_repeated_benchmark_names(preflight, settings) -> None:
    code, message = preflight({**settings, "benchmarks": settings["benchmarks"] * 2})
    assert code == 78
    assert "repeated: colours" in message


def test_no_room_on_the_disk(preflight, settings) -> None:
    code, message = preflight({**settings, "min_free_disk_gib": 1e9})
    assert code == 78
    assert "min_free_disk_gib" in message


def test_starts_without_heavy_imports() -> None:
    heavy = "torch transformers matplotlib scipy kfp aiohttp PIL"
    names = [SECTIONS[name].stage for name in IO.sections]
    code = f"""
import sys
import components.preflight.__main__
from components.core.stage.settings import stage_config
for name in {names!r}:
    stage_config(name)
print([name for name in {heavy.split()!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

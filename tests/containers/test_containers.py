"""The miniature pipeline in real containers: hardened, as an arbitrary user, with no network but loopback."""

from __future__ import annotations

import json
import re
import signal
import sys
from pathlib import Path

import pytest

from components.core.data.manifest import Dataset, open_checkpoint
from components.core.stage.container_image import code_version
from components.stages import STAGES, TASKS, TRAINING
from demo.run import build_world
from pipelines.local.containers import ANY_USER

pytestmark = pytest.mark.integration
DRIVE = str(Path(__file__).with_name("drive.py"))


@pytest.fixture(scope="module")
def world(engine) -> Path:
    """Built by the first test session; the same one every time."""
    world = engine.folder / "world"
    build_world(world, mini=True)
    # safetensors writes for the owner alone; the stages are somebody else.
    engine.command("chmod", "-R", "g+rX", str(world))
    return world


@pytest.fixture(scope="module")
def finished(stage_images, world, tmp_path_factory) -> tuple[Path, str]:
    """The run's folder and what it printed."""
    folder = tmp_path_factory.mktemp("containers")
    done = stage_images.in_private_network(sys.executable, DRIVE, "run", str(world), str(folder))
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
    return folder, done.stdout


def test_a_stage_s_container_may_do_nothing_it_need_not(stage_images, world, tmp_path):
    done = stage_images.in_private_network(sys.executable, DRIVE, "probe", str(world), str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout.split("PROBE")[1])
    assert (seen["uid"], seen["gid"]) == (43210, 0)
    assert set(seen["capabilities"].values()) == {0}
    assert seen["no_new_privileges"] == "1"
    assert seen["interfaces"] == ["lo"]
    assert all(seen["refused"].values())
    assert not any(seen["allowed"].values())
    assert seen["compilers"] == []
    assert seen["modules"] == []
    assert seen["secret"] == ""


def test_every_task_ran_in_a_container(finished):
    _, printed = finished
    assert set(re.findall(r"^ ?\d+/\d+ (\w+): done", printed, flags=re.MULTILINE)) == set(TASKS)


def test_outputs_are_committed_by_the_stages_user_and_verify(finished):
    folder, _ = finished
    kept = folder / "run" / "outputs" / "voting_filter" / "qa_kept"
    assert Dataset.open(kept, "qa_kept").rows > 0
    assert (kept / "_MANIFEST.json").stat().st_uid == ANY_USER
    digests = {open_checkpoint(folder / "run" / "outputs" / n / "checkpoint").digest for n in TRAINING}
    assert len(digests) == len(TRAINING)


def test_the_code_in_an_image_is_the_code_that_names_it(finished):
    folder, _ = finished
    manifest = folder / "run" / "outputs" / "voting_filter" / "qa_kept" / "_MANIFEST.json"
    assert json.loads(manifest.read_text())["provenance"]["code_version"] == code_version("voting_filter")


def again(engine, world: Path, folder: Path, *arguments: str):
    return engine.in_private_network(sys.executable, DRIVE, "run", str(world), str(folder), *arguments)


def test_the_second_run_comes_from_the_cache(finished, engine, world):
    folder, _ = finished
    done = again(engine, world, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"^ ?\d+/\d+ (\w+): done", done.stdout, flags=re.MULTILINE) == ["preflight"]


def test_a_stage_s_exit_code_and_message_arrive(finished, engine, world, tmp_path):
    done = again(engine, world, tmp_path, "--set", f"preflight.images={tmp_path}/nothing-here")
    assert done.returncode == 66
    assert "nothing-here" in done.stderr


def test_an_image_that_is_not_built_is_named(finished, engine, world, tmp_path, monkeypatch):
    monkeypatch.setenv("VLM_POSTTRAIN_REGISTRY", "localhost/nobody")
    done = again(engine, world, tmp_path)
    assert done.returncode == 78
    assert "localhost/nobody/preflight" in done.stderr
    assert "make images" in done.stderr


@pytest.mark.parametrize(
    ("number", "code", "most_running"), [(signal.SIGTERM, 143, 0), (signal.SIGKILL, -9, 1)], ids=str
)
def test_no_container_outlives_its_run_for_long(finished, engine, world, number, code, most_running):
    """A run that is asked to end ends its container, which saves; the next run ends that of a killed one."""
    folder, _ = finished
    arguments = [
        "--set",
        f"sft_1_domain.max_steps={2000 + number}",
    ]  # new settings: nothing to take from the cache
    done = engine.in_private_network(
        sys.executable, DRIVE, "end", str(world), str(folder), str(int(number)), *arguments
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ended = json.loads(done.stdout.split("ENDED")[1])
    assert (ended["code"], ended["left"]) == (code, 0)
    # After a kill, the container's own watcher may have ended it already, when it found nobody to write to.
    assert ended["running"] <= most_running
    if number == signal.SIGTERM:
        assert "interrupted" in done.stderr


@pytest.mark.parametrize("stage", STAGES)
def test_an_image_s_bill_of_materials_lists_its_lock(stage_images, stage):
    bom = json.loads((stage_images.folder / "sbom" / f"{stage}.cdx.json").read_text())
    listed = {c["name"]: c["version"] for c in bom["components"] if c["purl"].startswith("pkg:pypi/")}
    lock = (Path("requirements") / f"{STAGES[stage].group}.lock").read_text()
    locked = dict(re.findall(r"^([a-z0-9._-]+)==([^ ]+)", lock, flags=re.MULTILINE))
    assert {name.replace(".", "-").replace("_", "-"): v for name, v in locked.items()} == listed

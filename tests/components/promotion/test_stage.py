"""The stage as a whole: verdicts, what a version holds, re-runs, two at once, kills."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from components.core.data.checkpoint import open_checkpoint
from components.core.data.dataset import Dataset
from components.core.registry import SEEN_IMAGES, DomainRegistry
from components.core.stage.runner import stage_main
from components.promotion.component import IO
from components.promotion.config import Config
from components.promotion.stage import run
from components.stages import EVALUATED
from tests.components.promotion.conftest import BENCHMARKS, World

REPOSITORY = Path(__file__).resolve().parents[3]


def call(world: World, registry: str, out: str = "out", **criteria: object) -> dict:
    """Run the stage; its verdict."""
    assert stage_main("promotion", Config, IO, run, world.argv(registry, out, **criteria)) == 0
    return read(world.path / out / "verdict")


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def contents(directory: Path) -> dict[str, str]:
    """Every file below a directory, hidden ones too, with its checksum."""
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_a_version_lists_the_pictures_that_it_and_its_incumbent_have_seen(
    world: World, root: str, another: Callable[[bytes, float], World]
) -> None:
    world.images(0, 3)
    call(world, root)
    later = another(b"other", 0.95)
    later.images(2, 4)
    call(later, root)
    registry = DomainRegistry(root, "cars")
    listed = [registry.read(registry.version(number), SEEN_IMAGES).decode().split() for number in (1, 2)]
    assert listed == [[f"{i:064x}" for i in range(3)], [f"{i:064x}" for i in range(6)]]


def test_a_pass_is_registered_whole_and_becomes_current(world: World, root: str, tmp_path: Path) -> None:
    verdict = call(world, root)
    assert verdict["passed"] is True
    assert [c["name"] for c in verdict["criteria"]] == [
        "domain_gain", "general_kept", "hallucination", "probe_f1", "length",
    ]  # fmt: skip
    assert verdict["criteria"][0]["measured"] == pytest.approx(50)
    assert verdict["registry"] == {
        "version": 1, "uri": f"{root}/cars/1", "is_current": True, "current": 1, "previous": None,
        "pointer": "points here",
    }  # fmt: skip
    registry = DomainRegistry(root, "cars")
    fetched = registry.fetch(registry.version(1), tmp_path / "fetched")
    assert open_checkpoint(fetched / "checkpoint").digest == verdict["checkpoint_digest"]
    assert Dataset.open(fetched / "predictions", "predictions").rows == 720
    assert read(fetched / "summary.json") == read(world.path / "out" / "verdict")["summary"]
    assert [row["stage"] for row in read(fetched / "summary.json")["rows"]] == list(EVALUATED)
    assert read(fetched / "config.json")["evaluation"] == {"batch_size": 8}
    assert read(fetched / "config.json")["promotion"]["domain"] == "cars"
    assert {path.stem for path in (fetched / "scores").iterdir()} == set(EVALUATED)
    metrics = read(world.path / "out" / "metrics")
    assert metrics["passed"] == metrics["is_current"] == 1
    assert 30 < metrics["domain_gain_low"] < metrics["domain_gain"] < metrics["domain_gain_high"]
    page = (world.path / "out" / "report").read_text()
    assert "Verdict: passed" in page
    assert page.count("<svg") == 2


def test_lineage_goes_back_to_the_pictures(world: World, tmp_path: Path) -> None:
    call(world, str(tmp_path / "registry"))
    version = tmp_path / "registry" / "cars" / "1"
    record = read(version / "lineage.json")
    listed = (version / "training_images.txt").read_text().splitlines()
    assert listed == [f"{i:064x}" for i in range(5)], "the held-out picture was not trained on"
    assert record["training_images"]["count"] == 5
    assert (
        record["training_images"]["sha256"]
        == hashlib.sha256((version / "training_images.txt").read_bytes()).hexdigest()
    )
    assert record["checkpoint"]["inputs"]["qa_kept"] == record["qa_kept"]["digest"]


def test_questions_of_another_run_are_refused(world: World, tmp_path: Path) -> None:
    world.questions(images=6)
    assert stage_main("promotion", Config, IO, run, world.argv(str(tmp_path / "registry"))) == 65
    assert DomainRegistry(str(tmp_path / "registry"), "cars").versions() == []


def test_the_same_promotion_again_changes_nothing(world: World, tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    first = call(world, str(registry), "first")
    before = contents(registry)
    assert call(world, str(registry), "second") == first
    assert contents(registry) == before


def test_a_fail_is_registered_but_not_current(
    world: World, another: Callable[[bytes, float], World], root: str
) -> None:
    call(world, root)
    worse = another(b"worse", 0.31)
    verdict = call(worse, root)
    assert verdict["passed"] is False
    assert (verdict["registry"]["version"], verdict["registry"]["current"]) == (2, 1)
    assert verdict["incumbent"] == 1
    assert DomainRegistry(root, "cars").pointer().version == 1


def test_the_incumbent_has_to_be_beaten(
    world: World, another: Callable[[bytes, float], World], root: str
) -> None:
    call(world, root)
    equal = call(another(b"equal", 0.8), root)
    assert equal["passed"] is False, "far better than base, but no better than what is there"
    failed = [c["name"] for c in equal["criteria"] if not c["passed"]]
    assert failed == ["domain_gain_vs_incumbent"]
    assert equal["criteria"][5]["rule"].endswith("version 1, and the interval of the gain above 0") or any(
        "version 1" in c["rule"] for c in equal["criteria"]
    )
    better = call(another(b"better", 0.9), root)
    assert better["passed"] is True
    assert (better["registry"]["current"], better["registry"]["previous"]) == (3, 1)
    lone = call(another(b"lone", 0.85), root, against=["base"])
    assert (lone["passed"], lone["registry"]["current"]) == (True, 4)


def test_an_incumbent_of_another_benchmark_cannot_be_compared(
    world: World, another: Callable[[bytes, float], World], tmp_path: Path
) -> None:
    registry = str(tmp_path / "registry")
    call(world, registry)
    changed = another(b"changed", 0.9)
    asked = [{**source, "digest": source["digest"] + "x"} for source in BENCHMARKS]
    for stage in EVALUATED:
        changed.evaluate(stage, 0.9 if stage == "hybrid_rl" else 0.3, benchmarks=asked)
    verdict = call(changed, registry)
    notes = {c["name"]: c["note"] for c in verdict["criteria"] if not c["passed"]}
    assert (
        notes["domain_gain_vs_incumbent"]
        == "not measured: version 1 answered another version of the benchmark"
    )


def test_a_promotion_overtaken_by_another_is_judged_against_it(
    world: World, another: Callable[[bytes, float], World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after its version was there and before the pointer moved; meanwhile another one was promoted."""
    registry = str(tmp_path / "registry")

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(DomainRegistry, "point_to", killed)
        assert stage_main("promotion", Config, IO, run, world.argv(registry)) == 130
    assert DomainRegistry(registry, "cars").pointer().version == 0
    call(another(b"second", 0.7), registry)
    verdict = call(world, registry)
    assert (verdict["incumbent"], verdict["passed"], verdict["registry"]["version"]) == (2, True, 3)
    assert DomainRegistry(registry, "cars").pointer().history == (2, 3)


def test_scores_or_predictions_of_other_weights_are_refused(world: World, tmp_path: Path) -> None:
    registry = str(tmp_path / "registry")
    world.evaluate("hybrid_rl", 0.8, digest="other")
    assert stage_main("promotion", Config, IO, run, world.argv(registry)) == 65
    world.checkpoint(b"new weights")
    scores = read(world.path / "scores_hybrid_rl")
    scores["checkpoint_digest"] = open_checkpoint(world.path / "checkpoint").digest
    (world.path / "scores_hybrid_rl").write_text(json.dumps(scores))
    assert stage_main("promotion", Config, IO, run, world.argv(registry)) == 65
    assert not (tmp_path / "registry").exists()


def start(
    world: World, registry: str, out: str = "out", environment: dict[str, str] | None = None
) -> subprocess.Popen:
    command = [sys.executable, "-m", "components.promotion", *world.argv(registry, out)]
    return subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_killed_at_random_moments_nothing_is_half_there(world: World, tmp_path: Path) -> None:
    """The real process, killed again and again: nothing or everything is visible, and the end is the same."""
    big = world.path / "checkpoint" / "model.safetensors"
    big.write_bytes(random.Random(0).randbytes(48 * 2**20))
    world.checkpoint(big.read_bytes())
    world.evaluate("hybrid_rl", 0.8)
    undisturbed, registry = tmp_path / "undisturbed", tmp_path / "registry"
    began = time.monotonic()
    assert start(world, str(registry), "straight").wait(60) == 0
    whole = time.monotonic() - began
    registry.rename(undisturbed)
    rng, kills = random.Random(1), 0
    for attempt in range(12):
        process = start(world, str(registry))
        time.sleep(whole * rng.uniform(0.5, 1.0))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        else:
            whole *= 0.7  # the machine has become quicker
        process.wait()
        seen = DomainRegistry(str(registry), "cars")
        visible = [version.number for version in seen.versions()]
        assert visible in ([], [1])
        if visible:
            fetched = seen.fetch(seen.version(1), tmp_path / f"seen-{attempt}")
            open_checkpoint(fetched / "checkpoint")
        assert seen.pointer().version in ([0] if not visible else [0, 1])
        if kills == 4:
            break
    assert kills == 4
    assert start(world, str(registry)).wait(60) == 0
    assert contents(registry) == contents(undisturbed), "nothing is left over either"
    after, straight = (read(world.path / out / "verdict") for out in ("out", "straight"))
    assert {**after, "registry": None} == {**straight, "registry": None}
    assert after["registry"]["is_current"]


def test_two_at_once_one_wins_and_the_other_says_so(
    world: World, another: Callable[[bytes, float], World], root: str
) -> None:
    runs = [world, another(b"rival", 0.75)]
    for process in [start(one, root) for one in runs]:
        assert process.wait(120) == 0
    verdicts = [read(one.path / "out" / "verdict") for one in runs]
    registry = DomainRegistry(root, "cars")
    assert sorted(v["registry"]["version"] for v in verdicts) == [1, 2]
    current = registry.pointer().version
    for verdict in verdicts:
        mine = verdict["registry"]
        if mine["version"] == current:
            assert mine["is_current"]
        else:
            overtaken = (
                "another promotion made version" in mine["pointer"] or "was current before" in mine["pointer"]
            )
            # Too late to run at once: then it was judged against the first, and lost or was followed.
            assert overtaken or verdict["incumbent"] or mine["is_current"]

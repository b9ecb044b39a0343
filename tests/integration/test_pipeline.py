"""The whole compiled pipeline in miniature: real stages, real training, simulated teachers."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import skimage.data
import sklearn.datasets

from components.core.data.checkpoint import open_checkpoint
from components.core.data.dataset import Dataset
from components.core.data.tables import SCHEMAS
from components.core.registry import SEEN_IMAGES, DomainRegistry
from components.core.stage.io import stage_io
from components.stages import EVALUATED, TASKS, TRAINING, section_of

pytestmark = pytest.mark.integration

METRICS = (
    "domain_accuracy",
    "general_accuracy",
    "hallucination_rate",
    "probe_f1",
    "pass_at_1",
    "pass_at_8",
    "mean_response_tokens",
)


def outcomes(output: str) -> dict[str, str]:
    """Task -> `cached` or `done`, as the command line printed them."""
    return dict(re.findall(r"^ ?\d+/\d+ (\w+): (cached|done)", output, flags=re.MULTILINE))


def killed_in(miniature: Any, task: str) -> None:
    """Start the run and kill it, with no warning, once `task` has begun to write its log."""
    log = miniature.root / "logs" / f"{task}.log"
    with open(os.devnull, "wb") as nowhere:
        process = subprocess.Popen(
            miniature.command(),
            cwd=miniature.cwd,
            env=miniature.environment,
            stdout=nowhere,
            stderr=subprocess.PIPE,
        )
        while not (log.is_file() and log.stat().st_size):
            assert process.poll() is None, process.communicate()[1].decode()
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.fixture(scope="module")
def finished(miniature) -> str:
    """The first run: killed while a data stage works, killed again while training, then run to its end."""
    killed_in(miniature, "qa_synthesis")
    killed_in(miniature, "sft_1_domain")
    done = miniature.run()
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def table(miniature: Any, task: str, output: str, name: str | None = None) -> Dataset:
    place = stage_io(section_of(task).stage).joined.get(output, output)
    return Dataset.open(miniature.root / "outputs" / task / place, name or output)


def test_killed_twice_it_continued_where_it_was(finished):
    found = outcomes(finished)
    assert set(found) == set(TASKS)
    before = TASKS[1 : TASKS.index("evaluation_base") + 1]
    assert {found[task] for task in before} == {"cached"}
    assert {found[task] for task in TASKS[len(before) + 1 :]} == {"done"}


def test_every_output_is_committed_and_verifies(finished, miniature):
    datasets = 0
    for manifest in (miniature.root / "outputs").glob("*/*/**/_MANIFEST.json"):
        recorded = json.loads(manifest.read_text())
        if recorded.get("table") in SCHEMAS:
            assert Dataset.open(manifest.parent, recorded["table"]).rows == recorded["rows"]
            datasets += 1
    assert datasets >= 15
    assert (
        len({open_checkpoint(miniature.root / "outputs" / name / "checkpoint").digest for name in TRAINING})
        == 4
    )


def test_rows_in_are_rows_kept_and_rows_rejected(finished, miniature):
    files = [path for path in (miniature.world / "images").rglob("*") if path.is_file()]
    images = table(miniature, "image_ingest", "images")
    assert images.rows + table(miniature, "image_ingest", "rejected").rows == len(files)
    scored = table(miniature, "ids_scoring", "ids")
    assert scored.rows + table(miniature, "ids_scoring", "rejected").rows == images.rows
    qa = table(miniature, "qa_synthesis", "qa")
    kept = table(miniature, "voting_filter", "qa_kept")
    refused = table(miniature, "voting_filter", "qa_rejected")
    failed = table(miniature, "voting_filter", "rejected")
    assert kept.rows + refused.rows + failed.rows == qa.rows
    assert 0 < refused.rows < kept.rows


def test_lineage_is_in_the_manifests(finished, miniature):
    inputs = table(miniature, "voting_filter", "qa_kept").manifest["provenance"]["inputs"]
    assert set(inputs) == {"images", "qa"}
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in inputs.values())


def test_summary_has_five_rows_and_seven_metrics_with_intervals(finished, miniature):
    summary = json.loads((miniature.root / "summary.json").read_text())
    assert [row["stage"] for row in summary["rows"]] == list(EVALUATED)
    assert tuple(summary["columns"]) == METRICS
    for row in summary["rows"]:
        for metric in METRICS:
            measure = row[metric]
            assert measure["n"] > 0
            assert measure["low"] <= measure["value"] <= measure["high"]


def test_kubeflow_gets_the_metrics_that_people_compare(finished, miniature):
    for task in TASKS:
        made = (miniature.root / "outputs" / task).resolve()
        shown = json.loads((made / "executor_output.json").read_text())["artifacts"]["metrics"]
        metadata = shown["artifacts"][0]["metadata"]
        every = json.loads((made / "metrics").read_text())
        assert {name: every[name] for name in metadata} == metadata
        assert 2 <= len(metadata) <= 14, (task, sorted(metadata))
        assert not [name for name in metadata if name.endswith(("_low", "_high", "_p"))]
    shown = json.loads((made / "executor_output.json").read_text())["artifacts"]["metrics"]["artifacts"][0]
    assert {"passed", "domain_gain", "general_kept"} < set(shown["metadata"])


def test_the_table_is_printed(finished):
    rows = [line for line in finished.splitlines() if line.startswith("| ")]
    assert [row.split("|")[1].strip() for row in rows[2:]] == list(EVALUATED)


def test_report_is_one_self_contained_page_with_every_task(finished, miniature):
    page = (miniature.root / "report.html").read_text()
    for task in (*TASKS, "result"):
        assert f'<div id="{task}">' in page
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert page.count("<!doctype html>") == 1


def test_second_run_is_answered_from_the_cache_quickly(finished, miniature):
    started = time.monotonic()
    done = miniature.run()
    seconds = time.monotonic() - started
    assert done.returncode == 0, done.stderr
    found = outcomes(done.stdout)
    assert {task for task, outcome in found.items() if outcome == "done"} == {"preflight"}
    assert seconds < 20


def test_a_changed_setting_reruns_its_stage_and_what_depends_on_it(finished, miniature, tmp_path):
    root = tmp_path / "run"
    # A copy, so that the finished run stays as it is; the cache names its files, which have not moved.
    shutil.copytree(miniature.root, root, symlinks=True)
    process = subprocess.Popen(
        miniature.command("--set", "voting_filter.posterior_threshold=0.999", root=root),
        cwd=miniature.cwd, env=miniature.environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    seen: list[str] = []
    for line in process.stdout:
        seen.append(line)
        if re.match(r" ?\d+/\d+ sft_1_domain \.\.\.", line):
            process.terminate()
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    found = outcomes("".join(seen))
    assert found["voting_filter"] == "done"
    assert {found[task] for task in TASKS[1 : TASKS.index("voting_filter")]} == {"cached"}
    strict = Dataset.open(root / "outputs" / "voting_filter" / "qa_kept", "qa_kept")
    assert strict.rows < table(miniature, "voting_filter", "qa_kept").rows


def test_from_runs_a_task_again_and_what_follows(finished, miniature):
    done = miniature.run("--from", "promotion")
    found = outcomes(done.stdout)
    assert {task for task, outcome in found.items() if outcome == "done"} == {"preflight", "promotion"}


def test_an_image_that_appears_is_noticed(finished, miniature, tmp_path):
    """The reference that preflight pins changes, so ingest runs again; nothing else asks for it to."""
    fresh = tmp_path / "images"
    shutil.copytree(miniature.world / "images", fresh)
    shutil.copy(Path(sklearn.datasets.__file__).parent / "images" / "flower.jpg", fresh)
    root = tmp_path / "run"
    shutil.copytree(miniature.root, root, symlinks=True)
    process = subprocess.Popen(
        miniature.command("--set", f"preflight.images={fresh}", root=root),
        cwd=miniature.cwd, env=miniature.environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if re.match(r" ?\d+/\d+ ids_scoring", line):
            process.terminate()
    process.wait(timeout=60)
    images = Dataset.open(root / "outputs" / "image_ingest" / "images", "images")
    assert images.rows == table(miniature, "image_ingest", "images").rows + 1


def test_retraining_waits_for_new_pictures_and_starts_from_the_promoted_model(finished, miniature, tmp_path):
    """Without new pictures a run ends after ingest, a success; with one, the promoted model is trained on."""
    seen = sorted(
        row["image_id"] for row in table(miniature, "image_ingest", "images").rows_iter(["image_id"])
    )
    checkpoint = miniature.root / "outputs" / "sft_1_domain" / "checkpoint"
    registry = DomainRegistry(str(tmp_path / "registry"), "instrument_cluster")
    files = {f"checkpoint/{path.name}": path for path in checkpoint.iterdir() if path.is_file()}
    listed = "".join(f"{image_id}\n" for image_id in seen).encode()
    version = registry.publish("v", {**files, SEEN_IMAGES: listed}, {"passed": True, "judged_at": 0})
    assert registry.point_to(version)[1] == ""
    fresh = tmp_path / "images"
    shutil.copytree(miniature.world / "images", fresh)
    settings = [
        "--set", f"preflight.images={fresh}", "--set", "preflight.start_from=promoted",
        "--set", "image_ingest.min_new_images=1", "--set", "image_ingest.replay_share=0.5",
        "--set", f"promotion.registry={tmp_path}/registry",
    ]  # fmt: skip
    root = tmp_path / "run"
    done = miniature.run(*settings, root=root)
    assert done.returncode == 0, done.stderr
    assert "too few new pictures" in done.stdout and not (root / "outputs" / "label_tree").exists()
    shutil.copy(Path(sklearn.datasets.__file__).parent / "images" / "flower.jpg", fresh)
    process = subprocess.Popen(
        miniature.command(*settings, root=root),
        cwd=miniature.cwd, env=miniature.environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if re.match(r" ?\d+/\d+ (label_tree|ids_scoring)", line):
            process.terminate()
    process.wait(timeout=60)
    metrics = json.loads((root / "outputs" / "image_ingest" / "metrics").read_text())
    assert metrics["new"] == 1 and 0 < metrics["replayed"] < len(seen)
    model = (root / "outputs" / "preflight" / "base_model").read_text()
    assert model.startswith(f"{version.uri}/checkpoint#sha256=")


@pytest.mark.parametrize(
    ("setting", "code", "message"),
    [
        ("voting_filter.posterior_treshold=0.5", 78, "did you mean 'posterior_threshold'"),
        ("preflight.images=%(root)s/nothing-here", 66, "nothing-here"),
        ("preflight.benchmarks=[{name: x, role: domain, uri: %(world)s/general/samples}]", 65, "table"),
        ("qa_synthesis.endpoint.model=gpt-unknown", 69, "gpt-unknown"),
        ("qa_synthesis.endpoint.base_url=http://127.0.0.1:%(free)s/v1", 69, "127.0.0.1"),
    ],
)
def test_bad_input_ends_in_seconds_with_its_own_code(
    miniature, setting, code, message, unused_port, tmp_path
):
    value = setting % {"root": tmp_path, "world": miniature.world, "free": unused_port}
    started = time.monotonic()
    done = miniature.run("--set", value, root=tmp_path / "run")
    assert done.returncode == code, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert time.monotonic() - started < 20


PHOTOGRAPHS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "hubble_deep_field.jpg",
)


@pytest.fixture
def photographs(tmp_path) -> Path:
    """Real photographs that ship with scikit-image and scikit-learn, among files that are none."""
    folder = tmp_path / "photographs"
    (folder / "holiday").mkdir(parents=True)
    shipped = Path(skimage.data.__file__).parent
    for name in PHOTOGRAPHS:
        shutil.copy(shipped / name, folder)
    for path in (Path(sklearn.datasets.__file__).parent / "images").glob("*.jpg"):
        shutil.copy(path, folder / "holiday")
    whole = (folder / "chelsea.png").read_bytes()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "notes.png").write_text("not a picture")
    (folder / "copy of chelsea.png").write_bytes(whole)
    return folder


def test_a_run_on_the_user_s_own_photographs(miniature, photographs, tmp_path):
    root = tmp_path / "run"
    small = [
        "image_ingest.heldout_fraction=0.3", "image_ingest.max_side_px=256",
        "image_ingest.max_file_bytes=2000000",
        "label_tree.rounds=1", "label_tree.max_children_l2=2", "label_tree.max_children_l3=2",
        "qa_synthesis.evolution_rounds=1",
        "sft_1_domain={max_steps: 1, batch_samples: 2}", "sft_2_restore={max_steps: 1, batch_samples: 2}",
        "sft_3_align={objective: dpo, max_steps: 1, batch_samples: 2}",
        "hybrid_rl={max_steps: 1, prompts_per_step: 1, max_completion_tokens: 8, "
        "prompts: {max_candidates: 2}}",
        "evaluation={max_new_tokens: 8, items_per_benchmark: 4, pass_at_k_items: 2, "
        "bootstrap_resamples: 100}",
        f"promotion.registry={root}/registry", f"preflight.images={photographs}",
        f"preflight.general_data={miniature.world}/general",
        f"preflight.base_model={miniature.world}/base_model",
        "preflight.min_free_disk_gib=0.5",
    ]  # fmt: skip
    arguments = [part for value in small for part in ("--set", value)]
    code, errors = miniature.run_warm(*arguments, profile=miniature.derived("photographs"), root=root)
    assert code == 0, errors[-3000:]
    rejected = (
        Dataset.open(root / "outputs" / "image_ingest" / "images" / "rejected", "rejected")
        .to_table()
        .to_pylist()
    )
    reasons = {Path(row["id"]).name: row["reason"] for row in rejected}
    assert {"truncated.png", "empty.jpg", "notes.png"} <= set(reasons)
    assert len(set(reasons.values())) > 1
    assert Dataset.open(root / "outputs" / "image_ingest" / "images", "images").rows == 12 - len(rejected)
    assert Dataset.open(root / "outputs" / "voting_filter" / "qa_kept", "qa_kept").rows > 0

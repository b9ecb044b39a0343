"""A run that goes on from object storage: a bucket of a real S3 server."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.core.stage.errors import ConfigError, StageError
from pipelines.cli import app
from pipelines.local.kfp_local import LocalRun
from pipelines.local.storage import StoredRun, work_environment
from tests.s3.fixtures import s3_bucket, s3_server  # noqa: F401


def run(root: Path, ir: Path, stored: StoredRun) -> list[str]:
    """The tasks that ran, others being cached; what each finished is saved."""
    local_run = LocalRun(
        root=root,
        order=("first", "second", "aside"),
        on_done=lambda result: stored.save(),
        console=io.BytesIO(),
    )
    return [result.task for result in local_run.execute(ir) if not result.cached]


def test_finished_tasks_are_found_on_another_machine(toy_pipeline, tmp_path: Path, s3_bucket: str) -> None:  # noqa: F811
    root, ir, said = tmp_path / "run", toy_pipeline("one"), []
    assert run(root, ir, StoredRun(root, f"{s3_bucket}/runs/a", said.append)) == ["first", "second", "aside"]
    shutil.rmtree(root)
    assert run(root, ir, StoredRun(root, f"{s3_bucket}/runs/a", said.append)) == []
    outputs = {path.name: (path / "made").read_text() for path in (root / "outputs").iterdir()}
    assert outputs == {"first": "one", "second": "two", "aside": "aside"}
    assert said == []


def test_the_run_that_began_last_goes_on(toy_pipeline, tmp_path: Path, s3_bucket: str) -> None:  # noqa: F811
    stored = StoredRun(tmp_path / "a", s3_bucket, print)
    StoredRun(tmp_path / "b", s3_bucket, print)
    (tmp_path / "a" / "made").touch()
    with pytest.raises(StageError, match="another run goes on there"):
        stored.save()


def test_files_of_another_run_are_not_deleted(tmp_path: Path, s3_bucket: str) -> None:  # noqa: F811
    StoredRun(tmp_path / "a", s3_bucket, print)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "checkpoint").write_text("precious")
    with pytest.raises(
        ConfigError, match="holds 1 files that .* lacks \\(checkpoint\\); use another directory"
    ):
        StoredRun(tmp_path / "b", s3_bucket, print)
    assert (tmp_path / "b" / "checkpoint").read_text() == "precious"


def test_stages_keep_their_work_below_the_same_prefix() -> None:
    root = Path("/runs/a")
    assert work_environment(root, "") == {"VLM_WORK_ROOT": "/runs/a/work"}
    assert work_environment(root, "s3://b/p/") == {
        "VLM_WORK_ROOT": "s3://b/p/work",
        "VLM_WORK_LOCAL": "/runs/a/work",
    }
    assert LocalRun(root, (), storage="s3://b/p")._environment({})["VLM_WORK_ROOT"] == "s3://b/p/work"


def test_only_object_storage_is_taken(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["run", "--root", str(tmp_path), "--storage", "/mnt/shared"])
    assert done.exit_code == 78
    assert "--storage /mnt/shared: must be s3://bucket/prefix" in done.stderr

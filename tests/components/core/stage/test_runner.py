from __future__ import annotations

import json

import pytest

from components.core.data.dataset import Dataset, DatasetWriter
from components.core.data.hashing import canonical_json
from components.core.stage.errors import DataError
from components.core.stage.io import StageIO
from components.core.stage.runner import WORK_ROOT_ENV, stage_main
from components.core.stage.settings import Endpoint, Settings, identity


class Config(Settings):
    factor: int = 1


IO = StageIO(
    inputs=("source",),
    optional_inputs=("extra",),
    outputs=("target",),
    params=("label",),
    output_params=("count",),
)
STAGE = "preflight"  # any stage folder: the runner hashes its code


def run(config, context):
    rows = list(context.dataset("source", table="rejected").rows_iter())
    journal = context.work.journal("seen")
    with context.writer("target", table="rejected") as writer:
        for row in context.progress(rows, desc="copying"):
            journal.put(row["id"], config.factor)
            writer.write([row])
    context.metrics["rows"] = len(rows) * config.factor
    context.report.text(f"<{context.params['label']}>")
    context.set_output("count", str(len(rows)))


@pytest.fixture
def argv(tmp_path, monkeypatch):
    monkeypatch.setenv(WORK_ROOT_ENV, str(tmp_path / "work"))
    with DatasetWriter(tmp_path / "in", "rejected") as writer:
        writer.write([{"id": "1", "reason": "r", "detail": ""}])
    artifacts = {
        name: {"artifacts": [{"name": name, "uri": str(tmp_path / "out" / name), "metadata": {}}]}
        for name in ("target", "metrics", "report")
    }
    executor_input = {
        "outputs": {"artifacts": artifacts, "outputFile": str(tmp_path / "out" / "executor_output.json")}
    }
    flags = {"--source": "in", "--target": "out/target", "--count": "out/count"}
    flags |= {"--metrics": "out/metrics", "--report": "out/report"}
    arguments = [part for name, path in flags.items() for part in (name, str(tmp_path / path))]
    return ["--config", "{}", "--label", "b", *arguments, "--executor-input", json.dumps(executor_input)]


def test_a_stage_writes_outputs_metrics_report_and_executor_output(argv, tmp_path):
    assert stage_main(STAGE, Config, IO, run, argv) == 0
    target = Dataset.open(tmp_path / "out" / "target", "rejected")
    assert target.rows == 1
    assert set(target.manifest["provenance"]["inputs"]) == {"source"}
    assert json.loads((tmp_path / "out" / "metrics").read_text())["rows"] == 1
    assert "&lt;b&gt;" in (tmp_path / "out" / "report").read_text()
    assert (tmp_path / "out" / "count").read_text() == "1"
    artifacts = json.loads((tmp_path / "out" / "executor_output.json").read_text())["artifacts"]
    assert artifacts["metrics"]["artifacts"][0]["metadata"]["rows"] == 1
    assert len(artifacts["target"]["artifacts"][0]["metadata"]["sha256"]) == 64


def test_another_setting_gets_another_work_directory(argv, tmp_path):
    stage_main(STAGE, Config, IO, run, argv)
    stage_main(STAGE, Config, IO, run, argv)
    assert len(list((tmp_path / "work" / STAGE).iterdir())) == 1
    stage_main(STAGE, Config, IO, run, ["--config", '{"factor": 2}', *argv[2:]])
    assert len(list((tmp_path / "work" / STAGE).iterdir())) == 2


@pytest.mark.parametrize(
    ("config", "code", "words"),
    [
        ('{"factr": 1}', 78, "did you mean 'factor'"),
        ("nonsense", 78, "not valid JSON"),
        ("@/nowhere", 66, "/nowhere"),
    ],
)
def test_bad_settings_end_with_their_exit_code(argv, capsys, config, code, words):
    assert stage_main(STAGE, Config, IO, run, ["--config", config, *argv[2:]]) == code
    assert words in capsys.readouterr().err


def test_missing_and_unfinished_inputs_end_with_their_exit_codes(argv, tmp_path):
    (tmp_path / "in" / "_MANIFEST.json").unlink()
    assert stage_main(STAGE, Config, IO, run, argv) == 65
    argv[argv.index("--source") + 1] = str(tmp_path / "nowhere")
    assert stage_main(STAGE, Config, IO, run, argv) == 66


def test_errors_become_exit_codes_and_nothing_is_committed(argv, tmp_path):
    def fails(config, context):
        with context.writer("target", table="rejected"):
            raise DataError("bad rows")

    def breaks(config, context):
        raise ZeroDivisionError

    assert stage_main(STAGE, Config, IO, fails, argv) == 65
    assert stage_main(STAGE, Config, IO, breaks, argv) == 1
    assert not (tmp_path / "out" / "target" / "_MANIFEST.json").exists()
    assert not (tmp_path / "out" / "metrics").exists()


def test_operational_settings_leave_the_fingerprint_as_it_is():
    """A larger budget, another address or time limit finds finished work again; another model does not."""

    class Asking(Settings):
        endpoint: Endpoint
        others: dict[str, tuple[Endpoint, ...]] = {}
        rounds: int = 3

    def fingerprint(rounds=3, **endpoint) -> str:
        one = Endpoint(**{"base_url": "http://a/v1", "model": "m", **endpoint})
        return canonical_json(identity(Asking(endpoint=one, others={"x": (one,)}, rounds=rounds)))

    base = fingerprint()
    assert base == '{"endpoint":{"model":"m"},"others":{"x":[{"model":"m"}]},"rounds":3}'
    operational = {
        "base_url": "https://b/v1",
        "api_key_env": "KEY",
        "timeout_s": 1,
        "max_concurrency": 2,
        "max_retries": 0,
        "max_tokens_total": 1_000_000,
    }
    assert {*operational, "model"} == set(Endpoint.model_fields)
    assert all(fingerprint(**{name: value}) == base for name, value in operational.items())
    assert fingerprint(model="n") != base
    assert fingerprint(rounds=4) != base

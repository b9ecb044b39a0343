from __future__ import annotations

import json
from dataclasses import replace

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
    compared=("rows",),
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
        "answer_format": "text",
        "token_limit": "max_completion_tokens",
        "omit": ("seed",),
        "embed_batch": 8,
    }
    assert {*operational, "model"} == set(Endpoint.model_fields)
    assert all(fingerprint(**{name: value}) == base for name, value in operational.items())
    assert fingerprint(model="n") != base
    assert fingerprint(rounds=4) != base


def executor_input(argv: list[str], **inputs: object) -> list[str]:
    """The command line with these inputs in its executor input."""
    given = json.loads(argv[-1])
    return [*argv[:-1], json.dumps({**given, "inputs": inputs})]


@pytest.mark.parametrize("name", ["extra", "unheard_of"])
def test_an_input_that_was_lost_on_its_way_to_the_command_line_ends_at_once(argv, tmp_path, capsys, name):
    """Kubeflow 2.17.0 drops conditional arguments of artifacts, and lists the artifact all the same."""
    listed = {"artifacts": [{"name": "7", "uri": "minio://bucket/extra"}]}
    lost = executor_input(argv, artifacts={"source": listed, name: listed})
    assert stage_main(STAGE, Config, IO, run, lost) == 78
    assert f"--{name.replace('_', '-')}, which did not reach the command line" in capsys.readouterr().err
    assert not (tmp_path / "out").exists() and not (tmp_path / "work").exists()
    nothing = executor_input(argv, artifacts={"source": listed, name: {"artifacts": []}})
    assert stage_main(STAGE, Config, IO, run, nothing) == 0


def test_a_placeholder_that_nobody_filled_in_ends_at_once(argv, capsys):
    argv[argv.index("--source") + 1] = "{{$.inputs.artifacts['source'].path}}"
    assert stage_main(STAGE, Config, IO, run, argv) == 78
    assert "did not fill in --source" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (['{"IfPresent": {"InputName": "extra"}}'], "unrecognized arguments"),
        (["--sauce", "x"], "unrecognized arguments"),
    ],
)
def test_a_wrong_command_line_is_permanent(argv, capsys, more, message):
    assert stage_main(STAGE, Config, IO, run, [*argv, *more]) == 78
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["--source", "--target", "--label", "--config"])
def test_a_missing_argument_is_named(argv, capsys, name):
    place = argv.index(name)
    assert stage_main(STAGE, Config, IO, run, [*argv[:place], *argv[place + 2 :]]) == 78
    assert f"missing {name}" in capsys.readouterr().err


def test_settings_and_strings_come_from_the_executor_input(argv, tmp_path):
    values = {"config": {"factor": 3.0}, "label": "b"}  # every number is a double there
    assert stage_main(STAGE, Config, IO, run, executor_input(argv[4:], parameterValues=values)) == 0
    assert json.loads((tmp_path / "out" / "metrics").read_text())["rows"] == 3


def test_the_command_line_wins_over_the_executor_input(argv, tmp_path):
    values = {"config": {"factor": 3.0}, "label": "c"}
    assert stage_main(STAGE, Config, IO, run, executor_input(argv, parameterValues=values)) == 0
    assert json.loads((tmp_path / "out" / "metrics").read_text())["rows"] == 1


def test_an_output_that_was_not_written_is_an_error(argv, capsys):
    def forgets(config, context):
        context.set_output("count", "0")

    assert stage_main(STAGE, Config, IO, forgets, argv) == 1
    assert "did not write target" in capsys.readouterr().err


def test_kubeflow_gets_the_metrics_that_people_compare_as_strict_json(argv, tmp_path):
    def measures(config, context):
        run(config, context)
        context.metrics |= {"loss_final": float("nan"), "loss_first": 2.0, "rows_low": 1.0}

    assert stage_main(STAGE, Config, replace(IO, compared=("rows", "loss_*")), measures, argv) == 0
    assert {"rows_low", "seconds", "loss_first"} < set(json.loads((tmp_path / "out" / "metrics").read_text()))
    text = (tmp_path / "out" / "executor_output.json").read_text()
    assert "NaN" not in text
    metadata = json.loads(text)["artifacts"]["metrics"]["artifacts"][0]["metadata"]
    assert set(metadata) == {"rows", "loss_first", "seconds"}


JOINED = replace(IO, outputs=("target", "aside"), joined={"aside": "target/aside"})


def aside(config, context):
    run(config, context)
    with context.writer("aside", table="rejected") as writer:
        writer.write([])


def test_a_part_of_a_result_lies_inside_it(argv, tmp_path):
    assert stage_main(STAGE, Config, JOINED, aside, argv) == 0
    assert Dataset.open(tmp_path / "out" / "target", "rejected").rows == 1
    assert Dataset.open(tmp_path / "out" / "target" / "aside", "rejected").rows == 0


def test_at_a_shell_a_part_may_have_a_place_of_its_own(argv, tmp_path):
    assert stage_main(STAGE, Config, JOINED, aside, ["--aside", str(tmp_path / "apart"), *argv]) == 0
    assert Dataset.open(tmp_path / "apart", "rejected").rows == 0
    assert not (tmp_path / "out" / "target" / "aside").exists()


def test_an_input_may_be_part_of_another(argv, tmp_path):
    with DatasetWriter(tmp_path / "in" / "more", "rejected") as writer:
        writer.write([{"id": "2", "reason": "r", "detail": ""}])
    seen = {}

    def reads(config, context):
        run(config, context)
        seen["rows"] = context.dataset("extra", table="rejected").rows
        seen["inputs"] = set(context.provenance["inputs"])

    assert stage_main(STAGE, Config, replace(IO, joined={"extra": "source/more"}), reads, argv) == 0
    assert seen == {"rows": 1, "inputs": {"source", "extra"}}

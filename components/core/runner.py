"""The stage runner: one argv everywhere, typed settings, exit codes, metrics, report, KFP's executor output.

The compiled pipeline, the local runner and a person at a shell use the same command:

    python -m components.<stage> --config '<json>' --<input> PATH ... --<output> PATH ... --executor-input '<json>'

kfp is not imported: stage images do not carry it. The runner writes `executor_output.json` itself.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from components.core import log as logs
from components.core.config import Settings, canonical_json, identity, parse_settings, sha256_hex
from components.core.durable import WORK_ROOT_ENV as WORK_ROOT_ENV
from components.core.durable import work_directory
from components.core.errors import DataError, NoInputError, StageError
from components.core.images import code_version
from components.core.launch import launch, processes_wanted, rank
from components.core.manifest import (
    MANIFEST_NAME,
    Checkpoint,
    Dataset,
    DatasetWriter,
    file_sha256,
    open_checkpoint,
    write_json_atomic,
)
from components.core.pins import fingerprint
from components.core.report import Report
from components.core.work import WorkDir

T = TypeVar("T")
C = TypeVar("C", bound=Settings)


@dataclass(frozen=True)
class StageIO:
    """Names of what a stage reads and writes, beside its config, metrics and report."""

    inputs: tuple[str, ...] = ()
    optional_inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    optional_params: tuple[str, ...] = ()
    output_params: tuple[str, ...] = ()


@dataclass
class StageContext:
    """What a running stage has at hand. `inputs` and `outputs` map names to local paths."""

    stage: str
    io: StageIO
    inputs: dict[str, Path]
    outputs: dict[str, Path]
    params: dict[str, str]
    provenance: dict[str, Any]
    work: WorkDir
    log: logging.Logger
    report: Report
    metrics: dict[str, float] = field(default_factory=dict)
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What Kubeflow shows beside an output artifact, by the output's name: a confusion matrix, for instance."""
    _output_params: dict[str, str] = field(default_factory=dict)

    def dataset(self, name: str, *, table: str) -> Dataset:
        """Open and verify an input dataset."""
        return Dataset.open(self.inputs[name], table)

    def writer(self, name: str, *, table: str) -> DatasetWriter:
        """Writer of an output dataset, stamped with this run's provenance."""
        return DatasetWriter(self.outputs[name], table, provenance=self.provenance)

    def checkpoint(self, name: str = "checkpoint") -> Checkpoint:
        """Open and verify an input checkpoint."""
        return open_checkpoint(self.inputs[name])

    def progress(self, items: Iterable[T], *, total: int | None = None, desc: str = "") -> Iterator[T]:
        """Iterate under a progress bar (or, in a container, with a log line now and then)."""
        return logs.progress(items, total=total, desc=desc, logger=self.log)

    def set_output(self, name: str, value: str) -> None:
        """Set an output parameter."""
        if name not in self.io.output_params:
            raise KeyError(f"'{name}' is not an output parameter of {self.stage}")
        self._output_params[name] = value


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def build_parser(stage: str, io: StageIO) -> argparse.ArgumentParser:
    """The stage's command line."""
    parser = argparse.ArgumentParser(prog=f"python -m components.{stage}", allow_abbrev=False)
    parser.add_argument(
        "--config",
        required=True,
        help="the stage's settings, as JSON or as @FILE with JSON",
    )
    for name in io.inputs:
        parser.add_argument(_flag(name), type=Path, required=True, help="input directory or file")
    for name in io.optional_inputs:
        parser.add_argument(_flag(name), type=Path, help="optional input directory or file")
    for name in io.params:
        parser.add_argument(_flag(name), required=True, help="string parameter")
    for name in io.optional_params:
        parser.add_argument(_flag(name), default="", help="optional string parameter")
    for name in (*io.outputs, *io.output_params):
        parser.add_argument(_flag(name), type=Path, required=True, help="where to write this output")
    parser.add_argument("--metrics", type=Path, required=True, help="where to write metrics (JSON)")
    parser.add_argument("--report", type=Path, required=True, help="where to write the report (HTML)")
    parser.add_argument(
        "--executor-input",
        default="",
        help="KFP executor input (JSON); empty outside KFP",
    )
    return parser


def stage_main(
    stage: str,
    config_class: type[C],
    io: StageIO,
    run: Callable[[C, StageContext], None],
    argv: list[str] | None = None,
) -> int:
    """Run a stage from its command line; returns the process exit code (see `components.core.errors`)."""
    # Weights come from the user's storage. Without this, libraries that a stage loads ask the hub for news and report use.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    log = logs.get_logger(stage)
    args = vars(build_parser(stage, io).parse_args(argv))
    started = time.monotonic()
    try:
        config = parse_settings(config_class, _read_config(args["config"]), stage)
        if (processes := processes_wanted(config)) > 1:
            return launch(stage, sys.argv[1:] if argv is None else argv, processes, log)
        inputs, params, provenance = _described(stage, config, io, args)
        with work_directory(stage, sha256_hex(canonical_json(provenance))[:24], log) as work:
            outputs = _outputs(io, args, work)
            report = Report(stage)
            context = StageContext(stage, io, inputs, outputs, params, provenance, work, log, report)
            run(config, context)
            context.metrics["seconds"] = round(time.monotonic() - started, 3)
            _finish(context, args)
    except StageError as error:
        log.error("%s", error, extra={"exit_code": error.exit_code})
        return error.exit_code
    except KeyboardInterrupt:
        log.error("interrupted; the same command continues where this one stopped")
        return 130
    except Exception:  # noqa: BLE001 - the process boundary: logged whole, exit code 1
        log.error("failed unexpectedly\n%s", traceback.format_exc())
        return 1
    log.info("done in %.1f s", time.monotonic() - started)
    return 0


def _read_config(text: str) -> str:
    if not text.startswith("@"):
        return text
    path = Path(text[1:])
    if not path.is_file():
        raise NoInputError(f"--config: {path} does not exist")
    return path.read_text(encoding="utf-8")


def _described(
    stage: str, config: Settings, io: StageIO, args: dict[str, Any]
) -> tuple[dict[str, Path], dict[str, str], dict[str, Any]]:
    """Inputs, parameters, and what the outputs come from: all that decides them."""
    inputs = {name: args[name] for name in (*io.inputs, *io.optional_inputs) if args[name] is not None}
    for name, path in inputs.items():
        if not path.exists():
            raise NoInputError(f"{_flag(name)}: {path} does not exist")
    params = {name: args[name] for name in (*io.params, *io.optional_params)}
    provenance = {
        "stage": stage,
        "code_version": code_version(stage),
        "config_hash": sha256_hex(canonical_json(identity(config))),
        "inputs": {name: _input_digest(path) for name, path in sorted(inputs.items())},
        "params": params,
    }
    return inputs, params, provenance


def _outputs(io: StageIO, args: dict[str, Any], work: WorkDir) -> dict[str, Path]:
    """Where this process writes, with nothing there yet."""
    outputs = {name: args[name] for name in (*io.outputs, *io.output_params)}
    if rank():  # what other ranks write is thrown away
        outputs = {name: work.own / "outputs" / name for name in outputs}
    for name in io.outputs:
        outputs[name].parent.mkdir(parents=True, exist_ok=True)
        if outputs[name].is_dir():  # leftovers of a killed attempt
            shutil.rmtree(outputs[name])
    return outputs


def _input_digest(path: Path) -> str:
    """What the input holds, whoever wrote it and wherever it lies."""
    if path.is_dir() and not (path / MANIFEST_NAME).is_file():
        raise DataError(f"{path}: no {MANIFEST_NAME}; the stage that writes this input has not finished")
    return fingerprint(path)


def _finish(context: StageContext, args: dict[str, Any]) -> None:
    if rank():
        context.work.close()
        shutil.rmtree(context.work.own, ignore_errors=True)
        return
    for name in context.io.output_params:
        if name not in context._output_params:
            raise RuntimeError(f"stage {context.stage} did not set its output parameter '{name}'")
        path = context.outputs[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(context._output_params[name], encoding="utf-8")
    # kfp.local never caches a task whose Metrics artifact has no file, so the file is always written.
    for path in (args["metrics"], args["report"]):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_json_atomic(args["metrics"], context.metrics)
    context.report.write(args["report"])
    context.work.close()
    if args["executor_input"]:
        _write_executor_output(json.loads(args["executor_input"]), context)


def _write_executor_output(executor_input: dict[str, Any], context: StageContext) -> None:
    """Tell KFP what was written: every output artifact with its URI, metrics and digests as metadata."""
    outputs = executor_input["outputs"]
    artifacts = {}
    for name, listed in outputs.get("artifacts", {}).items():
        artifact = dict(listed["artifacts"][0])
        metadata: dict[str, Any] = dict(artifact.get("metadata", {}))
        if name == "metrics":
            metadata.update(context.metrics)
        elif name in context.outputs and (context.outputs[name] / MANIFEST_NAME).is_file():
            metadata["sha256"] = fingerprint(context.outputs[name])
        elif name in context.outputs and context.outputs[name].is_file():
            metadata["sha256"] = file_sha256(context.outputs[name])
        metadata.update(context.metadata.get(name, {}))
        artifacts[name] = {"artifacts": [{**artifact, "metadata": metadata}]}
    path = Path(outputs["outputFile"])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json_atomic(path, {"artifacts": artifacts})

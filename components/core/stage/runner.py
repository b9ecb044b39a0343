"""The stage runner: one command line in; outputs, metrics, report and an exit code out.

The compiled pipeline, the local runner and a person at a shell use the same command:

    python -m components.<stage> --config JSON --<input> PATH ... --<output> PATH ... --executor-input JSON

`stage_main` is the contract: parse the settings, look at the inputs, open the work directory, run, write.
Inputs and outputs are declared (`components.core.stage.io`). kfp is not imported, because stage images do not
carry it; the runner writes KFP's `executor_output.json` itself.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from components.core.data.files import file_sha256, write_json_atomic
from components.core.data.hashing import canonical_json, sha256_hex
from components.core.data.manifest import MANIFEST_NAME
from components.core.data.pins import fingerprint
from components.core.resume.work_dir import WorkDir
from components.core.resume.work_root import WORK_ROOT_ENV as WORK_ROOT_ENV
from components.core.resume.work_root import work_directory
from components.core.stage import log as logs
from components.core.stage.container_image import code_version
from components.core.stage.context import StageContext
from components.core.stage.errors import DataError, NoInputError, StageError
from components.core.stage.io import StageIO, flag, stage_io
from components.core.stage.report import Report
from components.core.stage.settings import Settings, identity, parse_settings, stage_config
from components.core.training.launch import launch, processes_wanted, rank

C = TypeVar("C", bound=Settings)


def main(stage: str) -> NoReturn:
    """`python -m components.<stage>`: run what the stage's folder holds, and end the process."""
    run = importlib.import_module(f"components.{stage}.stage").run
    raise SystemExit(stage_main(stage, stage_config(stage), stage_io(stage), run))


def stage_main(
    stage: str,
    config_class: type[C],
    io: StageIO,
    run: Callable[[C, StageContext], None],
    argv: list[str] | None = None,
) -> int:
    """Run a stage from its command line; returns the exit code (see `components.core.stage.errors`)."""
    # Weights come from the user's storage. Unset, libraries ask the hub for news and report use.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    log = logs.get_logger(stage)
    args = vars(_parser(stage, io).parse_args(argv))
    started = time.monotonic()
    try:
        config = parse_settings(config_class, _config_text(args["config"]), stage)
        if (processes := processes_wanted(config)) > 1:
            return launch(stage, sys.argv[1:] if argv is None else argv, processes, log)
        inputs = _inputs(io, args)
        params = {name: args[name] for name in io.strings}
        provenance = {
            "stage": stage,
            "code_version": code_version(stage),
            "config_hash": sha256_hex(canonical_json(identity(config))),
            "inputs": {name: _digest(path) for name, path in sorted(inputs.items())},
            "params": params,
        }
        with work_directory(stage, sha256_hex(canonical_json(provenance))[:24], log) as work:
            outputs, report = _outputs(io, args, work), Report(stage)
            context = StageContext(stage, io, inputs, outputs, params, provenance, work, log, report)
            try:
                run(config, context)
            except StageError:
                work.settle()
                raise
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


def _parser(stage: str, io: StageIO) -> argparse.ArgumentParser:
    """The command line that a declaration stands for."""
    parser = argparse.ArgumentParser(prog=f"python -m components.{stage}", allow_abbrev=False)
    add = parser.add_argument
    add("--config", required=True, help="the stage's settings, as JSON or as @FILE with JSON")
    for name in io.inputs:
        add(flag(name), type=Path, required=True, help="input directory or file")
    for name in io.optional_inputs:
        add(flag(name), type=Path, help="optional input directory or file")
    for name in io.params:
        add(flag(name), required=True, help="string parameter")
    for name in (*io.optional_params, *io.section_params):
        add(flag(name), default="", help="optional string parameter")
    for name in io.written:
        add(flag(name), type=Path, required=True, help="where to write this output")
    add("--metrics", type=Path, required=True, help="where to write metrics (JSON)")
    add("--report", type=Path, required=True, help="where to write the report (HTML)")
    add("--executor-input", default="", help="KFP executor input (JSON); empty outside KFP")
    return parser


def _config_text(text: str) -> str:
    if not text.startswith("@"):
        return text
    path = Path(text[1:])
    if not path.is_file():
        raise NoInputError(f"--config: {path} does not exist")
    return path.read_text(encoding="utf-8")


def _inputs(io: StageIO, args: dict[str, Any]) -> dict[str, Path]:
    inputs = {name: args[name] for name in io.artifacts if args[name] is not None}
    for name, path in inputs.items():
        if not path.exists():
            raise NoInputError(f"{flag(name)}: {path} does not exist")
    return inputs


def _digest(path: Path) -> str:
    """A digest of the content, whoever wrote it and wherever it lies."""
    if path.is_dir() and not (path / MANIFEST_NAME).is_file():
        raise DataError(f"{path}: no {MANIFEST_NAME}; the stage that writes this input has not finished")
    return fingerprint(path)


def _outputs(io: StageIO, args: dict[str, Any], work: WorkDir) -> dict[str, Path]:
    """Where this process writes, with nothing there yet."""
    outputs = {name: args[name] for name in io.written}
    if rank():  # outputs of other ranks are thrown away
        outputs = {name: work.own / "outputs" / name for name in outputs}
    for name in io.outputs:
        outputs[name].parent.mkdir(parents=True, exist_ok=True)
        if outputs[name].is_dir():  # leftovers of a killed attempt
            shutil.rmtree(outputs[name])
    return outputs


def _finish(context: StageContext, args: dict[str, Any]) -> None:
    """Write output parameters, metrics, report and KFP's executor output; close the work directory."""
    if rank():
        context.work.close()
        shutil.rmtree(context.work.own, ignore_errors=True)
        return
    for name in context.io.output_params:
        if name not in context.output_params:
            raise RuntimeError(f"stage {context.stage} did not set its output parameter '{name}'")
        path = context.outputs[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(context.output_params[name], encoding="utf-8")
    # kfp.local never caches a task whose Metrics artifact has no file, so the file is always written.
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
        written = context.outputs.get(name)
        if name == "metrics":
            metadata.update(context.metrics)
        elif written and (written / MANIFEST_NAME).is_file():
            metadata["sha256"] = fingerprint(written)
        elif written and written.is_file():
            metadata["sha256"] = file_sha256(written)
        metadata.update(context.metadata.get(name, {}))
        artifacts[name] = {"artifacts": [{**artifact, "metadata": metadata}]}
    write_json_atomic(Path(outputs["outputFile"]), {"artifacts": artifacts})

"""The stage runner: one command line in; outputs, metrics, report and an exit code out.

The compiled pipeline, the local runner and a person at a shell use the same command:

    python -m components.<stage> --config JSON --<input> PATH ... --<output> PATH ... --executor-input JSON

In the compiled pipeline settings stand in the executor input alone (`components.core.stage.arguments`).

`stage_main` is the contract: parse the settings, look at the inputs, open the work directory, run, write.
Inputs and outputs are declared (`components.core.stage.io`). kfp is not imported, because stage images do not
carry it; the runner writes KFP's `executor_output.json` itself.
"""

from __future__ import annotations

import importlib
import math
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

from components.core.data.files import file_sha256, write_json_atomic
from components.core.data.hashing import canonical_json, sha256_hex
from components.core.data.manifest import MANIFEST_NAME
from components.core.data.pins import fingerprint
from components.core.resume.work_dir import WorkDir
from components.core.resume.work_root import WORK_ROOT_ENV as WORK_ROOT_ENV
from components.core.resume.work_root import work_directory
from components.core.sources.hub import keep_libraries_offline
from components.core.stage import log as logs
from components.core.stage.arguments import Arguments, read_arguments
from components.core.stage.container_image import code_version
from components.core.stage.context import StageContext
from components.core.stage.errors import DataError, StageError, file_error
from components.core.stage.io import StageIO, stage_io
from components.core.stage.report import Report
from components.core.stage.settings import Settings, identity, parse_settings, stage_config
from components.core.training.launch import launch, processes_wanted, rank

C = TypeVar("C", bound=Settings)


def run_stage(stage: str) -> int:
    """Run what the stage's folder holds, from the command line; returns the exit code."""
    run = importlib.import_module(f"components.{stage}.stage").run
    return stage_main(stage, stage_config(stage), stage_io(stage), run)


def stage_main(
    stage: str,
    config_class: type[C],
    io: StageIO,
    run: Callable[[C, StageContext], None],
    argv: list[str] | None = None,
) -> int:
    """Run a stage from its command line; returns the exit code (see `components.core.stage.errors`)."""
    keep_libraries_offline()
    log = logs.get_logger(stage)
    started = time.monotonic()
    try:
        given = read_arguments(stage, io, argv)
        config = parse_settings(config_class, given.config, stage)
        if (processes := processes_wanted(config)) > 1:
            return launch(stage, sys.argv[1:] if argv is None else argv, processes, log)
        provenance = {
            "stage": stage,
            "code_version": code_version(stage),
            "config_hash": sha256_hex(canonical_json(identity(config))),
            "inputs": {name: _digest(path) for name, path in sorted(given.inputs.items())},
            "params": given.params,
        }
        with work_directory(stage, sha256_hex(canonical_json(provenance))[:24], log) as work:
            outputs = _outputs(io, given.outputs, work)
            read = (given.inputs, outputs, given.params)
            context = StageContext(stage, io, *read, provenance, work, log, Report(stage))
            try:
                run(config, context)
            except StageError:
                work.settle()
                raise
            context.metrics["seconds"] = round(time.monotonic() - started, 3)
            _finish(context, given)
    except StageError as error:
        log.error("%s", error, extra={"exit_code": error.exit_code})
        return error.exit_code
    except OSError as error:
        ended = file_error(error)
        log.error("%s", ended, extra={"exit_code": ended.exit_code})
        log.debug("%s", traceback.format_exc())
        return ended.exit_code
    except KeyboardInterrupt:
        log.error("interrupted; the same command continues where this one stopped")
        return 130
    except Exception:  # noqa: BLE001 - the process boundary: logged whole, exit code 1
        log.error("failed unexpectedly\n%s", traceback.format_exc())
        return 1
    log.info("done in %.1f s", time.monotonic() - started)
    return 0


def _digest(path: Path) -> str:
    """A digest of the content, whoever wrote it and wherever it lies."""
    if path.is_dir() and not (path / MANIFEST_NAME).is_file():
        raise DataError(f"{path}: no {MANIFEST_NAME}; the stage that writes this input has not finished")
    return fingerprint(path)


def _outputs(io: StageIO, places: dict[str, Path], work: WorkDir) -> dict[str, Path]:
    """Where this process writes, with nothing there yet."""
    outputs = dict(places)
    if rank():  # outputs of other ranks are thrown away
        outputs = {name: work.own / "outputs" / name for name in outputs}
    for name in io.outputs:
        outputs[name].parent.mkdir(parents=True, exist_ok=True)
        if outputs[name].is_dir():  # leftovers of a killed attempt
            shutil.rmtree(outputs[name])
    return outputs


def _finish(context: StageContext, given: Arguments) -> None:
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
    unwritten = [name for name in context.io.outputs if not context.outputs[name].exists()]
    if unwritten:  # Kubeflow would hand on an artifact without content, and only the next task would notice
        raise RuntimeError(f"stage {context.stage} did not write {', '.join(unwritten)}")
    # kfp.local never caches a task whose Metrics artifact has no file, so the file is always written.
    write_json_atomic(given.metrics, context.metrics)
    context.report.write(given.report)
    context.work.close()
    if given.executor_input:
        _write_executor_output(given.executor_input, context)


def _write_executor_output(executor_input: dict[str, Any], context: StageContext) -> None:
    """Tell KFP what was written: every output artifact with its URI, metrics and digests as metadata.

    Only metrics that people compare are among them. Kubeflow's launcher reads strict JSON, without NaN.
    """
    outputs = executor_input["outputs"]
    artifacts = {}
    for name, listed in outputs.get("artifacts", {}).items():
        artifact = dict(listed["artifacts"][0])
        metadata: dict[str, Any] = dict(artifact.get("metadata", {}))
        written = context.outputs.get(name)
        if name == "metrics":
            metadata.update(_compared(context))
        elif written and (written / MANIFEST_NAME).is_file():
            metadata["sha256"] = fingerprint(written)
        elif written and written.is_file():
            metadata["sha256"] = file_sha256(written)
        artifacts[name] = {"artifacts": [{**artifact, "metadata": metadata}]}
    write_json_atomic(Path(outputs["outputFile"]), {"artifacts": artifacts})


def _compared(context: StageContext) -> dict[str, float]:
    """The metrics that the stage declares for comparison, and its time; finite ones."""
    patterns = (*context.io.compared, "seconds")
    return {
        name: value
        for name, value in context.metrics.items()
        if math.isfinite(value) and any(fnmatchcase(name, pattern) for pattern in patterns)
    }

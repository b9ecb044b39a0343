"""Quantised export of a finished checkpoint: measure what quantisation costs, and write a recipe to serve it.

    python -m components.export --checkpoint DIR --scheme int8 --output DIR [--benchmark NAME=DIR]...

The checkpoint is a directory that training, or `vlm-posttrain registry fetch`, wrote. Beside the weights the
output holds `export.json`, `report.html`, `README.md`, `serve.sh`, and a manifest that names the checkpoint.
The same command again finds the finished output and changes nothing; an interrupted one starts anew.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
from pathlib import Path
from typing import Any, get_args

from components.core.cores import limit_threads
from components.core.data.checkpoint import commit_checkpoint, open_checkpoint
from components.core.data.files import write_json_atomic
from components.core.data.manifest import MANIFEST_NAME
from components.core.stage import log as logs
from components.core.stage.errors import ConfigError, DataError, StageError
from components.core.stage.report import Report
from components.core.vllm.arguments import check_context
from components.export.measure import measure
from components.export.quantise import Scheme, quantise, size_bytes
from components.export.recipe import NAME, readme, serve_script


def export(
    checkpoint: Path,
    output: Path,
    scheme: Scheme,
    *,
    benchmarks: dict[str, Path],
    group_size: int,
    limit: int,
    max_new_tokens: int,
    max_model_tokens: int,
    name: str,
    log: logging.Logger,
) -> dict[str, Any]:
    """Quantise, measure and write; returns the content of `export.json`.

    Raises:
        ConfigError: the library is missing, or the group size or the context length does not fit.
        DataError: the checkpoint or a benchmark is unusable, or `output` holds something else.
    """
    source = open_checkpoint(checkpoint)
    check_context(checkpoint, max_model_tokens or None, "--max-model-tokens")
    made_of = {"checkpoint": source.digest, "scheme": scheme, "group_size": group_size}
    provenance = {"made_by": "components.export", **made_of}
    if (output / MANIFEST_NAME).is_file():
        return _finished(output, provenance)
    if output.exists() and any(output.iterdir()):
        raise DataError(f"{output}: holds files that are no export; choose another directory")
    # Made beside its place and put there by one rename: whoever serves the directory never sees half of it.
    staging = output.with_name(f".{output.name}.unfinished")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)

    log.info("quantising", extra={"scheme": scheme, "of": str(checkpoint)})
    layers = quantise(checkpoint, staging, scheme, group_size)
    weights = {"before_mb": checkpoint, "after_mb": staging}
    sizes = {name: round(size_bytes(folder) / 1e6, 3) for name, folder in weights.items()}
    found = {
        label: measure(label, path, (checkpoint, staging), limit, max_new_tokens, log)
        for label, path in benchmarks.items()
    }
    figures = provenance | {"layers": layers, **sizes, "benchmarks": found}
    _write(staging, name, scheme, figures, max_model_tokens)
    commit_checkpoint(staging, provenance=provenance, extra={"layers": layers})
    if output.exists():
        output.rmdir()
    os.rename(staging, output)
    return figures


def _finished(output: Path, provenance: dict[str, Any]) -> dict[str, Any]:
    if json.loads((output / MANIFEST_NAME).read_text(encoding="utf-8"))["provenance"] != provenance:
        raise DataError(f"{output}: holds another export; choose another directory or delete it")
    open_checkpoint(output)
    figures: dict[str, Any] = json.loads((output / "export.json").read_text(encoding="utf-8"))
    return figures


def _write(output: Path, name: str, scheme: Scheme, figures: dict[str, Any], max_model_tokens: int) -> None:
    rows, lines = [], []
    for label, row in figures["benchmarks"].items():
        value, low, high = (100 * row["change"]["difference"][key] for key in ("value", "low", "high"))
        before, after = (round(100 * row[f"accuracy_{when}"], 2) for when in ("before", "after"))
        change, interval = round(value, 2), f"{low:.2f} to {high:.2f}"
        counted = {"benchmark": label, "items": row["items"], "before %": before, "after %": after}
        rows.append(counted | {"change, points": change, "95 % interval": interval})
        lines.append(
            f"- {label} ({row['items']} items): {before} % before, {after} % after "
            f"(change {change} points, {interval})"
        )
    write_json_atomic(output / "export.json", figures)
    report = Report(f"{name}, {scheme}")
    sizes = f"{figures['before_mb']:.1f} MB before, {figures['after_mb']:.1f} MB after"
    report.text(f"{sizes}; {figures['layers']} layers quantised.")
    report.heading("Accuracy on the same items")
    report.table(rows) if rows else report.text("No benchmark was given.")
    report.write(output / "report.html")
    (output / "README.md").write_text(readme(name, scheme, figures, lines), encoding="utf-8")
    script = output / NAME
    script.write_text(serve_script(name, max_model_tokens), encoding="utf-8")
    script.chmod(0o755)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and run; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m components.export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--checkpoint", type=Path, required=True, help="directory of a finished checkpoint")
    add("--output", type=Path, required=True, help="directory to write")
    add("--scheme", choices=get_args(Scheme), default="int8")
    add("--benchmark", action="append", default=[], metavar="NAME=DIR", help="measure on it; repeatable")
    add("--group-size", type=int, default=128, help="columns that share a scale (int4)")
    add("--limit", type=int, default=0, help="most items of each benchmark; 0 for all")
    add("--max-new-tokens", type=int, default=64)
    add("--max-model-tokens", type=int, default=0, help="context length in the recipe; 0: the model's")
    add("--name", default="domain-expert", help="model name that the server announces")
    options = vars(parser.parse_args(arguments))
    log = logs.get_logger("export")
    benchmarks = options.pop("benchmark")
    try:
        limit_threads()
        if wrong := [text for text in benchmarks if "=" not in text]:
            raise ConfigError(f"--benchmark {wrong[0]}: expected NAME=DIR")
        given = {name: Path(path) for name, _, path in (text.partition("=") for text in benchmarks)}
        figures = export(**options, benchmarks=given, log=log)
    except StageError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    log.info("exported", extra={"before_mb": figures["before_mb"], "after_mb": figures["after_mb"]})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""The context of a running stage: its inputs, outputs, work directory, log, report and metrics."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from components.core.data.checkpoint import Checkpoint, open_checkpoint
from components.core.data.dataset import Dataset, DatasetWriter
from components.core.resume.work_dir import WorkDir
from components.core.stage.io import StageIO
from components.core.stage.log import ProgressBar
from components.core.stage.report import Report

T = TypeVar("T")


@dataclass
class StageContext:
    """What a stage's `run` is given beside its settings. `inputs` and `outputs` map names to local paths."""

    stage: str
    io: StageIO
    inputs: dict[str, Path]
    outputs: dict[str, Path]
    params: dict[str, str]
    provenance: dict[str, Any]
    """Stage, code version, settings' hash, inputs' digests and parameters: all that decides the outputs."""
    work: WorkDir
    log: logging.Logger
    report: Report
    metrics: dict[str, float] = field(default_factory=dict)
    output_params: dict[str, str] = field(default_factory=dict)
    """Output parameters that are set so far."""

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
        if total is None and isinstance(items, Sized):
            total = len(items)
        with ProgressBar(total, desc, self.log) as bar:
            for item in items:
                yield item
                bar.update()

    def set_output(self, name: str, value: str) -> None:
        """Set an output parameter."""
        if name not in self.io.output_params:
            raise KeyError(f"'{name}' is not an output parameter of {self.stage}")
        self.output_params[name] = value

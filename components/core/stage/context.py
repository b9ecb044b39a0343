"""What a running stage has at hand: its inputs, outputs, work directory, log, report and metrics."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from components.core.data.manifest import Checkpoint, Dataset, DatasetWriter, open_checkpoint
from components.core.resume.work_dir import WorkDir
from components.core.stage import log as logs
from components.core.stage.io import StageIO
from components.core.stage.report import Report

T = TypeVar("T")


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

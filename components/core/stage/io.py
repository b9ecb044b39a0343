"""The declaration of a stage: what it reads and writes, said once.

Command line (`runner`), Kubeflow component (`pipelines.graph.components`) and context derive from it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class StageIO:
    """Names of what a stage reads and writes, beside its settings, metrics and report."""

    does: str = ""
    """What the stage does, in a sentence; Kubeflow's description of the component."""
    params: tuple[str, ...] = ()
    """Strings from other tasks."""
    optional_params: tuple[str, ...] = ()
    """Strings that may be missing; then they are empty."""
    sections: tuple[str, ...] = ()
    """Sections of the profile read beside its own, as JSON, in the parameter `section_<name>`."""
    inputs: tuple[str, ...] = ()
    """Artifacts."""
    optional_inputs: tuple[str, ...] = ()
    """Artifacts that may be missing."""
    output_params: tuple[str, ...] = ()
    """Strings for other tasks."""
    outputs: tuple[str, ...] = ()
    """Artifacts that the stage writes."""
    joined: Mapping[str, str] = field(default_factory=dict)
    """Input or output -> `artifact/path` in which it lies, e.g. `ids/rejected`; it is no artifact of its own.
    The artifact is a directory. At a shell the input or output may be given a place of its own."""
    compared: tuple[str, ...] = ()
    """Metrics that Kubeflow shows and compares, as patterns; the metrics file and the report have all."""
    kinds: Mapping[str, str] = field(default_factory=dict)
    """KFP's type of an artifact that is not a `Dataset`."""
    condition: str = ""
    """A parameter that decides whether the task runs; the stage does not see it."""
    help: Mapping[str, str] = field(default_factory=dict)
    """Parameter or artifact -> its meaning, where the name does not say it."""

    @property
    def section_params(self) -> tuple[str, ...]:
        """The parameters that hold other stages' settings."""
        return tuple(f"section_{name}" for name in self.sections)

    @property
    def strings(self) -> tuple[str, ...]:
        """Every parameter, in the order of the command line."""
        return (*self.params, *self.optional_params, *self.section_params)

    @property
    def artifacts(self) -> tuple[str, ...]:
        """Every input artifact, in the order of the command line."""
        return tuple(name for name in (*self.inputs, *self.optional_inputs) if name not in self.joined)

    @property
    def made(self) -> tuple[str, ...]:
        """Every output artifact, in the order of the command line."""
        return tuple(name for name in self.outputs if name not in self.joined)

    @property
    def written(self) -> tuple[str, ...]:
        """Every output, in the order of the command line."""
        return (*self.output_params, *self.outputs)

    def place(self, name: str, given: Mapping[str, Path | None]) -> Path | None:
        """Where an input or output lies: its own place if it was given one, else in its artifact."""
        if (own := given.get(name)) is not None or name not in self.joined:
            return own
        artifact, _, path = self.joined[name].partition("/")
        directory = given.get(artifact)
        return None if directory is None else directory / path


def flag(name: str) -> str:
    """The command line's option for a parameter or artifact."""
    return "--" + name.replace("_", "-")


def stage_io(stage: str) -> StageIO:
    """The declaration of a stage, found by the folder convention."""
    io: StageIO = importlib.import_module(f"components.{stage}.component").IO
    return io

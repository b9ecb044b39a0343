"""The preflight stage: all checks at once, all problems in one message, then pinned references."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from components.core.data.pins import local_path, pin
from components.core.sources.address import is_hub_uri
from components.core.sources.copies import Held, hold, is_far
from components.core.stage.context import StageContext
from components.core.stage.errors import ConfigError, DataError, EndpointError, NoInputError, StageError
from components.core.stage.settings import Settings, parse_settings, stage_config
from components.preflight.base_model import (
    asked_of_family,
    check_base_model,
    check_teacher,
    family_tokens,
    starting_model,
    teacher_of,
)
from components.preflight.capacity import check_capacity
from components.preflight.component import IO
from components.preflight.config import BenchmarkSource, Config
from components.preflight.endpoints import examine, find_probes
from components.preflight.general_data import check_general_data
from components.preflight.sources import check_benchmark, check_disk, check_images
from components.stages import SECTIONS

# The first of these that occurred decides the exit code; the message names every problem.
_BY_WEIGHT: tuple[type[StageError], ...] = (ConfigError, NoInputError, DataError, EndpointError, StageError)


def run(config: Config, ctx: StageContext) -> None:
    """Check settings, sources and endpoints; on success, set the pinned references.

    Raises:
        ConfigError, NoInputError, DataError, EndpointError: with every problem found, not only the first.
    """
    checks = _Checks()
    valid: dict[str, Settings] = {"preflight": config}
    for name in IO.sections:
        if section := ctx.params[f"section_{name}"]:
            checks.add("settings", name, partial(_check_section, name, section, valid))
    sources = _Sources()
    checks.add(
        "images",
        config.images,
        lambda: check_images(sources.pictures(config.images), config.image_extensions),
    )
    model = ""
    try:
        model, seen = starting_model(config, ctx.params["section_promotion"])
    except StageError as error:
        checks.problems.append(error)
    else:
        wanted = asked_of_family(valid)
        checks.add("base model", model, lambda: check_base_model(sources.at_hand(model), wanted))
        checks.add("GPU memory", config.gpu, lambda: _check_memory(config.gpu, model, valid, sources))
    if teacher := teacher_of(valid):
        checks.add(
            "teacher", teacher, lambda: check_teacher(sources.at_hand(teacher), sources.at_hand(model))
        )
    data, limits = (
        config.general_data,
        (config.checked_samples, config.max_unusable_share, config.checked_pictures),
    )
    checks.add(
        "general data",
        data,
        lambda: check_general_data(sources.at_hand(data), *limits, sources.tokens(model)),
    )
    for item in config.benchmarks:
        checks.add(
            f"benchmark {item.name} ({item.role})",
            item.uri,
            partial(_check_benchmark, item, sources, config.checked_pictures),
        )
    places = [ctx.work.path, *ctx.outputs.values()]
    checks.add("disk", "work and outputs", partial(check_disk, places, config.min_free_disk_gib))
    if config.probe_endpoints:
        _probe(checks, valid, config, ctx.log)
    checks.raise_problems()

    benchmarks = [
        {**item.model_dump(mode="json", exclude={"uri"}), "ref": sources.pinned(item.uri)}
        for item in config.benchmarks
    ]
    pinned = {name: sources.pinned(getattr(config, name)) for name in ("images", "general_data")}
    pinned |= {"base_model": sources.pinned(model), "seen": sources.pinned(seen) if seen else ""}
    pinned["teacher"] = sources.pinned(teacher) if teacher else ""
    pinned["benchmarks"] = json.dumps(benchmarks)
    for name, reference in pinned.items():
        ctx.set_output(name, reference)
    ctx.metrics["checks_passed"] = len(checks.passed)
    ctx.log.info("all checks passed", extra={"checks": len(checks.passed)})
    _report(ctx, checks, pinned)


def _check_section(name: str, section: str, valid: dict[str, Settings]) -> str:
    """Parse a section's JSON; its typed settings go into `valid`."""
    valid[name] = parse_settings(stage_config(SECTIONS[name].stage), section, name)
    return type(valid[name]).__module__


class _Sources:
    """What the run's addresses name. What is far is pinned, then fetched: what is checked is what is used."""

    def __init__(self) -> None:
        self._held: dict[str, Held | StageError] = {}

    def at_hand(self, uri: str) -> Path:
        """The path on this machine; whether a local one exists is not looked at."""
        if not is_far(uri):
            return local_path(uri)
        if uri not in self._held:
            try:
                self._held[uri] = hold(uri)
            except StageError as error:  # it is not asked for twice
                self._held[uri] = error
        held = self._held[uri]
        if isinstance(held, StageError):
            raise held
        return held.path

    def pictures(self, uri: str) -> str:
        """The address by which pictures are read: those in a bucket stay there."""
        return str(self.at_hand(uri)) if is_hub_uri(uri) else uri

    def tokens(self, model: str) -> tuple[str, ...]:
        """Texts that no sample may spell, by the model's family; none where the model cannot be had."""
        try:
            return family_tokens(self.at_hand(model)) if model else ()
        except StageError:
            return ()

    def pinned(self, uri: str) -> str:
        """The pinned reference; of something that was fetched, that of the copy which was checked."""
        held = self._held.get(uri)
        return held.reference if isinstance(held, Held) else pin(uri)


def _check_memory(gpu: str, model: str, sections: dict[str, Settings], sources: _Sources) -> str:
    teacher = teacher_of(sections)
    return check_capacity(
        gpu, sources.at_hand(model), sections, sources.at_hand(teacher) if teacher else None
    )


def _check_benchmark(source: BenchmarkSource, sources: _Sources, checked_pictures: int) -> str:
    return check_benchmark(source, sources.at_hand(source.uri), checked_pictures)


class _Checks:
    """Runs checks and collects results and problems."""

    def __init__(self) -> None:
        self.passed: list[dict[str, Any]] = []
        self.problems: list[StageError] = []

    def add(self, name: str, subject: str, check: Callable[[], str]) -> None:
        """Run one check; it returns its result or raises a StageError."""
        try:
            self.passed.append({"check": name, "of": subject, "found": check()})
        except StageError as error:
            self.problems.append(error)

    def raise_problems(self) -> None:
        """Raise one error for all problems, of the weightiest kind among them."""
        if not self.problems:
            return
        kind = next(kind for kind in _BY_WEIGHT if any(isinstance(one, kind) for one in self.problems))
        told = dict.fromkeys(map(str, self.problems))
        head = "" if len(told) == 1 else f"{len(told)} problems:\n"
        raise kind(head + "\n".join(told))


def _probe(checks: _Checks, sections: dict[str, Settings], config: Config, log: logging.Logger) -> None:
    limits = (config.probe_timeout_s, config.question_timeout_s)
    working, failures = examine(find_probes(sections), *limits, log)
    checks.problems += failures
    for served, does in working:
        found = f"{served.model}: {', '.join(served.settings)}: {does}"
        checks.passed.append({"check": "endpoint", "of": served.base_url, "found": found})


def _report(ctx: StageContext, checks: _Checks, pinned: dict[str, str]) -> None:
    ctx.report.text(f"{len(checks.passed)} checks passed.")
    ctx.report.heading("Checks")
    ctx.report.table(checks.passed)
    ctx.report.heading("Pinned references")
    ctx.report.text("What later stages read. A reference changes exactly when its content does.")
    ctx.report.table([{"name": name, "reference": reference} for name, reference in pinned.items()])

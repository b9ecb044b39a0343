"""The preflight stage: all checks at once, all problems in one message, then pinned references."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from components.core.data.pins import local_path, pin
from components.core.stage.context import StageContext
from components.core.stage.errors import ConfigError, DataError, EndpointError, NoInputError, StageError
from components.preflight.base_model import check_base_model
from components.preflight.config import Benchmark, Config
from components.preflight.endpoints import find_probes, probe
from components.preflight.general_data import check_general_data
from components.preflight.promoted import starting_model
from components.preflight.sections import SECTION_STAGES, validate_sections
from components.preflight.sources import check_benchmark, check_disk, check_images

_SECTION = "section_"
# The first of these that occurred decides the exit code; the message names every problem.
_BY_WEIGHT: tuple[type[StageError], ...] = (ConfigError, NoInputError, DataError, EndpointError, StageError)


def run(config: Config, ctx: StageContext) -> None:
    """Check settings, sources and endpoints; on success, set the pinned references.

    Raises:
        ConfigError, NoInputError, DataError, EndpointError: with every problem found, not only the first.
    """
    checks = _Checks()
    sections = {name: ctx.params[f"{_SECTION}{name}"] for name in SECTION_STAGES}
    given = {name: section for name, section in sections.items() if section}
    valid, errors = validate_sections(given)
    checks.problems += errors
    checks.passed += [
        {"check": "settings", "of": name, "found": type(valid[name]).__module__} for name in valid
    ]

    checks.add("images", config.images, lambda: check_images(config.images, config.image_extensions))
    general = config.general_data
    checks.add(
        "general data",
        general,
        lambda: check_general_data(local_path(general), config.checked_samples, config.max_unusable_share),
    )
    model, seen = starting_model(config, sections["promotion"])
    checks.add("base model", model, lambda: check_base_model(local_path(model), config.supported_model_types))
    for item in config.benchmarks:
        checks.add(f"benchmark {item.name} ({item.role})", item.uri, partial(_check_benchmark, item))
    places = [ctx.work.path, *ctx.outputs.values()]
    checks.add("disk", "work and outputs", lambda: check_disk(places, config.min_free_disk_gib))
    if config.probe_endpoints:
        probes = find_probes({"preflight": config, **valid})
        failures = probe(probes, config.probe_timeout_s)
        checks.problems += failures
        if not failures:
            found = [
                {"check": "endpoint", "of": p.base_url, "found": f"{p.model}: {', '.join(p.settings)}"}
                for p in probes
            ]
            checks.passed += found
    checks.raise_problems()

    benchmarks = [
        {**item.model_dump(mode="json", exclude={"uri"}), "ref": pin(item.uri)} for item in config.benchmarks
    ]
    pinned = {name: pin(getattr(config, name)) for name in ("images", "general_data")}
    pinned |= {"base_model": pin(model), "seen": pin(seen) if seen else ""}
    pinned["benchmarks"] = json.dumps(benchmarks)
    for name, reference in pinned.items():
        ctx.set_output(name, reference)
    ctx.metrics["checks_passed"] = len(checks.passed)
    ctx.log.info("all checks passed", extra={"checks": len(checks.passed)})
    _report(ctx, checks, pinned)


def _check_benchmark(benchmark: Benchmark) -> str:
    return check_benchmark(local_path(benchmark.uri), benchmark.format, benchmark.kind, benchmark.name)


class _Checks:
    """Runs checks and collects what passed and what did not."""

    def __init__(self) -> None:
        self.passed: list[dict[str, Any]] = []
        self.problems: list[StageError] = []

    def add(self, name: str, subject: str, check: Callable[[], str]) -> None:
        """Run one check; it returns what it found or raises a StageError."""
        try:
            self.passed.append({"check": name, "of": subject, "found": check()})
        except StageError as error:
            self.problems.append(error)

    def raise_problems(self) -> None:
        """Raise one error for all problems, of the weightiest kind among them."""
        if not self.problems:
            return
        kind = next(
            kind for kind in _BY_WEIGHT if any(isinstance(problem, kind) for problem in self.problems)
        )
        count = len(self.problems)
        head = "" if count == 1 else f"{count} problems:\n"
        raise kind(head + "\n".join(str(problem) for problem in self.problems))


def _report(ctx: StageContext, checks: _Checks, pinned: dict[str, str]) -> None:
    ctx.report.text(f"{len(checks.passed)} checks passed.")
    ctx.report.heading("Checks")
    ctx.report.table(checks.passed)
    ctx.report.heading("Pinned references")
    ctx.report.text("What later stages read. A reference changes exactly when its content does.")
    ctx.report.table([{"name": name, "reference": reference} for name, reference in pinned.items()])

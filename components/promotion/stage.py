"""promotion: join the scores, judge the final model, register it, move the pointer on a pass."""

from __future__ import annotations

from typing import Any

from components.core.errors import DataError
from components.core.manifest import Checkpoint, write_json_atomic
from components.core.runner import StageContext, StageIO
from components.promotion.config import Config
from components.promotion.criteria import CANDIDATE, judge, passes
from components.promotion.registry import DomainRegistry, Pointer
from components.promotion.report import write_report
from components.promotion.scores import STAGES, read_scores, summarise

IO = StageIO(inputs=("checkpoint", *(f"scores_{stage}" for stage in STAGES)), outputs=("verdict", "summary"))


def run(config: Config, ctx: StageContext) -> None:
    """Judge and register. A model that fails is registered with its verdict, but never made current.

    Raises:
        DataError: a scores file is damaged or another stage's, or describes other weights than the checkpoint's.
    """
    registry = DomainRegistry(config.registry, config.domain)
    before = registry.pointer()
    runs = {stage: read_scores(ctx.inputs[f"scores_{stage}"], stage) for stage in STAGES}
    checkpoint = ctx.checkpoint()
    if runs[CANDIDATE].checkpoint_digest != checkpoint.digest:
        raise DataError(
            f"the scores of {CANDIDATE} describe checkpoint {runs[CANDIDATE].checkpoint_digest}, the checkpoint given is "
            f"{checkpoint.digest}; evaluate the one that is to be promoted"
        )
    summary = summarise(list(runs.values()))
    findings = judge(runs, config.criteria)
    verdict: dict[str, Any] = {
        "passed": passes(findings),
        "domain": config.domain,
        "candidate": CANDIDATE,
        "checkpoint_digest": checkpoint.digest,
        "criteria": [finding.model_dump() for finding in findings],
    }
    registered = _register(registry, before, checkpoint, verdict, summary, ctx)
    write_json_atomic(ctx.outputs["summary"], summary)
    write_json_atomic(ctx.outputs["verdict"], {**verdict, "registry": registered})
    ctx.metrics["passed"] = float(verdict["passed"])
    ctx.metrics["version"] = float(registered["version"])
    ctx.metrics["is_current"] = float(registered["is_current"])
    for finding in findings:
        if finding.measured is not None:
            ctx.metrics[finding.name] = round(finding.measured, 6)
    write_report(ctx.report, verdict, registered, findings, summary)


def _register(
    registry: DomainRegistry,
    before: Pointer,
    checkpoint: Checkpoint,
    verdict: dict[str, Any],
    summary: dict[str, Any],
    ctx: StageContext,
) -> dict[str, Any]:
    """Publish the version and, on a pass, move the pointer; what happened, for the verdict and the report."""
    with registry.locked():
        version, is_new = registry.publish(checkpoint, verdict, summary, ctx.provenance)
        pointer, why_not = registry.pointer(), "the verdict is a fail"
        if verdict["passed"]:
            pointer, why_not = registry.point_to(version.number, before)
    ctx.log.info(
        "passed" if verdict["passed"] else "did not pass",
        extra={
            "version": version.number,
            "is_new": is_new,
            "current": pointer.version,
            "pointer": why_not or "moved",
        },
    )
    return {
        "version": version.number,
        "path": f"{registry.domain}/{version.number}",
        "is_current": pointer.version == version.number,
        "current": pointer.version or None,
        "previous": pointer.previous,
        "pointer": why_not or "moved",
    }

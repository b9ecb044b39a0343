"""Promotion: judge the final model against base and incumbent, register it, move the pointer on a pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from components.core.data.checkpoint import Checkpoint
from components.core.data.dataset import Dataset
from components.core.data.files import write_json_atomic
from components.core.data.hashing import canonical_json, sha256_hex
from components.core.data.manifest import MANIFEST_NAME
from components.core.data.pins import fingerprint
from components.core.registry import SEEN_IMAGES, DomainRegistry, Pointer, Version, encode
from components.core.stage.context import StageContext
from components.core.stage.errors import DataError
from components.promotion.component import IO
from components.promotion.config import Config
from components.promotion.criteria import CANDIDATE, Finding, Lengths, judge, passes
from components.promotion.lineage import TRAINING_IMAGES, lineage, provenance
from components.promotion.paired import ReferenceComparison, compare, read_answers
from components.promotion.report import write_report
from components.promotion.scores import Scores, parse_scores, read_scores, summarise
from components.stages import EVALUATED

_LENGTH = "mean_response_tokens"


def run(config: Config, ctx: StageContext) -> None:
    """Judge and register. A model that fails is registered with its verdict, but never made current.

    Raises:
        DataError: a scores file is damaged, another stage's, or of other weights than the checkpoint's.
        ConfigError: the registry's store has no conditional writes.
    """
    runs = {stage: read_scores(ctx.inputs[f"scores_{stage}"], stage) for stage in EVALUATED}
    checkpoint = ctx.checkpoint()
    if runs[CANDIDATE].checkpoint_digest != checkpoint.digest:
        raise DataError(
            f"the scores of {CANDIDATE} describe checkpoint {runs[CANDIDATE].checkpoint_digest}, "
            f"the checkpoint given is {checkpoint.digest}; evaluate the one that is to be promoted"
        )
    registry = DomainRegistry(config.registry, config.domain)
    before = registry.pointer()
    # What makes two promotions the same: weights, evidence and criteria. The incumbent comes on top.
    evidence = [config.domain, config.criteria.model_dump(mode="json"), ctx.provenance["inputs"]]
    request = sha256_hex(canonical_json(evidence))
    version = _earlier(registry, request, before)
    is_new = version is None
    if version is None:
        findings = _judge(config, ctx, registry, before, checkpoint, runs)
        verdict = {
            "passed": passes(findings),
            "domain": config.domain,
            "candidate": CANDIDATE,
            "checkpoint_digest": checkpoint.digest,
            "incumbent": before.version or None,
            "criteria": [finding.model_dump() for finding in findings],
        }
        described = {
            "request": request,
            "judged_at": before.sequence,
            "checkpoint_digest": checkpoint.digest,
            "passed": verdict["passed"],
            "provenance": {key: ctx.provenance[key] for key in ("stage", "code_version", "inputs")},
        }
        identity = sha256_hex(canonical_json([request, before.sequence]))
        files = _files(config, ctx, checkpoint, runs, verdict) | _seen(ctx, registry, before)
        version = registry.publish(identity, files, described)
    _conclude(ctx, registry, version, is_new)


def _earlier(registry: DomainRegistry, request: str, pointer: Pointer) -> Version | None:
    """The version that an earlier attempt of this promotion made.

    None also where it has to be judged anew: it passed, but another one became current before.
    """
    for version in reversed(registry.versions()):
        again = version.number in pointer.history or version.manifest["judged_at"] == pointer.sequence
        if version.manifest["request"] == request and again:
            return version
    return None


def _judge(
    config: Config,
    ctx: StageContext,
    registry: DomainRegistry,
    pointer: Pointer,
    checkpoint: Checkpoint,
    runs: dict[str, Scores],
) -> list[Finding]:
    criteria, final = config.criteria, runs[CANDIDATE]
    candidate = final, read_answers(_predictions(ctx, CANDIDATE, checkpoint), final)
    comparisons: list[ReferenceComparison] = []
    lengths = {"length": _lengths(criteria.length_reference, final, runs[criteria.length_reference])}
    if "base" in criteria.against:
        base = runs["base"], read_answers(_predictions(ctx, "base", None), runs["base"])
        comparisons.append(compare("base", "base", base, candidate))
    if "incumbent" in criteria.against and pointer.version:
        incumbent = registry.version(pointer.version)
        label = f"version {incumbent.number}"
        if incumbent.manifest["checkpoint_digest"] == checkpoint.digest:
            ctx.log.info("%s has the same weights: nothing to compare", label)
        else:
            scores, answers = _incumbent(registry, incumbent, ctx)
            comparisons.append(compare("incumbent", label, (scores, answers), candidate))
            lengths["length_vs_incumbent"] = _lengths(label, final, scores)
    return judge(comparisons, lengths, criteria)


def _predictions(ctx: StageContext, stage: str, checkpoint: Checkpoint | None) -> Dataset:
    dataset = ctx.dataset(f"predictions_{stage}", table="predictions")
    evaluated = provenance(dataset.path).get("inputs", {}).get("checkpoint", "")
    wanted = fingerprint(checkpoint.path) if checkpoint else ""
    if evaluated and evaluated != wanted:
        raise DataError(
            f"the predictions of {stage} come from checkpoint {evaluated}, "
            f"expected {wanted or 'the base model'}; check the wiring"
        )
    return dataset


def _incumbent(registry: DomainRegistry, version: Version, ctx: StageContext) -> tuple[Scores, Any]:
    directory = registry.fetch(version, ctx.work.dir(f"version-{version.number}"), under="predictions/")
    stored = registry.read(version, f"scores/{CANDIDATE}.json")
    scores = parse_scores(stored, f"{version.uri}/scores/{CANDIDATE}.json: not a scores file")
    return scores, read_answers(Dataset.open(directory / "predictions", "predictions"), scores)


def _lengths(label: str, final: Scores, reference: Scores) -> Lengths:
    candidate, yardstick = (scores.metrics.get(_LENGTH) for scores in (final, reference))
    return Lengths(label=label, candidate=candidate, reference=yardstick)


def _files(
    config: Config,
    ctx: StageContext,
    checkpoint: Checkpoint,
    runs: dict[str, Scores],
    verdict: dict[str, Any],
) -> dict[str, Path | bytes]:
    """Everything that a version holds, by its name there."""
    answered = ("base", CANDIDATE)
    evaluated = {stage: ctx.dataset(f"predictions_{stage}", table="predictions") for stage in answered}
    qa_kept = ctx.dataset("qa_kept", table="qa_kept")
    record, pictures = lineage(checkpoint.path, evaluated, qa_kept, ctx.params.get("general_data", ""))
    given = {name: ctx.params.get(f"section_{name}", "") for name in IO.sections}
    sections = {name: json.loads(text) for name, text in given.items() if text}
    return {
        **_directory("checkpoint", checkpoint.path),
        **_directory("predictions", evaluated[CANDIDATE].path),
        **{f"scores/{stage}.json": ctx.inputs[f"scores_{stage}"] for stage in runs},
        "verdict.json": encode(verdict),
        "summary.json": encode(summarise(list(runs.values()))),
        "config.json": encode({**sections, "promotion": config.model_dump(mode="json")}),
        "lineage.json": encode(record),
        TRAINING_IMAGES: pictures,
    }


def _seen(ctx: StageContext, registry: DomainRegistry, pointer: Pointer) -> dict[str, Path | bytes]:
    """The ids of all pictures of this run and of the incumbent's: what a later run need not take again."""
    if "images" not in ctx.inputs:
        return {}
    ids = {row["image_id"] for row in ctx.dataset("images", table="images").rows_iter(["image_id"])}
    if pointer.version:
        incumbent = registry.version(pointer.version)
        if any(entry["name"] == SEEN_IMAGES for entry in incumbent.manifest["files"]):
            ids |= set(registry.read(incumbent, SEEN_IMAGES).decode("ascii").split())
    return {SEEN_IMAGES: "".join(f"{image_id}\n" for image_id in sorted(ids)).encode("ascii")}


def _directory(name: str, path: Path) -> dict[str, Path]:
    """The files of a checkpoint or dataset, and its manifest, by their names in the version."""
    manifest = json.loads((path / MANIFEST_NAME).read_text(encoding="utf-8"))
    names = [*(entry["name"] for entry in manifest["files"]), MANIFEST_NAME]
    return {f"{name}/{file}": path / file for file in names}


def _conclude(ctx: StageContext, registry: DomainRegistry, version: Version, is_new: bool) -> None:
    """Move the pointer on a pass; write verdict, metrics and report from what the registry holds."""
    pointer, why_not = registry.pointer(), "the verdict is a fail"
    if version.passed:
        pointer, why_not = registry.point_to(version)
    verdict = json.loads(registry.read(version, "verdict.json"))
    summary = json.loads(registry.read(version, "summary.json"))
    findings = [Finding.model_validate(entry) for entry in verdict["criteria"]]
    registered: dict[str, Any] = {
        "version": version.number,
        "uri": version.uri,
        "is_current": pointer.version == version.number,
        "current": pointer.version or None,
        "previous": pointer.previous,
        "pointer": why_not or "points here",
    }
    outcome = "passed" if version.passed else "did not pass"
    shown = {"current": pointer.version, "pointer": registered["pointer"]}
    ctx.log.info(outcome, extra={"version": version.number, "is_new": is_new, **shown})
    write_json_atomic(ctx.outputs["verdict"], {**verdict, "registry": registered, "summary": summary})
    ctx.metrics |= {
        "passed": float(verdict["passed"]),
        "version": float(version.number),
        "is_current": float(registered["is_current"]),
    }
    for finding in findings:
        values = {"": finding.measured, "_low": finding.low, "_high": finding.high, "_p": finding.p_value}
        ctx.metrics |= {f"{finding.name}{end}": v for end, v in values.items() if v is not None}
    write_report(ctx.report, verdict, registered, findings, summary)

"""The gate's criteria: from paired answers to verdicts. Pure functions.

All criteria have to pass, so their number needs no correction. Such a test errs no more often than its most
permissive part (intersection-union test: Berger 1982, Technometrics 24(4)).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from components.core.stats import Bootstrap, Estimate, paired_comparison
from components.promotion.config import Criteria
from components.promotion.paired import PairedScores, ReferenceComparison
from components.promotion.probe_f1 import f1_difference
from components.promotion.scores import Measure

CANDIDATE = "hybrid_rl"


class Finding(BaseModel):
    """One criterion with all that decided it. `passed` is None when it was not measured and is skipped."""

    name: str
    passed: bool | None
    rule: str
    reference: str
    threshold: float
    measured: float | None = None
    """Difference final minus reference in points, or ratio of lengths."""
    low: float | None = None
    high: float | None = None
    candidate_value: float | None = None
    reference_value: float | None = None
    n: int = 0
    """Items that both answered."""
    gained: int | None = None
    """Items that only the final model has right (or affirmed, of absent things)."""
    lost: int | None = None
    p_value: float | None = None
    """Exact McNemar test of "neither is better", items taken as independent."""
    p_value_clustered: float | None = None
    """The same by exact sign flips of whole pictures."""
    note: str = ""


class Lengths(BaseModel):
    """Mean response lengths in tokens of the final model and of a yardstick."""

    label: str
    candidate: Measure | None
    reference: Measure | None


def judge(
    comparisons: Sequence[ReferenceComparison], lengths: Mapping[str, Lengths], criteria: Criteria
) -> list[Finding]:
    """Judge the final model.

    Args:
        comparisons: with each reference of `criteria.against` that there is.
        lengths: by criterion's name: `length`, `length_vs_incumbent`.
        criteria: the gate.
    """
    paired = (finding for comparison in comparisons for finding in _against(comparison, criteria))
    return [*paired, *(_length(name, measured, criteria) for name, measured in lengths.items())]


def passes(findings: Sequence[Finding]) -> bool:
    """Whether no criterion failed and domain accuracy was judged: only the domain says that it is better."""
    judged = [finding for finding in findings if finding.passed is not None]
    return all(finding.passed for finding in judged) and any(
        finding.name.startswith("domain_gain") for finding in judged
    )


def _against(comparison: ReferenceComparison, criteria: Criteria) -> list[Finding]:
    is_base, label = comparison.reference == "base", comparison.label
    gain = criteria.domain_gain_points if is_base else criteria.incumbent_gain_points
    loss, rise = criteria.general_margin_points, criteria.hallucination_margin_points
    bootstrap, by = Bootstrap(criteria.confidence, criteria.resamples), f"by the {criteria.rule}"

    def criterion(name: str, threshold: float, rule: str, measured: Mapping[str, Any] | str) -> Finding:
        full_name = name if is_base else f"{name}_vs_{comparison.reference}"
        stated: dict[str, Any] = {"name": full_name, "rule": rule, "reference": label, "threshold": threshold}
        if isinstance(measured, str):
            return _unmeasured(stated, measured, criteria)
        lowest, highest = ("low", "high") if criteria.rule == "interval" else ("measured", "measured")
        at_least, at_most = measured[lowest] >= threshold, measured[highest] <= threshold
        gained = measured["measured"] >= threshold and measured["low"] > 0
        passed = {"domain_gain": gained, "hallucination": at_most}.get(name, at_least)
        return Finding(**stated, passed=passed, **measured)

    def paired(pairs: PairedScores | None, role: str, missing: str = "no benchmark") -> dict[str, Any] | str:
        return comparison.notes.get(role, missing) if pairs is None else _paired(pairs, bootstrap)

    findings = [
        criterion(
            "domain_gain",
            gain,
            f"domain accuracy at least {gain:g} points above {label}, and the interval of the gain above 0",
            paired(comparison.domain, "domain"),
        ),
        criterion(
            "general_kept",
            -loss,
            f"general accuracy at most {loss:g} points below {label}, {by}",
            paired(comparison.general, "general"),
        ),
        criterion(
            "hallucination",
            rise,
            f"hallucination rate at most {rise:g} points above {label}, {by}",
            paired(comparison.absent, "hallucination", "no probe about anything absent"),
        ),
    ]
    if comparison.probes is not None:
        margin = criteria.probe_f1_margin_points
        before, after, difference = f1_difference(comparison.probes, bootstrap)
        rule = f"F1 of the probes at most {margin:g} points below {label}, {by}"
        findings.append(criterion("probe_f1", -margin, rule, _points(before, after, difference)))
    return findings


def _length(name: str, lengths: Lengths, criteria: Criteria) -> Finding:
    most = criteria.length_ratio
    rule = f"mean response length at most {most:g} times that of {lengths.label}"
    stated: dict[str, Any] = {"name": name, "rule": rule, "reference": lengths.label, "threshold": most}
    if lengths.candidate is None or lengths.reference is None or lengths.reference.value <= 0:
        return _unmeasured(stated, "no response lengths of both", criteria)
    ratio = lengths.candidate.value / lengths.reference.value
    return Finding(
        **stated,
        passed=ratio <= most,
        measured=round(ratio, 6),
        candidate_value=lengths.candidate.value,
        reference_value=lengths.reference.value,
        n=lengths.candidate.n,
    )


def _unmeasured(stated: Mapping[str, Any], why: str, criteria: Criteria) -> Finding:
    skipped = criteria.unmeasured == "skip"
    note = f"not measured: {why}" + ("; skipped as configured" if skipped else "")
    return Finding(**stated, passed=None if skipped else False, note=note)


def _paired(pairs: PairedScores, bootstrap: Bootstrap) -> dict[str, Any]:
    """The difference after - before in points, its interval and the tests."""
    compared = paired_comparison(pairs.before, pairs.after, pairs.groups, bootstrap)
    return {
        **_points(float(pairs.before.mean()), float(pairs.after.mean()), compared.difference),
        **{name: value for name, value in compared.to_json().items() if name != "difference"},
    }


def _points(before: float, after: float, difference: Estimate) -> dict[str, Any]:
    """Both values and their difference, in points to four decimals."""
    return {
        "measured": round(100 * difference.value, 4),
        "low": round(100 * difference.low, 4),
        "high": round(100 * difference.high, 4),
        "candidate_value": round(100 * after, 4),
        "reference_value": round(100 * before, 4),
        "n": difference.n,
    }

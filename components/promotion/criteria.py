"""The gate's criteria. Pure functions from paired answers to verdicts.

All criteria have to pass. A test of "all of these hold" by tests that each hold needs no correction for their number:
it errs no more often than its most permissive part (intersection-union test: Berger 1982, Technometrics 24(4)).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import BaseModel

from components.core.stats import Bootstrap, Estimate, paired_comparison
from components.promotion.config import Criteria
from components.promotion.paired import Comparison, Pairs
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
    comparisons: Sequence[Comparison], lengths: Mapping[str, Lengths], criteria: Criteria
) -> list[Finding]:
    """Judge the final model.

    Args:
        comparisons: with each reference of `criteria.against` that there is.
        lengths: by criterion's name: `length`, `length_vs_incumbent`.
        criteria: the gate.
    """
    findings: list[Finding] = []
    for comparison in comparisons:
        findings += _against(comparison, criteria)
    return [*findings, *(_length(name, measured, criteria) for name, measured in lengths.items())]


def passes(findings: Sequence[Finding]) -> bool:
    """Whether no criterion failed and domain accuracy was judged: without it nothing says that the model is better."""
    judged = [finding for finding in findings if finding.passed is not None]
    return all(finding.passed for finding in judged) and any(
        finding.name.startswith("domain_gain") for finding in judged
    )


def _against(comparison: Comparison, criteria: Criteria) -> list[Finding]:
    suffix = "" if comparison.reference == "base" else f"_vs_{comparison.reference}"
    wanted = criteria.domain_gain_points if comparison.reference == "base" else criteria.incumbent_gain_points
    findings = [
        _gain(f"domain_gain{suffix}", comparison, wanted, criteria),
        _kept(f"general_kept{suffix}", comparison, criteria),
        _hallucination(f"hallucination{suffix}", comparison, criteria),
    ]
    if comparison.probes is not None:
        findings.append(_probe_f1(f"probe_f1{suffix}", comparison, criteria))
    return findings


def _gain(name: str, comparison: Comparison, wanted: float, criteria: Criteria) -> Finding:
    finding = Finding(
        name=name,
        passed=None,
        rule=f"domain accuracy at least {wanted:g} points above {comparison.label}, and the interval of the gain above 0",
        reference=comparison.label,
        threshold=wanted,
    )
    if comparison.domain is None:
        return _unmeasured(finding, comparison.notes.get("domain", "no benchmark"), criteria)
    measured = _paired(finding, comparison.domain, criteria)
    assert measured.measured is not None and measured.low is not None
    return measured.model_copy(update={"passed": measured.measured >= wanted and measured.low > 0})


def _kept(name: str, comparison: Comparison, criteria: Criteria) -> Finding:
    margin = criteria.general_margin_points
    finding = Finding(
        name=name,
        passed=None,
        rule=f"general accuracy at most {margin:g} points below {comparison.label}, by the {criteria.rule}",
        reference=comparison.label,
        threshold=-margin,
    )
    if comparison.general is None:
        return _unmeasured(finding, comparison.notes.get("general", "no benchmark"), criteria)
    measured = _paired(finding, comparison.general, criteria)
    return _not_below(measured, -margin, criteria)


def _hallucination(name: str, comparison: Comparison, criteria: Criteria) -> Finding:
    margin = criteria.hallucination_margin_points
    finding = Finding(
        name=name,
        passed=None,
        rule=f"hallucination rate at most {margin:g} points above {comparison.label}, by the {criteria.rule}",
        reference=comparison.label,
        threshold=margin,
    )
    if comparison.absent is None:
        note = comparison.notes.get("hallucination", "no probe about anything absent")
        return _unmeasured(finding, note, criteria)
    measured = _paired(finding, comparison.absent, criteria)
    decides = measured.high if criteria.rule == "interval" else measured.measured
    assert decides is not None
    return measured.model_copy(update={"passed": decides <= margin})


def _probe_f1(name: str, comparison: Comparison, criteria: Criteria) -> Finding:
    assert comparison.probes is not None
    margin, probes = criteria.probe_f1_margin_points, comparison.probes
    before, after, difference = f1_difference(probes, _bootstrap(criteria))
    finding = Finding(
        name=name,
        passed=None,
        rule=f"F1 of the probes at most {margin:g} points below {comparison.label}, by the {criteria.rule}",
        reference=comparison.label,
        threshold=-margin,
        candidate_value=round(100 * after, 4),
        reference_value=round(100 * before, 4),
    )
    return _not_below(finding.model_copy(update=_points(difference)), -margin, criteria)


def _length(name: str, lengths: Lengths, criteria: Criteria) -> Finding:
    finding = Finding(
        name=name,
        passed=None,
        rule=f"mean response length at most {criteria.length_ratio:g} times that of {lengths.label}",
        reference=lengths.label,
        threshold=criteria.length_ratio,
    )
    if lengths.candidate is None or lengths.reference is None or lengths.reference.value <= 0:
        return _unmeasured(finding, "no response lengths of both", criteria)
    ratio = lengths.candidate.value / lengths.reference.value
    return finding.model_copy(
        update={
            "measured": round(ratio, 6),
            "passed": ratio <= criteria.length_ratio,
            "candidate_value": lengths.candidate.value,
            "reference_value": lengths.reference.value,
            "n": lengths.candidate.n,
        }
    )


def _paired(finding: Finding, pairs: Pairs, criteria: Criteria) -> Finding:
    """`finding` with the difference after - before in points, its interval and the tests."""
    compared = paired_comparison(pairs.before, pairs.after, pairs.groups, _bootstrap(criteria))
    return finding.model_copy(
        update={
            **_points(compared.difference),
            "candidate_value": round(100 * float(pairs.after.mean()), 4),
            "reference_value": round(100 * float(pairs.before.mean()), 4),
            "gained": compared.gained,
            "lost": compared.lost,
            "p_value": float(f"{compared.p_value:.6g}"),
            "p_value_clustered": float(f"{compared.p_value_clustered:.6g}"),
        }
    )


def _not_below(finding: Finding, bound: float, criteria: Criteria) -> Finding:
    decides = finding.low if criteria.rule == "interval" else finding.measured
    assert decides is not None
    return finding.model_copy(update={"passed": decides >= bound})


def _points(difference: Estimate) -> dict[str, float | int]:
    scaled = replace(
        difference, value=100 * difference.value, low=100 * difference.low, high=100 * difference.high
    )
    return {
        "measured": round(scaled.value, 4),
        "low": round(scaled.low, 4),
        "high": round(scaled.high, 4),
        "n": scaled.n,
    }


def _bootstrap(criteria: Criteria) -> Bootstrap:
    return Bootstrap(criteria.confidence, criteria.resamples)


def _unmeasured(finding: Finding, why: str, criteria: Criteria) -> Finding:
    skipped = criteria.unmeasured == "skip"
    note = f"not measured: {why}" + ("; skipped as configured" if skipped else "")
    return finding.model_copy(update={"passed": None if skipped else False, "note": note})

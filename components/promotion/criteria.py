"""The gate's criteria. Pure functions from measures to verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from components.promotion.config import Criteria
from components.promotion.scores import Measure, Scores

CANDIDATE = "hybrid_rl"


class Finding(BaseModel):
    """One criterion with all that decided it. `passed` is None when its metric was not measured and it is skipped."""

    name: str
    passed: bool | None
    rule: str
    measured: float | None
    threshold: float
    low: float | None = None
    high: float | None = None
    reference: str
    candidate_value: Measure | None
    reference_value: Measure | None
    note: str = ""


def difference_interval(a: Measure, b: Measure) -> tuple[float, float]:
    """Interval of a − b from the two intervals, by Newcombe's square-and-add (Statistics in Medicine 17:873, 1998).

        low  = (a − b) − √((a − a.low)² + (b.high − b)²)
        high = (a − b) + √((a.high − a)² + (b − b.low)²)

    It takes the level of the intervals it is given, respects their asymmetry, and assumes independent samples. Two
    models answering the same items are positively correlated, so for them it is wider than it need be: conservative.
    """
    difference = a.value - b.value
    low = difference - math.hypot(a.value - a.low, b.high - b.value)
    high = difference + math.hypot(a.high - a.value, b.value - b.low)
    return low, high


def judge(runs: Mapping[str, Scores], criteria: Criteria) -> list[Finding]:
    """Judge the final model; `runs` maps every stage's name to its scores."""
    return [
        _domain_gain(runs, criteria),
        _general_kept(runs, criteria),
        _hallucination(runs, criteria),
        _length(runs, criteria),
    ]


def passes(findings: list[Finding]) -> bool:
    """Whether no criterion failed and at least one was judged."""
    judged = [finding.passed for finding in findings if finding.passed is not None]
    return bool(judged) and all(judged)


def _domain_gain(runs: Mapping[str, Scores], criteria: Criteria) -> Finding:
    candidate, reference = _pair(runs, "domain_accuracy", "base")
    rule = (
        f"domain accuracy at least {criteria.domain_gain_points:g} points above base, "
        "and the interval of the gain above 0"
    )
    common = _common("domain_gain", rule, criteria.domain_gain_points, "base", candidate, reference)
    if candidate is None or reference is None:
        return _unmeasured(common, criteria)
    gain = 100 * (candidate.value - reference.value)
    low, high = (100 * bound for bound in difference_interval(candidate, reference))
    return Finding(
        **common, measured=gain, low=low, high=high, passed=gain >= criteria.domain_gain_points and low > 0
    )


def _general_kept(runs: Mapping[str, Scores], criteria: Criteria) -> Finding:
    candidate, reference = _pair(runs, "general_accuracy", "base")
    rule = f"general accuracy at least {criteria.general_kept_ratio:g} of base"
    common = _common("general_kept", rule, criteria.general_kept_ratio, "base", candidate, reference)
    if candidate is None or reference is None:
        return _unmeasured(common, criteria)
    if reference.value == 0:
        return Finding(**common, measured=None, passed=True, note="base scores 0: there is nothing to lose")
    ratio = candidate.value / reference.value
    return Finding(**common, measured=ratio, passed=ratio >= criteria.general_kept_ratio)


def _hallucination(runs: Mapping[str, Scores], criteria: Criteria) -> Finding:
    label = criteria.hallucination_reference
    candidate, reference = _pair(runs, "hallucination_rate", label)
    rule = f"hallucination rate at most {criteria.hallucination_margin_points:g} points above {label}"
    common = _common("hallucination", rule, criteria.hallucination_margin_points, label, candidate, reference)
    if candidate is None or reference is None:
        return _unmeasured(common, criteria)
    rise = 100 * (candidate.value - reference.value)
    low, high = (100 * bound for bound in difference_interval(candidate, reference))
    return Finding(
        **common, measured=rise, low=low, high=high, passed=rise <= criteria.hallucination_margin_points
    )


def _length(runs: Mapping[str, Scores], criteria: Criteria) -> Finding:
    label = criteria.length_reference
    candidate, reference = _pair(runs, "mean_response_tokens", label)
    rule = f"mean response length at most {criteria.length_ratio:g} times that of {label}"
    common = _common("length", rule, criteria.length_ratio, label, candidate, reference)
    if candidate is None or reference is None or reference.value == 0:
        return _unmeasured(common, criteria)
    ratio = candidate.value / reference.value
    return Finding(**common, measured=ratio, passed=ratio <= criteria.length_ratio)


def _pair(runs: Mapping[str, Scores], metric: str, reference: str) -> tuple[Measure | None, Measure | None]:
    return runs[CANDIDATE].metrics.get(metric), runs[reference].metrics.get(metric)


def _common(
    name: str,
    rule: str,
    threshold: float,
    label: str,
    candidate: Measure | None,
    reference: Measure | None,
) -> dict[str, Any]:
    return {
        "name": name,
        "rule": rule,
        "threshold": threshold,
        "reference": label,
        "candidate_value": candidate,
        "reference_value": reference,
    }


def _unmeasured(common: dict[str, Any], criteria: Criteria) -> Finding:
    passed = False if criteria.unmeasured == "fail" else None
    note = "not measured: no benchmark of this role" + ("" if passed is False else "; skipped as configured")
    return Finding(**common, measured=None, passed=passed, note=note)

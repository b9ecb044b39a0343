from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.promotion.config import Criteria
from components.promotion.criteria import difference_interval, judge, passes
from components.promotion.scores import STAGES, Measure, Scores


def measure(value: float, half: float = 0.02, n: int = 400) -> Measure:
    return Measure(value=value, low=value - half, high=value + half, n=n)


def runs(**changes: dict[str, Measure | None]) -> dict[str, Scores]:
    """Five runs of equal, good scores; `changes` maps a stage to the metrics that differ there (None: not measured)."""
    common = {
        "domain_accuracy": measure(0.3),
        "general_accuracy": measure(0.9),
        "hallucination_rate": measure(0.2),
        "mean_response_tokens": measure(20, 1),
    }
    final = {"hybrid_rl": {"domain_accuracy": measure(0.8)}}
    made = {}
    for stage in STAGES:
        metrics = {**common, **final.get(stage, {}), **changes.get(stage, {})}
        made[stage] = Scores(
            label=stage, checkpoint_digest=stage, metrics={k: v for k, v in metrics.items() if v is not None}
        )
    return made


def outcomes(made: dict[str, Scores], **settings) -> dict[str, bool | None]:
    return {finding.name: finding.passed for finding in judge(made, Criteria(**settings))}


def test_newcombes_own_example() -> None:
    # Newcombe 1998, table II, example (a): 56/70 − 48/80 with Wilson intervals; method 10 gives 0.0524 to 0.3339.
    def wilson(hits: int, n: int) -> Measure:
        z, p = 1.959964, hits / n
        centre, spread = (p + z * z / (2 * n)), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        scale = 1 + z * z / n
        return Measure(value=p, low=(centre - spread) / scale, high=(centre + spread) / scale, n=n)

    low, high = difference_interval(wilson(56, 70), wilson(48, 80))
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)


@st.composite
def measures(draw) -> Measure:
    value = draw(st.floats(0, 1))
    return Measure(
        value=value, low=value - draw(st.floats(0, 0.3)), high=value + draw(st.floats(0, 0.3)), n=10
    )


@given(measures(), measures())
def test_difference_interval_properties(a: Measure, b: Measure) -> None:
    low, high = difference_interval(a, b)
    assert low <= a.value - b.value <= high
    # Exchanging the two mirrors the interval.
    assert difference_interval(b, a) == pytest.approx((-high, -low), abs=1e-12)
    # It is at least as wide as either interval and at most as wide as both together.
    widths = a.high - a.low, b.high - b.low
    assert max(widths) - 1e-12 <= high - low <= sum(widths) + 1e-12


def test_a_good_run_passes() -> None:
    findings = judge(runs(), Criteria())
    assert passes(findings)
    gain = next(finding for finding in findings if finding.name == "domain_gain")
    assert gain.measured == pytest.approx(50)
    # Two half-widths of 2 points: 50 ± √(2² + 2²).
    assert (gain.low, gain.high) == pytest.approx((50 - math.sqrt(8), 50 + math.sqrt(8)))


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({"hybrid_rl": {"domain_accuracy": measure(0.34)}}, "domain_gain"),  # 4 points, 5 wanted
        (
            {"hybrid_rl": {"domain_accuracy": measure(0.38, 0.09)}},
            "domain_gain",
        ),  # 8 points but the interval holds 0
        ({"hybrid_rl": {"general_accuracy": measure(0.86)}}, "general_kept"),  # 0.86 / 0.9 = 0.956
        ({"hybrid_rl": {"hallucination_rate": measure(0.23)}}, "hallucination"),  # 3 points, 2 allowed
        ({"hybrid_rl": {"mean_response_tokens": measure(22.5, 1)}}, "length"),  # 22.5 / 20 = 1.125
        ({"hybrid_rl": {"general_accuracy": None}}, "general_kept"),
        ({"base": {"hallucination_rate": None}}, "hallucination"),
    ],
)
def test_each_criterion_alone_stops_a_promotion(changes: dict, failing: str) -> None:
    made = runs(**{"hybrid_rl": {"domain_accuracy": measure(0.8)}, **changes})
    if "domain_accuracy" not in changes.get("hybrid_rl", {}) and "hybrid_rl" in changes:
        made = runs(hybrid_rl={"domain_accuracy": measure(0.8), **changes["hybrid_rl"]})
    found = outcomes(made)
    assert [name for name, passed in found.items() if not passed] == [failing]
    assert not passes(judge(made, Criteria()))


def test_references_can_be_chosen() -> None:
    made = runs(
        sft_3_align={"hallucination_rate": measure(0.1)}, base={"mean_response_tokens": measure(10, 1)}
    )
    assert outcomes(made) == dict.fromkeys(("domain_gain", "general_kept", "hallucination", "length"), True)
    assert outcomes(made, hallucination_reference="sft_3_align")["hallucination"] is False
    assert outcomes(made, length_reference="base")["length"] is False


def test_unmeasured_metrics_can_be_skipped_but_something_must_be_judged() -> None:
    none = {"general_accuracy": None, "hallucination_rate": None}
    made = runs(base=none, hybrid_rl={**none, "domain_accuracy": measure(0.8)})
    assert outcomes(made, unmeasured="skip")["general_kept"] is None
    assert passes(judge(made, Criteria(unmeasured="skip")))
    assert not passes(judge(made, Criteria()))
    everything = dict.fromkeys(
        ("domain_accuracy", "general_accuracy", "hallucination_rate", "mean_response_tokens")
    )
    nothing = runs(**dict.fromkeys(STAGES, everything))
    assert not passes(judge(nothing, Criteria(unmeasured="skip")))

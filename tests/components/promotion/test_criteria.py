from __future__ import annotations

import numpy as np
import pytest

from components.core.stats import Bootstrap
from components.promotion.config import Criteria
from components.promotion.criteria import Finding, Lengths, judge, passes
from components.promotion.paired import PairedProbes, PairedScores, ReferenceComparison
from components.promotion.probe_f1 import f1_difference
from components.promotion.scores import Measure

N = 400
GROUPS = [f"g{i // 2}" for i in range(N)]


def pairs(before: float, after: float) -> PairedScores:
    """The reference has the first items right, and so has the final model: all differences have one sign."""
    place = np.arange(N) / N
    return PairedScores((place < before).astype(float), (place < after).astype(float), GROUPS)


def probes(before_yes: float, after_yes: float) -> PairedProbes:
    """Even probes are about present things. Models affirm the first so many of them, and nothing absent."""
    place, truth = np.arange(N) / N, np.arange(N) % 2 == 0
    return PairedProbes(truth & (place < before_yes), truth & (place < after_yes), truth, GROUPS)


def comparison(reference: str = "base", **changes) -> ReferenceComparison:
    good = {
        "domain": pairs(0.3, 0.8),
        "general": pairs(0.9, 0.9),
        "absent": pairs(0.2, 0.2),
        "probes": probes(0.9, 0.9),
    }
    return ReferenceComparison(reference, reference, **{**good, **changes})


def measure(value: float) -> Measure:
    return Measure(value=value, low=value - 1, high=value + 1, n=N)


def lengths(ratio: float = 1.0) -> dict[str, Lengths]:
    return {"length": Lengths(label="sft_3_align", candidate=measure(20 * ratio), reference=measure(20))}


def outcomes(compared: ReferenceComparison, ratio: float = 1.0, **settings) -> dict[str, bool | None]:
    return {f.name: f.passed for f in judge([compared], lengths(ratio), Criteria(**settings))}


def test_a_good_run_passes_with_all_its_numbers() -> None:
    findings = judge([comparison()], lengths(), Criteria())
    assert passes(findings)
    gain = findings[0]
    assert (gain.measured, gain.reference_value, gain.candidate_value, gain.n) == (50, 30, 80, N)
    assert (gain.gained, gain.lost) == (200, 0)
    assert gain.p_value == pytest.approx(2 * 0.5**200, rel=1e-5)
    assert gain.p_value_clustered == pytest.approx(2 * 0.5**100, rel=1e-5)
    assert gain.low is not None and gain.high is not None
    assert 40 < gain.low < 50 < gain.high < 60


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({"domain": pairs(0.5, 0.545)}, "domain_gain"),  # significant, but 4.5 points
        ({"general": pairs(0.9, 0.85)}, "general_kept"),
        ({"absent": pairs(0.2, 0.25)}, "hallucination"),
        ({"probes": probes(0.9, 0.7)}, "probe_f1"),
        ({"domain": None}, "domain_gain"),
        ({"general": None}, "general_kept"),
        ({"absent": None, "probes": None}, "hallucination"),
    ],
)
def test_each_criterion_alone_stops_a_promotion(changes: dict, failing: str) -> None:
    findings = judge([comparison(**changes)], lengths(), Criteria())
    assert [finding.name for finding in findings if not finding.passed] == [failing]
    assert not passes(findings)


def test_length_stops_a_promotion() -> None:
    assert outcomes(comparison(), ratio=1.1)["length"] is True
    assert outcomes(comparison(), ratio=1.11)["length"] is False


def test_a_gain_that_could_be_chance_is_none() -> None:
    # 20 items, 2 gained and none lost: 10 points, but a fair coin does that every second time (p = 0.5).
    few = PairedScores(np.zeros(20), np.array([1.0] * 2 + [0.0] * 18), [f"g{i}" for i in range(20)])
    finding = judge([comparison(domain=few)], {}, Criteria())[0]
    assert finding.measured == 10
    assert finding.p_value == 0.5
    assert finding.passed is False


def test_the_rule_decides_a_small_loss() -> None:
    small = pairs(0.9, 0.88)  # 2 points lost; the interval reaches beyond 3
    found = judge([comparison(general=small)], {}, Criteria())[1]
    assert found.measured == pytest.approx(-2)
    assert found.low is not None and found.low < -3
    assert found.passed is False
    assert outcomes(comparison(general=small), rule="point")["general_kept"] is True
    assert outcomes(comparison(general=small), general_margin_points=5)["general_kept"] is True


def test_against_the_incumbent_any_significant_gain_counts() -> None:
    better = comparison("incumbent", domain=pairs(0.5, 0.545))
    assert outcomes(better)["domain_gain_vs_incumbent"] is True
    assert outcomes(better, incumbent_gain_points=5)["domain_gain_vs_incumbent"] is False
    equal = comparison("incumbent", domain=pairs(0.5, 0.5))
    assert outcomes(equal)["domain_gain_vs_incumbent"] is False


def test_unmeasured_metrics_can_be_skipped_but_the_domain_must_be_judged() -> None:
    nothing_general = comparison(general=None, notes={"general": "base answered another version"})
    findings = judge([nothing_general], lengths(), Criteria(unmeasured="skip"))
    kept = next(finding for finding in findings if finding.name == "general_kept")
    assert kept.passed is None
    assert "base answered another version; skipped" in kept.note
    assert passes(findings)
    nothing = comparison(domain=None)
    assert not passes(judge([nothing], lengths(), Criteria(unmeasured="skip")))


def test_findings_survive_json() -> None:
    for finding in judge([comparison()], lengths(), Criteria()):
        assert Finding.model_validate_json(finding.model_dump_json()) == finding


def test_f1_of_hand_counted_probes() -> None:
    # Truth: y y y y n n. Reference says y y n n y n: TP 2, FP 1, FN 2 -> 4/7. Final says y y y n n n: 6/7.
    truth = np.array([1, 1, 1, 1, 0, 0], dtype=bool)
    given = PairedProbes(
        np.array([1, 1, 0, 0, 1, 0], dtype=bool),
        np.array([1, 1, 1, 0, 0, 0], dtype=bool),
        truth,
        [f"g{i}" for i in range(6)],
    )
    before, after, difference = f1_difference(given, Bootstrap())
    assert (before, after) == pytest.approx((4 / 7, 6 / 7))
    assert difference.value == pytest.approx(2 / 7)
    assert difference.low < 2 / 7 < difference.high


def test_the_interval_of_f1_covers_the_truth() -> None:
    rng, hits, trials = np.random.default_rng(0), 0, 300
    p_before, p_after, p_false = 0.7, 0.8, 0.1

    def f1(recall: float) -> float:
        return 2 * recall / (recall + p_false + 1)

    for _ in range(trials):
        truth = np.arange(400) % 2 == 0
        luck = np.repeat(
            rng.random(200), 2
        )  # one draw a picture and model: answers about a picture go together
        before = np.where(truth, luck < p_before, rng.random(400) < p_false)
        after = np.where(truth, luck < p_after, rng.random(400) < p_false)
        estimate = f1_difference(PairedProbes(before, after, truth, GROUPS), Bootstrap(resamples=300))[2]
        hits += estimate.low <= f1(p_after) - f1(p_before) <= estimate.high
    assert 0.92 <= hits / trials <= 0.98

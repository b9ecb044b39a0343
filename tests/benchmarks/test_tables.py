"""What benchmarks of several arms share: their options, their table, what is recorded."""

from __future__ import annotations

import pytest

from benchmarks.harness import arguments
from benchmarks.scores import by_arm, recorded
from components.core.stats import Estimate

ARMS = ("plain", "hybrid")


def test_seeds_and_arms_are_lists():
    parser = arguments("About.", ARMS)
    given = parser.parse_args([])
    assert (given.seeds, given.arms) == ([0, 1, 2], ["plain", "hybrid"])
    given = parser.parse_args(["--seeds", "3", "--arms", "hybrid"])
    assert (given.seeds, given.arms) == ([3], ["hybrid"])
    few = arguments("About.", ARMS, chosen=["plain"], seeds="7").parse_args([])
    assert (few.seeds, few.arms) == ([7], ["plain"])


def test_an_arm_that_is_none_is_told(capsys):
    with pytest.raises(SystemExit):
        arguments("About.", ARMS).parse_args(["--arms", "plain,hybird"])
    assert "no such arm: hybird; of: plain, hybrid" in capsys.readouterr().err


def test_a_line_an_arm_in_percent_but_for_counts():
    estimates = {
        "plain": {"domain": Estimate(0.5, 0.4, 0.6, 9), "tokens": Estimate(7.25, 7.0, 7.5, 9)},
        "hybrid": {"domain": Estimate(0.75, 0.7, 0.8, 9), "tokens": Estimate(5.0, 4.5, 5.5, 9)},
    }
    assert by_arm(estimates, plain=("tokens",)).splitlines() == [
        "| arm | domain % | tokens |",
        "| --- | --- | --- |",
        "| plain | 50.0 [40.0, 60.0] | 7.25 [7.00, 7.50] |",
        "| hybrid | 75.0 [70.0, 80.0] | 5.00 [4.50, 5.50] |",
    ]
    assert recorded(estimates)["hybrid"]["domain"] == estimates["hybrid"]["domain"].to_json()
    assert by_arm({}) == "| arm |\n| --- |\n"[:-1]

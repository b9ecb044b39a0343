"""A built-in reward is one file: a toy one, laid beside the others, is scored, weighted and reported."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from components.core.stage.errors import ConfigError
from components.core.stage.report import Report
from components.core.stage.settings import parse_settings
from components.hybrid_rl import report, rewards
from components.hybrid_rl.config import Config
from components.hybrid_rl.rollouts.rollout import make_rollout
from components.hybrid_rl.scoring import Scorer, metrics

PROMPT = {
    "prompt_id": "p",
    "image_id": "i",
    "question": "How many?",
    "reference": "7",
    "answer_type": "number",
    "choices": [],
}
ONE = """
from components.hybrid_rl.rewards import Ramp, rollout_reward

@rollout_reward(weight=Ramp(end=0.5))
def how_glad(rollout, config):
    if rollout.response == "9":
        raise RuntimeError("no nine")
    return None if rollout.response == "8" else float(rollout.response.count("!"))
"""
WHOLE = """
from components.hybrid_rl.rewards import group_reward

@group_reward(weight=0.25)
def rank(group):
    return [float(place) for place, _ in enumerate(group.rollouts)]
"""


@pytest.fixture(autouse=True)
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "cheer.py").write_text(ONE)
    (tmp_path / "place.py").write_text(WHOLE)
    monkeypatch.setattr(rewards, "__path__", [*rewards.__path__, str(tmp_path)])
    monkeypatch.setattr(rewards, "_REGISTRY", dict(rewards._REGISTRY))
    yield
    for name in ("cheer", "place"):
        sys.modules.pop(f"{rewards.__name__}.{name}", None)


def scored(config: Config, *responses: str, progress: float = 1.0):
    scorer = Scorer(config)
    made = [make_rollout(PROMPT, response, [5, 1], frozenset({1})) for response in responses]
    return scorer.score(scorer.singles(made), progress)


def test_it_is_scored_weighted_and_reported(monkeypatch):
    config = Config(group_size=4, k=2, weights={"place": 0.0, "correctness": 0.0})
    found = scored(config, "7!!", "7!", "7", "8")
    assert found.rewards["cheer"][:3].tolist() == [2, 1, 0] and np.isnan(found.rewards["cheer"][3])
    assert found.rewards["place"].tolist() == [0, 1, 2, 3]
    assert (found.weights["cheer"], found.weights["place"]) == (0.5, 0.0)
    assert found.advantages[0] > found.advantages[1] > found.advantages[2]
    shown = metrics(found, 2)
    assert shown["reward_cheer"] == 1 and shown["signal_cheer"] > 0 and shown["signal_place"] == 0

    curves: list[str] = []
    monkeypatch.setattr(report, "_curve", lambda page, steps, names, caption: curves.extend(names))
    report.write_report(Report("hybrid_rl"), config, [], [], [{"step": 1, **shown}], [], None)
    assert {"reward_cheer", "signal_cheer", "reward_place", "signal_place"} <= set(curves)


def test_its_failure_is_counted_and_ends_nothing():
    found = scored(Config(group_size=2, k=1), "9", "7")
    assert found.errors == ["cheer: RuntimeError: no nine"] and found.scored.tolist() == [False, True]


def test_its_name_is_known_to_the_settings_and_a_wrong_one_is_not():
    assert Config(weights={"cheer": 0.3}).weights["cheer"] == 0.3
    assert Config().weights["cheer"] == rewards.Ramp(end=0.5)
    with pytest.raises(ConfigError, match=r"hybrid_rl\.weights: .*'cheeer'; did you mean 'cheer'"):
        parse_settings(Config, {"weights": {"cheeer": 1.0}}, "hybrid_rl")


def test_a_users_reward_cannot_take_its_name():
    with pytest.raises(ConfigError, match="names of their own"):
        parse_settings(Config, {"extra_rewards": [{"name": "cheer", "function": "m:f"}]}, "hybrid_rl")

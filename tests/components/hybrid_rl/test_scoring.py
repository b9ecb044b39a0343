from __future__ import annotations

import time

import numpy as np
import pytest

from components.core.stage.errors import ConfigError
from components.core.stage.settings import parse_settings
from components.hybrid_rl.config import Config
from components.hybrid_rl.rewards import Ramp, Rollout
from components.hybrid_rl.rewards.users import UserReward
from components.hybrid_rl.rollouts.rollout import make_rollout
from components.hybrid_rl.scoring import Scorer, metrics, weight_at
from components.hybrid_rl.settings import ExtraReward

PROMPT = {
    "prompt_id": "p",
    "image_id": "i",
    "question": "How many?",
    "reference": "7",
    "answer_type": "number",
    "choices": [],
}
END = frozenset({1})


def rollouts(*responses: str, prompt_id: str = "p") -> list[Rollout]:
    return [
        make_rollout({**PROMPT, "prompt_id": prompt_id}, r, [5] * len(r.split()) + [1], END)
        for r in responses
    ]


def config(**more) -> Config:
    return Config.model_validate({"group_size": 4, "k": 2, "max_completion_tokens": 32, **more})


def test_rollouts_carry_answer_length_and_truncation():
    made = make_rollout(PROMPT, "I count. Answer: 7", [5, 6, 1], END)
    assert (made.answer, made.tokens, made.truncated) == ("7", 3, False)
    assert make_rollout(PROMPT, "I count", [5, 6], END).truncated


def test_right_and_short_beats_right_and_long_beats_wrong():
    only = {"diversity": 0, "format": 0, "overlong": 0, "length": 0.3}
    scorer = Scorer(config(weights=only, advantage="pass_at_1"))
    scored = scorer.score(
        scorer.singles(rollouts("7", "after a long look the Answer: 7", "8", "nothing at all Answer: 9")), 0.5
    )
    advantage = scored.advantages
    assert advantage[0] > advantage[1] > advantage[2] > advantage[3]
    assert advantage.sum() == pytest.approx(0)
    assert scored.success == {"p": 0.5}
    shown = metrics(scored, 2)
    assert (
        shown["pass_at_1"] == 0.5
        and shown["pass_at_k"] == pytest.approx(1 - 1 / 6)
        and shown["distinct_clusters"] == 3
    )


def test_length_is_off_during_its_warm_up():
    scorer = Scorer(
        config(advantage="pass_at_1", weights={"length": {"start": 0, "end": 1, "begin": 0.5, "finish": 0.5}})
    )
    singles = scorer.singles(rollouts("7", "it is 7", "8", "it is 8"))
    early, late = (scorer.score(singles, p).advantages for p in (0.2, 0.8))
    assert early[0] == pytest.approx(early[1]) and late[0] > late[1]


def test_advantages_do_not_depend_on_how_groups_are_split_over_processes():
    scorer = Scorer(config())
    batch = rollouts("7", "8", "it is 7", "no", prompt_id="a") + rollouts(
        "7", "7", "9", "Answer: 7", prompt_id="b"
    )
    whole = scorer.score(scorer.singles(batch), 0.1).advantages
    split = scorer.singles(batch[:3]) + scorer.singles(batch[3:5]) + scorer.singles(batch[5:])
    np.testing.assert_array_equal(scorer.score(split, 0.1).advantages, whole)


def with_extra(module: str, name: str, timeout_s: float = 5.0) -> Scorer:
    extra = {"name": name, "function": f"{module}:{name}", "weight": 1.0, "timeout_s": timeout_s}
    return Scorer(config(advantage="pass_at_1", extra_rewards=[extra], weights={"format": 0, "length": 0}))


def test_user_reward_joins_as_a_component(my_rewards):
    scorer = with_extra(my_rewards, "brevity")
    scored = scorer.score(scorer.singles(rollouts("7", "it is 7", "8", "9")), 0.0)
    assert scored.advantages[0] > scored.advantages[1]
    assert scored.rewards["brevity"].tolist() == [-2, -4, -2, -2]


def test_raising_reward_makes_a_zero_weight_rollout_and_is_counted(my_rewards):
    scorer = with_extra(my_rewards, "fussy")
    scored = scorer.score(scorer.singles(rollouts("7", "8", "9", "it is 7")), 0.0)
    assert scored.advantages[1] == 0 and scored.advantages[0] > 0
    assert metrics(scored, 2)["unscored"] == 1
    assert scored.errors == ["fussy: RuntimeError: cannot read an eight"]
    assert np.isnan(scored.rewards["fussy"][2]) and scored.scored[2]


@pytest.mark.parametrize("name", ["slow", "stuck", "dies"])
def test_reward_that_never_returns_does_not_stop_training(my_rewards, name):
    """Asleep, holding the interpreter, or gone: the others are scored, now and in the next batch."""
    scorer = with_extra(my_rewards, name, timeout_s=3)
    for _ in range(2):
        started = time.monotonic()
        scored = scorer.score(scorer.singles(rollouts("7", "8", "9", "1")), 0.0)
        assert time.monotonic() - started < 15
        assert scored.scored.tolist() == [True, False, True, True]
        assert "not scored within 3 s" in scored.errors[0]
    scorer.close()


def test_non_finite_reward_is_a_failure(my_rewards):
    reward = UserReward(ExtraReward(name="mine", function=f"{my_rewards}:endless", timeout_s=5.0))
    (score,) = reward.score(rollouts("7"))
    assert np.isnan(score.value) and score.error == "returned inf, expected a finite number or None"


@pytest.mark.parametrize("path", ["no.such.module:f", "math:nothing", "math:pi"])
def test_unloadable_reward_is_a_configuration_error(path: str):
    with pytest.raises(ConfigError, match="extra_rewards.mine"):
        UserReward(ExtraReward(name="mine", function=path))


def test_loading_by_name():
    assert UserReward(ExtraReward(name="sqrt", function="math:sqrt")).weight == 0.1


def test_perception_compares_with_the_blank_answer():
    rows = [make_rollout({**PROMPT, "blank_answer": "8"}, r, [5, 1], END) for r in ("7", "8", "9", "")]
    scorer = Scorer(config())
    scored = scorer.score(scorer.singles(rows), 0.0)
    assert scored.rewards["perception"].tolist() == [1, -1, 0, 0]
    assert np.isnan(
        scorer.score(scorer.singles(rollouts("7", "8", "9", "1")), 0.0).rewards["perception"]
    ).all()


def test_pass_at_k_is_for_questions_that_cannot_be_guessed():
    """One right of four, k = 2: pass@k gives (1, -1/3), pass@1 gives (1.732, -0.577)."""
    only = {"format": 0, "overlong": 0, "length": 0, "diversity": 0}
    asked = {
        **PROMPT,
        "prompt_id": "lit",
        "question": "Is it on?",
        "reference": "yes",
        "answer_type": "yes_no",
    }
    told = [make_rollout(asked, said, [5, 1], END) for said in ("yes", "no", "no", "no")]
    scorer = Scorer(config(weights=only, batch_normalise=False, advantage="pass_at_k"))
    scored = scorer.score(scorer.singles([*rollouts("7", "8", "9", "1"), *told]), 0.0)
    assert scored.modes == ["pass_at_k", "pass_at_1"]
    assert scored.advantages[[0, 4]] == pytest.approx([1, 3**0.5])
    guessed = Scorer(config(weights=only, batch_normalise=False, advantage="pass_at_k", guessable=[]))
    assert guessed.score(guessed.singles(told), 0.0).advantages[0] == pytest.approx(1)


def test_the_switch_goes_by_steps_or_by_what_is_explored():
    """One right of four, k = 2: pass@k gives (1, -1/3), pass@1 gives (1.732, -0.577)."""
    only = {"format": 0, "overlong": 0, "length": 0, "diversity": 0}
    batch = rollouts("7", "8", "9", "1")

    def first(progress: float, explored: float, **more) -> float:
        scorer = Scorer(config(weights=only, batch_normalise=False, **more))
        scored = scorer.score(scorer.singles(batch), progress, explored)
        assert scored.advantages.sum() == pytest.approx(0)
        assert metrics(scored, 2)["exploring"] == (scored.modes == ["pass_at_k"])
        return float(scored.advantages[0])

    assert first(0.1, 0.9) == pytest.approx(1) and first(0.9, 0.1) == pytest.approx(3**0.5)
    by = {"switch_by": "explored"}
    assert first(0.1, 0.9, **by) == pytest.approx(3**0.5) and first(0.9, 0.1, **by) == pytest.approx(1)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"switch_by": "explored", "advantage": "pass_at_k"}, "pass_at_k_then_1"),
        ({"switch_by": "explored", "prompts": {"pass_rate_samples": 0}}, "pass_rate_samples"),
        ({"prompts": {"hard_share": 0.5, "pass_rate_samples": 0}}, "pass_rate_samples"),
        ({"prompts": {"hard_share": 0.6, "probe_share": 0.6}}, "must not exceed 1"),
        ({"prompts": {"hard_share": 0.6, "min_pass_rate": 0.4}}, "no question is hard"),
    ],
)
def test_what_cannot_be_explored_is_a_configuration_error(settings, says):
    with pytest.raises(ConfigError, match=says):
        parse_settings(Config, settings, "hybrid_rl")


def test_weight_ramp():
    ramp = Ramp(start=0.0, end=1.0, begin=0.2, finish=0.6)
    assert [weight_at(ramp, p) for p in (0.0, 0.2, 0.4, 0.6, 1.0)] == pytest.approx([0, 0, 0.5, 1, 1])
    assert weight_at(0.3, 0.9) == 0.3
    assert isinstance(Config().weights["length"], Ramp)

"""Every stage takes the settings of its arms, which differ from the demo's where the arm says so."""

from __future__ import annotations

import pytest

from benchmarks.demo import ablations
from benchmarks.rl import hybrid, rewards, teacher
from benchmarks.rl.questions import SMALL
from benchmarks.stages import demo_profile, laid_over
from benchmarks.training import alignment, forgetting, restoration
from components.core.stage.settings import stage_config
from components.curriculum_sft.config import Config as TrainingConfig
from components.hybrid_rl.config import Config as PolicyConfig
from components.voting_filter.ballot import Ballot, Vote
from components.voting_filter.config import Config as VotingConfig
from components.voting_filter.methods import dawid_skene, majority


@pytest.mark.parametrize("arm", ablations.ARMS)
@pytest.mark.parametrize("stage", ["ids_scoring", "qa_synthesis", "voting_filter"])
def test_an_ablation_changes_the_stages_it_names(arm: str, stage: str) -> None:
    config = stage_config(stage).model_validate(ablations.changed(arm, stage))
    shipped = stage_config(stage).model_validate(ablations.changed(ablations.SHIPPED, stage))
    assert (config != shipped) == (stage in ablations.ARMS[arm])


def test_even_allocation_asks_as_many_questions_of_each_picture() -> None:
    shipped = demo_profile().sections["ids_scoring"]["budget"]
    even = ablations.changed("even", "ids_scoring")["budget"]
    assert even["total"] == shipped["total"]
    assert even["n_max"] - even["n_min"] <= 1


def test_without_votes_every_item_is_kept() -> None:
    config = VotingConfig.model_validate(ablations.changed("votes", "voting_filter"))
    votes = tuple(Vote(voter.model, "9") for voter in config.voters)
    outvoted = Ballot(question="how many?", answers=("3",), answer_type="number", votes=votes)
    shipped = VotingConfig.model_validate(ablations.changed(ablations.SHIPPED, "voting_filter"))
    assert majority.decide([outvoted], config).decisions[0].reason == ""
    assert dawid_skene.decide([outvoted], shipped).decisions[0].reason == "out_voted"
    assert not config.blind_models()


@pytest.mark.parametrize("arm", ["recipe", "recipe + domain"])
def test_restorations_stages_take_their_settings(arm: str) -> None:
    first = TrainingConfig.model_validate(restoration.stage_1(3))
    assert (first.general_answers, first.domain_share, first.seed) == ("own", 0.7, 3)
    second = TrainingConfig.model_validate(restoration.stage_2(arm, 3, 5e-4, 60))
    assert (second.objective, second.max_steps, second.muon_learning_rate) == ("distill", 60, 1e-3)
    assert bool(second.distillation.supervised_samples) == (arm == "recipe + domain")


@pytest.mark.parametrize("arm", forgetting.ARMS)
def test_forgetting_trains_by_settings_that_exist(arm: str) -> None:
    assert TrainingConfig.model_validate(forgetting.settings(arm, 3, 1.0)).seed == 3


@pytest.mark.parametrize("arm", alignment.ARMS)
def test_alignment_trains_by_settings_that_exist(arm: str) -> None:
    assert TrainingConfig.model_validate(alignment.settings(arm, 3)).objective == "dpo"


@pytest.mark.parametrize("arm", hybrid.ABLATIONS)
def test_an_ablation_of_rewards_changes_one_thing(arm: str) -> None:
    config = PolicyConfig.model_validate(hybrid.settings(arm, 3, 1.0))
    shipped = PolicyConfig.model_validate(hybrid.settings("hybrid", 3, 1.0))
    changed = {name for name in PolicyConfig.model_fields if getattr(config, name) != getattr(shipped, name)}
    assert changed <= hybrid.ABLATIONS[arm].keys()


@pytest.mark.parametrize("arm", rewards.ARMS)
def test_a_reward_alone_trains_by_settings_that_exist(arm: str) -> None:
    assert PolicyConfig.model_validate(rewards.settings(arm, 3, SMALL)).max_steps == SMALL.steps


@pytest.mark.parametrize("arm", teacher.ARMS)
def test_a_teacher_s_arms_are_the_demo_s_settings_with_changes(arm: str) -> None:
    given = laid_over(demo_profile().sections["hybrid_rl"], teacher.ARMS[arm])
    given |= {"teacher": {"checkpoint": "teacher"}} if arm != "rl" else {}
    assert PolicyConfig.model_validate(given).objective == arm

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import TrainerState

from components.core.resume.shared_batches import SharedBatches
from components.core.resume.work_dir import WorkDir
from components.core.vlm import load_model, load_processor
from components.hybrid_rl.config import Config
from components.hybrid_rl.rollouts.pass_rates import RefreshPassRates, blanked, measure
from components.hybrid_rl.rollouts.prompts import Prompt, candidates, reserved, select, with_swaps
from components.hybrid_rl.rollouts.sampler import PromptSampler
from components.hybrid_rl.settings import Prompts


def qa(i: int, answer_type: str = "number", split: str = "train", answer: str = "7") -> dict:
    return {
        "qa_id": f"q{i:03d}",
        "image_id": f"i{i}",
        "split": split,
        "question": f"Question {i}?",
        "answer": answer,
        "answer_type": answer_type,
        "choices": ["red", "green"] if answer_type == "choice" else [],
        "difficulty": i / 1000,
    }


def prompt(name: str, rate: float, difficulty: float = 0.0) -> Prompt:
    return Prompt(
        prompt_id=name,
        image_id="i",
        question="q",
        answers=("7",),
        answer_type="number",
        difficulty=difficulty,
        pass_rate=rate,
    )


def test_candidates_are_training_questions_evenly_over_types():
    rows = (
        [qa(i) for i in range(40)]
        + [qa(i, "choice") for i in range(40, 45)]
        + [qa(i, split="heldout") for i in range(50, 60)]
    )
    rows.append(qa(70, answer=" "))
    chosen = candidates(rows, 20, seed=0)
    assert Counter(p.answer_type for p in chosen) == {"number": 15, "choice": 5}
    assert not {p.prompt_id for p in chosen} & {f"q{i:03d}" for i in (*range(50, 60), 70)}
    assert candidates(rows[::-1], 20, seed=0) == chosen
    assert candidates(rows, 20, seed=1) != chosen
    assert next(p for p in chosen if p.choices).question.splitlines()[1:] == ["A. red", "B. green"]


def test_yes_and_no_are_asked_equally_often():
    rows = [qa(i, "yes_no", answer="yes") for i in range(30)] + [
        qa(i, "yes_no", answer="No.") for i in range(30, 36)
    ]
    chosen = candidates(rows, 12, seed=0)
    assert Counter(p.reference for p in chosen) == {"yes": 6, "No.": 6}


def test_only_the_wanted_answer_types_are_drawn():
    rows = [qa(0), qa(1, "yes_no", answer="yes"), qa(2, "choice", answer="A")]
    assert [p.answer_type for p in candidates(rows, 9, seed=0, answer_types=["number", "choice"])] == [
        "number",
        "choice",
    ]


def test_only_prompts_between_never_and_always_remain():
    rated = [prompt("a", 0.0), prompt("b", 0.25), prompt("c", 1.0), prompt("d", 0.9), prompt("e", -1.0)]
    assert [p.prompt_id for p in select(rated, Prompts(), 1)] == ["b", "d", "e"]
    assert [p.prompt_id for p in select(rated, Prompts(min_pass_rate=0.2, max_pass_rate=0.8), 1)] == [
        "b",
        "e",
    ]


def test_too_few_prompts_are_filled_up_or_not():
    rated = [prompt("a", 0.0), prompt("b", 0.1), prompt("c", 0.5), prompt("d", 0.95)]
    narrow = Prompts(min_pass_rate=0.3, max_pass_rate=0.7)
    assert [p.prompt_id for p in select(rated, narrow, 3)] == ["b", "c", "d"]
    assert [p.prompt_id for p in select(rated, narrow.model_copy(update={"on_too_few": "fail"}), 3)] == ["c"]


def test_what_remains_asks_for_no_as_often_as_for_yes():
    def polar(name: str, reference: str, rate: float) -> Prompt:
        return replace(prompt(name, rate), answers=(reference,), answer_type="yes_no")

    rated = [polar("a", "yes", 0.9), polar("b", "no", 0.1), polar("c", "no", 0.4), polar("d", "no", 1.0)]
    rated += [prompt("e", 0.5), polar("f", "no", 0.2)]
    # One "yes" remains, so one "no" may: the one that is least sure.
    assert [p.prompt_id for p in select(rated, Prompts(), 1)] == ["a", "c", "e"]
    assert [p.prompt_id for p in select([rated[1], prompt("e", 0.5)], Prompts(), 1)] == ["e"]


def about(name: str, picture: str, answer: str, question: str = "Is it on?", **more) -> Prompt:
    return replace(
        prompt(name, 0.5),
        image_id=picture,
        question=question,
        answers=(answer,),
        answer_type="yes_no",
        **more,
    )


def test_pictures_are_swapped_for_one_that_is_answered_otherwise():
    asked = [about("a", "1", "yes"), about("b", "2", "yes"), about("c", "3", "no"), about("d", "1", "no")]
    asked += [about("e", "4", "no", "Is it off?"), prompt("f", 0.5)]
    swapped = {p.prompt_id: p.swap_image_id for p in with_swaps(asked)}
    assert swapped["b"] in ("1", "3") and swapped["a"] == "3" and swapped["c"] in ("1", "2")
    assert swapped["d"] == "2"  # "yes" about picture 1 itself is no other picture
    assert swapped["e"] in ("1", "2", "3")  # nobody else is asked this: any picture with a yes/no question
    assert swapped["f"] == ""  # the one number
    assert {p.prompt_id: p.swap_image_id for p in with_swaps(asked[::-1])} == swapped


def test_probes_are_yes_no_questions_about_existence():
    rows = [qa(0, "yes_no", answer="no") | {"skills": ["existence"]}, qa(1, "yes_no", answer="no")]
    rows.append(qa(2) | {"skills": ["existence"]})
    assert [p.probe for p in candidates(rows, 9, seed=0)] == [True, False, False]


def test_parts_of_a_draw_are_kept_for_hard_questions_and_for_probes():
    rated = [prompt("never", 0.0), prompt("seldom", 0.125), prompt("often", 0.3), prompt("unknown", -1.0)]
    rated += [about("on", "1", "yes", probe=True), about("off", "1", "no", probe=True), about("g", "2", "no")]
    assert reserved(rated, Prompts()) == []
    assert reserved(rated, Prompts(hard_share=0.5, probe_share=0.2)) == [
        (0.5, ["seldom"]),
        (0.1, ["off"]),
        (0.1, ["on"]),
    ]


def test_hardness_goes_by_measured_failure_then_by_votes():
    assert prompt("a", 0.9).hardness < prompt("b", 0.1).hardness
    assert prompt("a", 0.5, 0.1).hardness < prompt("b", 0.5, 0.3).hardness
    assert prompt("a", -1.0, 0.4).hardness == 0.4


class Pictures:
    def __init__(self, pictures: list[bytes]) -> None:
        self.pictures = pictures

    def get(self, image_id: str) -> bytes:
        return self.pictures[int(image_id)]


def test_interrupted_measurement_goes_on_where_it_was(tiny_checkpoint, coloured_pictures, tmp_path):
    model, processor = load_model(tiny_checkpoint, "float32"), load_processor(tiny_checkpoint)
    asked = [
        replace(
            prompt(f"p{i}", -1.0, 0.1),
            image_id=str(i),
            question="How many shapes?",
            swap_image_id=str(i + 1) if i < 5 else "",
        )
        for i in range(6)
    ]
    config = Config.model_validate(
        {
            "max_completion_tokens": 8,
            "weights": {"perception": 0.1},
            "prompts": {"pass_rate_samples": 4, "pass_rate_batch_size": 8},
        }
    )
    done: list[int] = []

    def run(work: WorkDir, prompts: list[Prompt]) -> list[Prompt]:
        pictures, divided = Pictures(coloured_pictures), SharedBatches(work, "rates")
        return measure(prompts, model, processor, pictures, config, divided, done.append)

    whole = run(WorkDir(tmp_path / "whole"), asked)
    assert sum(done) == 6 and all(0 <= p.pass_rate <= 1 and p.blank_answer is not None for p in whole)
    assert [p.swapped_answer is None for p in whole] == [False] * 5 + [True]
    assert all(1 <= p.start_tokens <= 8 for p in whole)
    killed = WorkDir(tmp_path / "part")
    run(killed, asked[:2])  # the first batch, then the process dies
    assert len(killed.journal("rates")) == 2
    assert run(WorkDir(tmp_path / "part"), asked) == whole


def test_what_the_starting_policy_answered_stays(tiny_checkpoint, coloured_pictures, tmp_path):
    model, processor = load_model(tiny_checkpoint, "float32"), load_processor(tiny_checkpoint)
    asked = replace(prompt("p", -1.0), image_id="0", question="How many shapes?")
    known = [replace(asked, blank_answer="as before", start_tokens=99.0)]
    config = Config.model_validate({"max_completion_tokens": 8, "weights": {"perception": 0.1}})
    pictures, divided = Pictures(coloured_pictures), SharedBatches(WorkDir(tmp_path), "again")
    again = measure(known, model, processor, pictures, config, divided)
    assert again[0].blank_answer == "as before" and again[0].start_tokens == 99.0
    assert again[0].pass_rate >= 0


def test_blanked_picture_keeps_its_size(coloured_pictures):
    grey = blanked(coloured_pictures[2])
    assert grey.size == (64, 48) and len(set(grey.tobytes())) == 1


def sampler(n: int = 20, **settings) -> PromptSampler:
    return PromptSampler(
        [f"p{i}" for i in range(n)], [i / n for i in range(n)], Prompts(**settings), generations=10, seed=3
    )


def test_curriculum_opens_easy_questions_first():
    s = sampler(curriculum_start=0.25, curriculum_finish=0.5)
    first = s.draw(4)
    assert set(first) <= set(range(5)) and len(set(first)) == 4
    for _ in range(5):
        s.draw(4)
    assert s.open_questions() == 20


def test_small_pools_repeat_questions_rather_than_fail():
    s = sampler(n=2)
    assert len(s.draw(5)) == 5


def test_failed_questions_come_back_more_often():
    s = sampler(n=4, curriculum_start=1.0, priority_floor=0.1)
    counts: Counter[int] = Counter()
    for _ in range(400):
        drawn = s.draw(1)
        counts.update(drawn)
        s.observe({s.ids[i]: 0.0 if i == 0 else 1.0 for i in drawn})
    assert counts[0] > 2 * max(counts[i] for i in (1, 2, 3)) and min(counts.values()) > 0


def test_running_success_decays():
    s = sampler(n=1, success_decay=0.5)
    for rate in (1.0, 0.0):
        s.draw(1)
        s.observe({"p0": rate})
    assert s.success[0] == 0.5


def test_state_goes_through_json_and_continues_exactly(tmp_path):
    a, b = sampler(), sampler()
    for s in (a, b):
        s.draw(3)
        s.draw(3)
    first = a.pending()[0]
    for s in (a, b):
        s.observe({s.ids[i]: 0.5 for i in first})
    c = sampler()
    b.save(tmp_path)
    c.restore(tmp_path)
    assert c.pending() == a.pending()
    assert [c.draw(3) for _ in range(5)] == [a.draw(3) for _ in range(5)]


def test_state_comes_back_from_a_checkpoint(tmp_path):
    first, second = sampler(), sampler()
    first.draw(2)
    first.save(tmp_path)
    second.restore(tmp_path)
    assert second.pending() == first.pending() and second.draw(2) == first.draw(2)


def test_closed_questions_are_not_drawn_until_they_are_opened_again(tmp_path):
    s = sampler(n=6, curriculum_start=1.0)
    rates = {f"p{i}": i / 6 for i in range(6)}
    s.refresh(rates, [1 - rate for rate in rates.values()], kept=["p1", "p4"])
    assert s.open_questions() == 2 and set(s.draw(2)) == {1, 4}
    again = sampler(n=6, curriculum_start=1.0)
    s.save(tmp_path)
    again.restore(tmp_path)
    assert set(again.draw(2)) == {1, 4}
    s.refresh(rates, [1 - rate for rate in rates.values()], kept=list(rates))
    assert len(set(s.draw(6))) == 6


def test_refreshed_rates_close_what_the_policy_always_or_never_solves():
    asked = [prompt(f"p{i}", 0.5) for i in range(4)]
    s = PromptSampler([p.prompt_id for p in asked], [0.5] * 4, Prompts(curriculum_start=1.0), 10, seed=0)
    now = {"p0": 0.0, "p1": 0.3, "p2": 1.0, "p3": 0.6}
    told: list[int] = []

    def measured(step: int, prompts):
        told.append(step)
        return [replace(p, pass_rate=now[p.prompt_id]) for p in prompts]

    callback = RefreshPassRates(s, asked, every=5, measure=measured, at_least=2)
    for step in (4, 5, 10):
        callback.on_step_end(None, TrainerState(global_step=step, max_steps=10), None)
    assert told == [5] and set(s.draw(2)) == {1, 3}
    assert s.success.tolist() == [0.0, 0.3, 1.0, 0.6]


def hard_sampler(share: float, hard: int, count: int = 40) -> PromptSampler:
    ids = [f"p{i}" for i in range(count)]
    parts = [(share, ids[-hard:] if hard else [])]  # the hardest, which the curriculum has not opened
    return PromptSampler(
        ids, [i / count for i in range(count)], Prompts(curriculum_start=0.25), 50, 3, reserved=parts
    )


@given(st.floats(0, 1), st.integers(1, 12), st.integers(1, 8))
def test_a_reserved_part_of_all_draws_is_its_share(share, count, draws):
    s = hard_sampler(share, 15)
    drawn = [s.draw(count) for _ in range(draws)]
    assert all(len(set(own)) == count for own in drawn)
    # The draws' parts differ by one question at most, and add up to the share of all.
    hard = [sum(i >= 25 for i in own[: int(share * count) + 1]) for own in drawn]
    assert all(int(share * count) <= found <= int(share * count) + 1 for found in hard)
    assert sum(hard) >= int(share * count * draws + 1e-9)


def test_too_few_hard_questions_leave_their_part_to_the_others():
    assert len(set(hard_sampler(0.5, 2).draw(8))) == 8
    assert len(set(hard_sampler(0.5, 0).draw(8))) == 8
    assert len(hard_sampler(1.0, 40).draw(50)) == 50


def test_what_is_explored_goes_by_the_hard_questions_that_are_left(tmp_path):
    """Rates 0.1 and 0.2 are to explore, 0 and 0.5 are not. 0.5 * 0.1 + 0.5 * 0.9 = 0.5: half is done."""

    def fresh() -> PromptSampler:
        settings = Prompts(curriculum_start=1.0)
        return PromptSampler(["a", "b", "c", "d"], [0.5] * 4, settings, 10, 0, rates=[0.1, 0.2, 0.0, 0.5])

    def settle(s: PromptSampler, rates: dict[str, float]) -> None:
        drawn = [s.ids[i] for i in s.draw(4)]
        s.observe({key: rates[key] for key in drawn})

    s = fresh()
    assert s.explored() == 0.0
    settle(s, {"a": 0.9, "b": 0.2, "c": 0.0, "d": 0.5})
    assert s.explored() == 0.5
    s.save(tmp_path)
    again = fresh()
    again.restore(tmp_path)
    assert again.explored() == 0.5
    for one in (s, again):
        settle(one, {"a": 0.9, "b": 0.0, "c": 0.125, "d": 0.5})  # c was found: there is more to explore again
    assert s.explored() == again.explored() == 0.0
    s.refresh({"a": 1.0, "b": 0.6, "c": 0.4, "d": 0.5}, [0.5] * 4, ["a", "b"], [(0.5, ["b"])])
    assert s.explored() == 1.0
    s.save(tmp_path)
    again.restore(tmp_path)
    assert [s.draw(2) for _ in range(4)] == [again.draw(2) for _ in range(4)]


def test_without_hard_questions_everything_is_explored():
    assert sampler().explored() == 1.0


def test_rollouts_of_other_questions_are_refused(tmp_path):
    s = sampler()
    s.draw(2)
    with pytest.raises(ValueError, match="oldest draw"):
        s.observe({"unknown": 1.0})
    s.save(tmp_path)
    with pytest.raises(ValueError, match="another set"):
        sampler(n=3).restore(tmp_path)

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from components.hybrid_rl.teacher.advantages import beside_rewards, counted, teacher_advantages

logits = st.lists(st.floats(-6, 6), min_size=5, max_size=5)


def row(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


def test_a_token_that_the_teacher_likes_better_is_raised():
    """log 0.5 - log 0.25 = log 2 = 0.6931; the second token the other way round; the third is padding."""
    student, teacher = row(math.log(0.25), math.log(0.5), -3), row(math.log(0.5), math.log(0.25), -9)
    found = teacher_advantages(student, teacher, torch.tensor([[1, 1, 0]]))
    assert found.tolist()[0] == pytest.approx([0.693147, -0.693147, 0], abs=1e-6)


def test_a_token_without_a_teachers_number_carries_nothing():
    student, teacher = row(-1, -2), row(math.nan, -2.5)
    mask = torch.ones(1, 2)
    assert teacher_advantages(student, teacher, mask).tolist() == [[0.0, -0.5]]
    assert counted(teacher, mask).tolist() == [[False, True]]


@given(logits, logits)
def test_the_mean_under_the_student_is_minus_the_reverse_kl(ours, theirs):
    """Σ_y π(y) A(y) = -KL(π ‖ teacher), which is never above 0 and 0 for equal distributions."""
    student, teacher = (torch.log_softmax(torch.tensor(x, dtype=torch.float64), 0) for x in (ours, theirs))
    every = teacher_advantages(student[None], teacher[None], torch.ones(1, 5))[0]
    mean = float((student.exp() * every).sum())
    kl = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=student), torch.distributions.Categorical(logits=teacher)
    )
    assert mean == pytest.approx(-float(kl), abs=1e-9) and mean <= 1e-12
    same = teacher_advantages(student[None], student[None], torch.ones(1, 5))
    assert (same == 0).all()


@given(logits, logits)
def test_the_update_is_the_gradient_of_the_reverse_kl(ours, theirs):
    """Σ_y π(y) A(y) ∇log π(y) = -∇KL(π ‖ teacher): discount 0 and no baseline lose nothing in the mean."""
    free = torch.tensor(ours, dtype=torch.float64, requires_grad=True)
    student, teacher = torch.log_softmax(free, 0), torch.log_softmax(torch.tensor(theirs).double(), 0)
    advantages = teacher_advantages(student[None], teacher[None], torch.ones(1, 5))[0]
    taught = (student.exp().detach() * advantages * student).sum()
    (by_advantage,) = torch.autograd.grad(taught, free, retain_graph=True)
    (by_kl,) = torch.autograd.grad((student.exp() * (student - teacher)).sum(), free)
    torch.testing.assert_close(by_advantage, -by_kl, atol=1e-9, rtol=1e-7)


@given(st.floats(0.01, 10))
def test_beside_rewards_both_add_up(weight):
    found = beside_rewards(torch.tensor([1.0, -2.0]), torch.tensor([[0.5, 0.0], [1.0, -1.0]]), weight)
    expected = torch.tensor([[1 + 0.5 * weight, 1], [-2 + weight, -2 - weight]])
    torch.testing.assert_close(found, expected)

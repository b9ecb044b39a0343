"""Muon in float32 makes nearly orthogonal updates, and is torch's Muon but for the rounding."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core.training import muon
from components.core.training.muon import Muon, orthogonalised

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 24), columns=st.integers(1, 24), seed=st.integers(0, 2**16))
def test_singular_values_are_near_one(rows, columns, seed):
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    # Directions far below the largest do not reach one in five iterations; they are not asked of it.
    values = torch.linalg.svdvals(matrix)
    if values.min() < 0.05 * values.max():
        return
    found = torch.linalg.svdvals(orthogonalised(matrix, COEFFICIENTS, 5, 1e-7))
    assert found.min() > 0.5
    assert found.max() < 1.3


def test_singular_vectors_stay():
    """The polynomial is odd, so X = U S Vᵀ becomes U p(S) Vᵀ: UᵀXV stays diagonal."""
    matrix = torch.randn(6, 9, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    turned = u.T @ orthogonalised(matrix, COEFFICIENTS, 5, 1e-7) @ v.T
    assert (turned - torch.diag(torch.diagonal(turned))).abs().max() < 1e-4


@pytest.mark.parametrize("shape", [(24, 24), (24, 64), (64, 24)])
@pytest.mark.parametrize("decay", [0.0, 0.1, 1.0])
def test_is_the_iteration_in_float64_but_for_rounding(shape, decay):
    """Also on the Gram matrix, and where singular values fall by up to `decay` decades each."""
    draws = torch.Generator().manual_seed(0)
    u, s, v = torch.linalg.svd(torch.randn(shape, generator=draws, dtype=torch.float64), full_matrices=False)
    matrix = u @ torch.diag(10 ** (-decay * torch.arange(len(s), dtype=torch.float64))) @ v
    a, b, c = COEFFICIENTS
    expected = matrix / matrix.norm()
    for _ in range(5):
        gram = expected @ expected.T
        expected = a * expected + (b * gram + c * gram @ gram) @ expected
    found = orthogonalised(matrix.float(), COEFFICIENTS, 5, 1e-7)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-5)


def test_matrices_together_step_as_each_alone(monkeypatch):
    """Of one shape, turned, in stacks, and more than one stack holds."""
    monkeypatch.setattr(muon, "STACK_NUMBERS", 3 * 4 * 12)
    shapes = [(4, 12), (12, 4), (2, 4, 12), (4, 12), (8, 8), (5, 12, 4)]
    draws = torch.Generator().manual_seed(0)
    together = [torch.nn.Parameter(torch.randn(shape, generator=draws)) for shape in shapes]
    alone = copy.deepcopy(together)
    optimizers = [Muon(together, lr=0.1), *(Muon([one], lr=0.1) for one in alone)]
    for _ in range(3):
        for one, other in zip(together, alone, strict=True):
            one.grad = torch.randn(one.shape, generator=draws)
            other.grad = one.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_a_matrix_of_zeros_gives_zeros():
    assert orthogonalised(torch.zeros(3, 5), COEFFICIENTS, 5, 1e-7).abs().max() == 0


@pytest.mark.parametrize("rule", ["match_rms_adamw", "original", None])
@pytest.mark.parametrize("shape", [(8, 8), (4, 12), (12, 4)])
def test_steps_are_those_of_torch_but_for_rounding(rule, shape):
    torch.manual_seed(0)
    ours = torch.nn.Parameter(torch.randn(shape))
    theirs = copy.deepcopy(ours)
    one = Muon([ours], lr=0.02, weight_decay=0.1, adjust_lr_fn=rule)
    other = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1, adjust_lr_fn=rule)
    start = ours.detach().clone()
    for step in range(3):
        grad = torch.randn(shape, generator=torch.Generator().manual_seed(step))
        ours.grad, theirs.grad = grad.clone(), grad.clone()
        one.step()
        other.step()
    moved = (theirs - start).norm()
    assert (ours - theirs).norm() < 0.02 * moved  # bfloat16 keeps 8 bits
    assert one.state_dict()["state"].keys() == other.state_dict()["state"].keys()


def test_states_continue():
    torch.manual_seed(0)
    whole, halves = (torch.nn.Parameter(torch.ones(4, 6)) for _ in range(2))
    grads = [torch.randn(4, 6) for _ in range(4)]
    one, first = Muon([whole], lr=0.1), Muon([halves], lr=0.1)
    for place, grad in enumerate(grads):
        if place == 2:
            second = Muon([halves], lr=0.1)
            second.load_state_dict(first.state_dict())
            first = second
        whole.grad, halves.grad = grad.clone(), grad.clone()
        one.step()
        first.step()
    assert torch.equal(whole, halves)

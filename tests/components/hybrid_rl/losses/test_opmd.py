from __future__ import annotations

import pytest
import torch

from components.hybrid_rl.losses.opmd import opmd_loss


def test_value_by_hand():
    """Two responses of two tokens, the second token of the second masked.

    log pi: -1.5 and -0.5; log ratios: 0.5 and 0.1; advantages 1 and -1; tau 0.2:
    (1.5 + 0.1 * 0.25 - 0.5 + 0.1 * 0.01) / 2 = 0.513.
    """
    logps = torch.tensor([[-1.0, -0.5], [-0.5, -9.0]])
    reference = torch.tensor([[-1.3, -0.7], [-0.6, -1.0]])
    mask = torch.tensor([[1, 1], [1, 0]])
    loss = opmd_loss(logps, reference, mask, torch.tensor([1.0, -1.0]), tau=0.2)
    assert loss.item() == pytest.approx(0.513)


def test_gradient_is_the_papers():
    """Of a softmax policy over five tokens: mean of -(A - tau * log ratio) * grad log pi."""
    torch.manual_seed(0)
    scores = torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True)
    tokens = torch.randint(5, (3, 4))
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]])
    advantages, tau = torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64), 0.3

    def logps() -> torch.Tensor:
        return torch.log_softmax(scores, dim=-1).gather(2, tokens[..., None])[..., 0]

    reference = logps().detach() + 0.1 * torch.randn(3, 4, dtype=torch.float64)
    (found,) = torch.autograd.grad(opmd_loss(logps(), reference, mask, advantages, tau), scores)
    expected = torch.zeros_like(scores)
    for b in range(3):
        (direction,) = torch.autograd.grad((logps()[b] * mask[b]).sum(), scores)
        ratio = ((logps() - reference)[b] * mask[b]).sum().detach()
        expected -= (advantages[b] - tau * ratio) * direction / 3
    torch.testing.assert_close(found, expected)


def test_on_policy_it_is_the_plain_policy_gradient():
    logps = torch.full((2, 3), -1.0, requires_grad=True)
    (grad,) = torch.autograd.grad(
        opmd_loss(logps, logps.detach(), torch.ones(2, 3), torch.tensor([2.0, -2.0]), tau=5.0), logps
    )
    torch.testing.assert_close(grad, torch.tensor([[-1.0] * 3, [1.0] * 3]))

"""Advantages from a teacher: the per-token reverse KL divergence on the student's own samples.

Source: Thinking Machines, "On-Policy Distillation" (2025); MiniLLM (arXiv 2306.08543). A sampled token's
advantage is

    A_t = -(log pi_student(y_t) - log pi_teacher(y_t))

with a discount of 0: a token answers for itself alone, not for what follows. Under the student's own samples
the mean of -A_t is the reverse KL divergence. Shapes: B responses, T tokens.
"""

from __future__ import annotations

import torch


def teacher_advantages(
    student_BT: torch.Tensor, teacher_BT: torch.Tensor, mask_BT: torch.Tensor
) -> torch.Tensor:
    """Advantage of every token, shape (B, T), without gradient; 0 where the token does not count.

    Args:
        student_BT: log-probabilities under the policy that sampled.
        teacher_BT: the same tokens' under the teacher; NaN where it gave none.
        mask_BT: 1 on the tokens that count.
    """
    advantages = teacher_BT.to(student_BT.dtype) - student_BT.detach()
    return torch.where(counted(teacher_BT, mask_BT), advantages, torch.zeros_like(advantages))


def counted(teacher_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    """The tokens that count and that the teacher gave a probability, shape (B, T)."""
    return mask_BT.bool() & ~teacher_BT.isnan()


def beside_rewards(rewards_B: torch.Tensor, teacher_BT: torch.Tensor, weight: float) -> torch.Tensor:
    """A response's advantage from rewards on each token, plus `weight` times the teacher's, (B, T)."""
    return rewards_B[:, None].to(teacher_BT.dtype) + weight * teacher_BT

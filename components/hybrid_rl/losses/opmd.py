"""Online policy mirror descent (OPMD), the loss of Kimi k1.5 (arXiv 2501.12599, section 2.3.2).

A squared log ratio to the policy that generated holds the policy near, in place of a clipped ratio.
Shapes: B responses, T tokens.
"""

from __future__ import annotations

import torch


def opmd_loss(
    logps_BT: torch.Tensor,
    reference_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    advantages_B: torch.Tensor,
    tau: float,
) -> torch.Tensor:
    """Mean over responses of -A log pi(y) + tau/2 (log pi(y) - log pi_ref(y))^2; log pi(y) sums tokens.

    Args:
        logps_BT: log-probabilities of the response tokens under the policy, with gradient.
        reference_BT: the same under the policy that generated, without.
        mask_BT: 1 on the tokens that count; a response without any adds nothing.
        advantages_B: of each response.
        tau: weight of the squared log ratio.

    Returns:
        A scalar.
    """
    response_B = (logps_BT * mask_BT).sum(dim=1)
    ratio_B = ((logps_BT - reference_BT) * mask_BT).sum(dim=1)
    loss: torch.Tensor = (-advantages_B * response_B + 0.5 * tau * ratio_B**2).mean()
    return loss

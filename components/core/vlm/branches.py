"""Questions that share their pictures in one row, none of which sees another.

Every token has a branch. 0 is what all questions share: pictures, a system prompt. 1, 2, ... are questions
with their answers. A token of -1 sees itself alone. A branch sees branch 0 and itself, and its positions
follow branch 0. So its logits are those of a conversation of one question.

Shapes: B rows, T tokens.
"""

from __future__ import annotations

import torch

SHARED, UNSEEN = 0, -1


def branch_mask(branches_BT: torch.Tensor) -> torch.Tensor:
    """Which token sees which: bool, (B, 1, T, T), as torch's sdpa takes it."""
    same = branches_BT[:, :, None] == branches_BT[:, None, :]
    seen = (same & (branches_BT != UNSEEN)[:, :, None]) | (branches_BT == SHARED)[:, None, :]
    seen &= (branches_BT != UNSEEN)[:, :, None]
    itself = torch.eye(branches_BT.shape[1], dtype=torch.bool, device=branches_BT.device)
    return (seen.tril() | itself)[:, None]


def branch_positions(rotary_3BT: torch.Tensor, branches_BT: torch.Tensor) -> torch.Tensor:
    """Rotary positions, (3, B, T), of rows whose ordinary positions are `rotary_3BT`.

    Every branch starts where the first one does. Tokens in a branch are text: their three positions agree.
    """
    place = torch.arange(branches_BT.shape[1], device=branches_BT.device).expand_as(branches_BT)
    new = torch.ones_like(branches_BT, dtype=torch.bool)
    new[:, 1:] = branches_BT[:, 1:] != branches_BT[:, :-1]
    begins = torch.where(new, place, 0).cummax(dim=1).values
    first = (branches_BT == 1).int().argmax(dim=1)
    start_B = rotary_3BT[0].gather(1, first[:, None])
    return torch.where(branches_BT == SHARED, rotary_3BT, start_B + place - begins)

"""Muon for matrices, AdamW for the rest, as one optimizer that a trainer can schedule, save and resume.

Muon (K. Jordan, 2024) orthogonalises the momentum of every weight matrix by Newton-Schulz iterations; with weight
decay and updates scaled to AdamW's root mean square, one learning rate serves both (arXiv 2502.16982, as Kimi-VL uses
it, arXiv 2504.07491). torch has Muon for matrices alone; this joins it with AdamW.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer

BETAS = (0.9, 0.95)
# Tables that are looked up and the output head are matrices by shape only: AdamW's, as in Muon's own recipe.
_NOT_MATRICES = ("embed_tokens", "pos_embed", "lm_head")


def takes_muon(name: str, parameter: nn.Parameter) -> bool:
    """Whether a parameter is a weight matrix in Muon's sense."""
    return parameter.ndim == 2 and not any(part in name for part in _NOT_MATRICES)


class MuonAdamW(Optimizer):
    """Muon on weight matrices and AdamW on everything else.

    Args:
        model: parameters without gradient are left out.
        learning_rate: peak learning rate of AdamW.
        muon_learning_rate: peak learning rate of Muon; 0 means the same.
        weight_decay: decoupled decay; for AdamW on tensors of two or more dimensions only.
    """

    def __init__(
        self, model: nn.Module, learning_rate: float, muon_learning_rate: float, weight_decay: float
    ) -> None:
        trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        matrices = [p for name, p in trained if takes_muon(name, p)]
        rest = [p for name, p in trained if not takes_muon(name, p)]
        groups = [
            {"params": [p for p in rest if p.ndim >= 2], "weight_decay": weight_decay},
            {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
        ]
        self._parts: list[Optimizer] = []
        if matrices:
            muon_lr = muon_learning_rate or learning_rate
            self._parts.append(
                Muon(matrices, lr=muon_lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
            )
        groups = [group for group in groups if group["params"]]
        if groups:
            self._parts.append(AdamW(groups, lr=learning_rate, betas=BETAS))
        super().__init__([group for part in self._parts for group in part.param_groups], {})
        self._link()

    def _link(self) -> None:
        """Share the parts' parameter groups, so that a scheduler that sets a group's rate sets the part's."""
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of every parameter."""
        loss = closure() if closure is not None else None
        for part in self._parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The parts' states, in order."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._link()

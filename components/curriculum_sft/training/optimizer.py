"""AdamW, or Muon with AdamW, by parts of the model, as one optimizer to schedule, save and resume.

Muon (Jordan, 2024) orthogonalises the momentum of every weight matrix by Newton-Schulz iterations. Weight
decay and updates scaled to AdamW's root mean square let one learning rate serve both (arXiv 2502.16982;
Kimi-VL, arXiv 2504.07491). torch has Muon for matrices alone; this joins it with AdamW.

Several processes shard the states as in ZeRO-1 (arXiv 1910.02054, section 5.1) by torch's
`ZeroRedundancyOptimizer`. Each rank holds and updates its share of the parameters, even by size, and sends
them to the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import distributed, nn
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.optim import AdamW, Optimizer

from components.core.training.muon import Muon
from components.core.vlm.families import family_of
from components.curriculum_sft.config import Config, Part, PartRates

BETAS = (0.9, 0.95)
# Tables that are looked up and the output head are matrices by shape only: AdamW's, as in Muon's own recipe.
_NOT_MATRICES = ("embed_tokens", "pos_embed", "position_embedding", "lm_head")

Named = Sequence[tuple[str, nn.Parameter]]


def parts_of(model: nn.Module) -> Callable[[str], Part]:
    """The part that a parameter belongs to, by its name; a model of no family is all language."""
    return family_of(model).part_of if hasattr(model, "config") else lambda name: "language"


def takes_muon(name: str, parameter: nn.Parameter, experts: Sequence[str] = ()) -> bool:
    """Whether a parameter is a weight matrix in Muon's sense, or a stack of experts' matrices."""
    if parameter.ndim == 3:
        return name.endswith(tuple(experts))
    return parameter.ndim == 2 and not any(part in name for part in _NOT_MATRICES)


def optimizer_for(model: nn.Module, config: Config) -> Optimizer | None:
    """The optimizer of the settings; None for the trainer's own AdamW."""
    if config.optimizer == "muon":
        return MuonAdamW(
            model, config.learning_rate, config.muon_learning_rate, config.weight_decay, config.learning_rates
        )
    if config.learning_rates == PartRates():
        return None
    rates = (config.learning_rate, config.weight_decay, config.learning_rates)
    groups = adamw_groups(_trained(model), parts_of(model), *rates)
    return AdamW(groups, lr=config.learning_rate)


def adamw_groups(
    named: Named,
    part_of: Callable[[str], Part],
    learning_rate: float,
    weight_decay: float,
    rates: PartRates,
) -> list[dict[str, Any]]:
    """Parameter groups of one rate and one decay; tensors of fewer than two dimensions do not decay."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in named:
        decay = weight_decay if parameter.ndim >= 2 else 0.0
        groups.setdefault((rates.of(part_of(name), learning_rate), decay), []).append(parameter)
    # The common rate comes first: it is the one that trainers log.
    ordered = sorted(groups.items(), key=lambda item: (item[0][0] != learning_rate, item[0][1] == 0.0))
    return [{"params": params, "lr": lr, "weight_decay": decay} for (lr, decay), params in ordered]


class MuonAdamW(Optimizer):
    """Muon on weight matrices and AdamW on everything else.

    Args:
        model: parameters without gradient are left out.
        learning_rate: peak learning rate of AdamW.
        muon_learning_rate: peak learning rate of Muon; 0 means the same.
        weight_decay: decoupled decay; for AdamW on tensors of two or more dimensions only.
        rates: peak rates of single parts, for both.
    """

    def __init__(
        self,
        model: nn.Module,
        learning_rate: float,
        muon_learning_rate: float,
        weight_decay: float,
        rates: PartRates | None = None,
    ) -> None:
        rates = rates or PartRates()
        peak = muon_learning_rate or learning_rate
        by_rate: dict[float, list[nn.Parameter]] = {}
        rest: list[tuple[str, nn.Parameter]] = []
        part_of = parts_of(model)
        experts = family_of(model).experts if hasattr(model, "config") else ()
        for name, parameter in _trained(model):
            if takes_muon(name, parameter, experts):
                by_rate.setdefault(rates.of(part_of(name), peak), []).append(parameter)
            else:
                rest.append((name, parameter))
        self._parts: list[Optimizer] = []
        self._gathered = False
        if by_rate:
            groups = [{"params": params, "lr": rate} for rate, params in by_rate.items()]
            muon = {"lr": peak, "weight_decay": weight_decay, "adjust_lr_fn": "match_rms_adamw"}
            self._parts.append(_sharded(groups, Muon, **muon))
        if rest:
            groups = adamw_groups(rest, part_of, learning_rate, weight_decay, rates)
            self._parts.append(_sharded(groups, AdamW, lr=learning_rate, betas=BETAS))
        super().__init__([group for part in self._parts for group in part.param_groups], {})
        self._link()

    def _link(self) -> None:
        """Share the parts' parameter groups, so that a scheduler that sets a group's rate sets the part's."""
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of every parameter; every rank has to call it."""
        loss = closure() if closure is not None else None
        for part in self._parts:
            part.step()
        return loss

    def gather_states(self) -> None:
        """Bring all states to rank 0, whose `state_dict` is whole then; every rank has to call it."""
        for part in self._parts:
            if isinstance(part, ZeroRedundancyOptimizer):
                part.consolidate_state_dict(to=0)
                self._gathered = distributed.get_rank() == 0

    def state_dict(self) -> dict[str, Any]:
        """The parts' states, in order, in a form that does not depend on the number of processes.

        Over several processes rank 0 gives the states that were last gathered. Before that, and on other
        ranks, there are the groups alone: accelerate reads a new optimizer's state on every rank and writes
        it back.
        """
        return {"parts": [self._state_of(part) for part in self._parts]}

    def _state_of(self, part: Optimizer) -> dict[str, Any]:
        if isinstance(part, ZeroRedundancyOptimizer) and not self._gathered:
            return {**Optimizer.state_dict(part), "state": {}}
        return part.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a `state_dict` on this number of processes or another; each rank keeps its share."""
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._link()


def _trained(model: nn.Module) -> Named:
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]


def _sharded(groups: list[dict[str, Any]], kind: type[Optimizer], **defaults: Any) -> Optimizer:
    """An optimizer whose states are spread over the processes, if there are several."""
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return kind(groups, **defaults)
    return ZeroRedundancyOptimizer(groups, optimizer_class=kind, **defaults)

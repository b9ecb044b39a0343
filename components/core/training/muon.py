"""Muon whose Newton-Schulz iterations run in a precision that the device is fast in.

`torch.optim.Muon` iterates in bfloat16. Processors without bfloat16 matrix units emulate it on one thread,
many times slower than float32. So the iterations are float32 on every CPU, with one rounding for all of them.
Elsewhere torch's own step runs.

Source: Jordan et al. 2024. Learning rates match AdamW's root mean square as in arXiv 2502.16982, section 2.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch


class Muon(torch.optim.Muon):
    """`torch.optim.Muon` with the same arguments, states and checkpoints; stacks of matrices are one each.

    A stack, (matrices, rows, columns), is a mixture's experts: every matrix is orthogonalised by itself.
    """

    def __init__(self, params: Any, **settings: Any) -> None:
        given = list(params)
        groups = given if isinstance(given[0], dict) else [{"params": given}]
        without = [{**group, "params": [p for p in group["params"] if p.ndim != 3]} for group in groups]
        super().__init__(without, **settings)  # torch's own refuses everything but matrices
        for own, group in zip(self.param_groups, groups, strict=True):
            own["params"] = list(group["params"])

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every matrix that has a gradient."""
        on_cpu = all(p.device.type == "cpu" for group in self.param_groups for p in group["params"])
        if not on_cpu:
            loss = super().step(closure)
            self._update_all(lambda parameter: parameter.ndim == 3)
            return loss
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._update_all(lambda parameter: True)
        return loss

    def _init_group(self, group: Any, *lists: Any) -> bool:
        """What torch's own step updates: matrices, without the stacks."""
        matrices = {**group, "params": [p for p in group["params"] if p.ndim == 2]}
        return bool(super()._init_group(matrices, *lists))

    def _update_all(self, chosen: Callable[[torch.Tensor], bool]) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and chosen(parameter):
                    self._update(parameter, group)

    def _update(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        state, momentum = self.state[parameter], group["momentum"]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter.grad)
        grad, buffer = parameter.grad, state["momentum_buffer"]
        assert grad is not None
        buffer.lerp_(grad, 1 - momentum)
        update = grad.lerp(buffer, momentum) if group["nesterov"] else buffer
        direction = orthogonalised(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
        rate = float(group["lr"]) * _scale(group["adjust_lr_fn"], *parameter.shape[-2:])
        parameter.mul_(1 - float(group["lr"]) * group["weight_decay"])
        parameter.add_(direction.to(parameter.dtype), alpha=-rate)


def orthogonalised(
    matrix: torch.Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> torch.Tensor:
    """Newton-Schulz iterations in float32 towards the nearest semi-orthogonal matrix.

    Args:
        matrix: (rows, columns), or a stack (matrices, rows, columns), any floating type.
        coefficients: (a, b, c) of X <- aX + (bA + cA²)X with A = XXᵀ.

    Returns:
        The same shape, float32; its singular values are near 1.
    """
    if matrix.ndim == 3:
        return torch.stack([orthogonalised(one, coefficients, steps, eps) for one in matrix])
    a, b, c = coefficients
    wide = matrix.float()
    turned = wide.size(0) > wide.size(1)
    wide = wide.T if turned else wide
    wide = wide / wide.norm().clamp(min=eps)
    for _ in range(steps):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide.T if turned else wide


def _scale(rule: str | None, rows: int, columns: int) -> float:
    if rule == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1.0, rows / columns))

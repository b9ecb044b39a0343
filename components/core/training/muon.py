"""Muon whose Newton-Schulz iterations run in a precision that the device is fast in.

`torch.optim.Muon` iterates in bfloat16. Processors without bfloat16 matrix units emulate it on one thread,
many times slower than float32. So the iterations are float32 on every CPU, with one rounding for all of them.
Elsewhere torch's own step runs.

Source: Jordan et al. 2024. Learning rates match AdamW's root mean square as in arXiv 2502.16982, section 2.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

GRAM_FROM = 1.5
"""Columns a row from which iterating on the Gram matrix takes fewer operations."""
GRAM_STEPS = 3
"""Steps before the Gram matrix is taken anew: as exact in float32 as iterating on the matrix itself."""
STACK_NUMBERS = 1 << 24
"""Numbers that a stack of several parameters holds at most, so that copies stay small."""


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
            trained = [p for p in group["params"] if p.grad is not None and chosen(p)]
            for alike in _alike(trained):
                self._update(alike, group)

    def _update(self, parameters: Sequence[torch.Tensor], group: dict[str, Any]) -> None:
        """One update of matrices of one shape, together: small products do not keep every core busy."""
        stacks = [_stack(_wide(self._momentum(p, group))) for p in parameters]
        directions = orthogonalised(
            torch.cat(stacks), group["ns_coefficients"], group["ns_steps"], group["eps"]
        ).split([len(stack) for stack in stacks])
        for parameter, direction in zip(parameters, directions, strict=True):
            rate = float(group["lr"]) * _scale(group["adjust_lr_fn"], *parameter.shape[-2:])
            turned = direction.mT if parameter.size(-2) > parameter.size(-1) else direction
            parameter.mul_(1 - float(group["lr"]) * group["weight_decay"])
            parameter.add_(turned.reshape(parameter.shape).to(parameter.dtype), alpha=-rate)

    def _momentum(self, parameter: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        state, momentum = self.state[parameter], group["momentum"]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter.grad)
        grad, buffer = parameter.grad, state["momentum_buffer"]
        assert grad is not None
        buffer.lerp_(grad, 1 - momentum)
        return grad.lerp(buffer, momentum) if group["nesterov"] else buffer


def orthogonalised(
    matrix: torch.Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> torch.Tensor:
    """Newton-Schulz iterations in float32 towards the nearest semi-orthogonal matrix.

    The iterate is QX with Q a polynomial of A = XXᵀ. Where X is much wider than high, steps update A and Q
    alone (Zhang et al. 2026, Gram Newton-Schulz). Rounding grows with them, so A is taken anew at times.

    Args:
        matrix: (rows, columns), or a stack (matrices, rows, columns), any floating type.
        coefficients: (a, b, c) of X <- aX + (bA + cA²)X with A = XXᵀ.

    Returns:
        The same shape, float32; its singular values are near 1.
    """
    wide = _stack(_wide(matrix.float()))
    wide = wide / torch.linalg.matrix_norm(wide, keepdim=True).clamp(min=eps)
    by_gram = wide.size(-1) > GRAM_FROM * wide.size(-2)
    together = GRAM_STEPS if by_gram else 1
    for done in range(0, steps, together):
        wide = _iterated(wide, coefficients, min(together, steps - done))
    found = wide.mT if matrix.size(-2) > matrix.size(-1) else wide
    return found.reshape(matrix.shape)


def _iterated(wide: torch.Tensor, coefficients: tuple[float, float, float], steps: int) -> torch.Tensor:
    """`steps` iterations of a stack of wide matrices."""
    a, b, c = coefficients
    gram = wide @ wide.mT
    if steps == 1:  # without Q
        return torch.baddbmm(wide, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    product = factor = _factor(gram, coefficients)
    for _ in range(steps - 1):
        gram = factor @ gram @ factor
        factor = _factor(gram, coefficients)
        product = factor @ product
    return product @ wide


def _factor(gram: torch.Tensor, coefficients: tuple[float, float, float]) -> torch.Tensor:
    """aI + bA + cA²."""
    a, b, c = coefficients
    factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    factor.diagonal(dim1=-2, dim2=-1).add_(a)
    return factor


def _wide(matrix: torch.Tensor) -> torch.Tensor:
    return matrix.mT if matrix.size(-2) > matrix.size(-1) else matrix


def _stack(matrix: torch.Tensor) -> torch.Tensor:
    return matrix.reshape(-1, *matrix.shape[-2:])


def _alike(parameters: Sequence[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Parameters whose matrices have one shape, turned or not, up to STACK_NUMBERS at once."""
    by_shape: dict[Any, list[torch.Tensor]] = {}
    for parameter in parameters:
        key = (*sorted(parameter.shape[-2:]), parameter.device, parameter.dtype)
        by_shape.setdefault(key, []).append(parameter)
    for alike in by_shape.values():
        together: list[torch.Tensor] = []
        for parameter in alike:
            if together and sum(p.numel() for p in together) + parameter.numel() > STACK_NUMBERS:
                yield together
                together = []
            together.append(parameter)
        yield together


def _scale(rule: str | None, rows: int, columns: int) -> float:
    if rule == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1.0, rows / columns))

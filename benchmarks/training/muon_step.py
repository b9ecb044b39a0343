"""What a step of Muon costs: torch's own, every matrix alone, together, and together on Gram matrices.

    python -m benchmarks.training.muon_step [--repeats 15]

The matrices of the demo's base model with random gradients, so that it needs nothing but the repository. The
arms step in turn. `torch` iterates in bfloat16, the others in float32; `together on Gram matrices` is what
the pipeline does. Set OMP_NUM_THREADS for another number of threads.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import torch

from benchmarks.harness import result, side_by_side
from benchmarks.scores import markdown
from components.core.training import muon
from components.core.vlm import load_model, set_threads
from components.curriculum_sft.training.optimizer import takes_muon
from demo.base.settings import SHIPPED
from pipelines.local.process import start_with_torch_defaults

ARMS: dict[str, tuple[int, float]] = {
    "each alone": (1, math.inf),
    "each alone on Gram matrices": (1, muon.GRAM_FROM),
    "together": (muon.STACK_NUMBERS, math.inf),
    "together on Gram matrices": (muon.STACK_NUMBERS, muon.GRAM_FROM),
}
"""STACK_NUMBERS and GRAM_FROM of each."""


def matrices() -> list[torch.nn.Parameter]:
    """The demo's matrices that Muon takes, with gradients."""
    model = load_model(SHIPPED, "float32")
    draws = torch.Generator().manual_seed(0)
    taken = [parameter for name, parameter in model.named_parameters() if takes_muon(name, parameter)]
    for parameter in taken:
        parameter.grad = torch.randn(parameter.shape, generator=draws)
    return taken


def arm(optimizer: torch.optim.Optimizer, stacked: int, gram_from: float) -> Callable[[], None]:
    """A step with these constants."""

    def step() -> None:
        muon.STACK_NUMBERS, muon.GRAM_FROM = stacked, gram_from
        optimizer.step()

    return step


def main(repeats: int) -> None:
    """Step every arm in turn; print the table."""
    set_threads()
    taken = matrices()
    ours, theirs = muon.Muon(taken, lr=1e-6), torch.optim.Muon(taken, lr=1e-6)
    steps: dict[str, Callable[[], object]] = {"torch": theirs.step}
    steps |= {name: arm(ours, *constants) for name, constants in ARMS.items()}
    for step in steps.values():
        step()
    times = side_by_side(steps, repeats)
    shipped = times["together on Gram matrices"]["median_s"]
    lines = [
        [name, f"{1e3 * own['median_s']:.0f}", f"{own['median_s'] / shipped:.2f}"]
        for name, own in times.items()
    ]
    print(markdown(["step", "ms", "times the shipped one's"], lines))
    result("muon_step", threads=torch.get_num_threads(), matrices=len(taken), repeats=repeats, arms=times)


if __name__ == "__main__":
    start_with_torch_defaults("benchmarks.training.muon_step")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=15, help="steps of each")
    main(parser.parse_args().repeats)

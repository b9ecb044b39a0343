"""Train the base model again: `python -m demo.base --out DIR`.

- DIR/checkpoint/: the model in float16, as the demo ships it
- DIR/scores.json: held-out accuracy by kind of question
- DIR/curve.png: the loss by phase and step, whose numbers are in the checkpoint's manifest

Interrupted training continues with the same command.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from components.core.data.files import write_json_atomic
from components.core.vlm import set_threads
from demo.base.curve import draw
from demo.base.model import ensure_base_model
from demo.base.scores import scores
from demo.base.settings import MINI, BaseSettings
from pipelines.local.process import start_with_torch_defaults

PICTURES = 1000
MINI_PICTURES = 8


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo.base", description="Train the demo's base model.")
    parser.add_argument("--out", type=Path, default=Path("build/base_model"), help="directory of the results")
    parser.add_argument("--mini", action="store_true", help="a few steps of a smaller model, for tests")
    args = parser.parse_args(argv)
    set_threads()
    checkpoint = ensure_base_model(args.out / "checkpoint", MINI if args.mini else BaseSettings())
    draw(checkpoint.extra["curve"], args.out / "curve.png")
    found = scores(checkpoint.path, MINI_PICTURES if args.mini else PICTURES)
    write_json_atomic(args.out / "scores.json", found)
    for kind, estimate in found.items():
        value, low, high = (f"{estimate[name]:.1%}" for name in ("value", "low", "high"))
        print(f"{kind:14} {value:>6} [{low}, {high}] of {estimate['n']}")
    return 0


if __name__ == "__main__":
    start_with_torch_defaults("demo.base")
    raise SystemExit(main())

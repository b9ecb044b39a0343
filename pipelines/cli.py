"""The command line: `python -m pipelines run | report | submit | ...` (installed as `vlm-posttrain`)."""

from __future__ import annotations

from typing import Any

import typer

from pipelines.commands import kubeflow, plan, registry, rollout, runs, serving

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(runs.app)
app.add_typer(plan.app)
app.add_typer(serving.app)
app.add_typer(kubeflow.app)
app.add_typer(registry.app, name="registry")
app.add_typer(rollout.app, name="rollout", hidden=True)


def main(argv: list[str] | None = None) -> Any:
    """Entry point of the console script."""
    return app(argv)

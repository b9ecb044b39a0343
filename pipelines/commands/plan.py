"""The command that says what a run will need: `plan`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from components.core.plan.gpus import Gpu, parse_gpu
from components.core.plan.sizes import KNOWN, ModelSizes, read_sizes, sizes_of
from components.core.plan.stages import Assumed, StagePlan, plan_run
from components.core.sources.copies import is_far, local_copy
from components.core.stage.errors import NoInputError
from pipelines.commands.shared import SetOption, clear_errors
from pipelines.profile.run_profile import Profile, load_profile

app = typer.Typer()
_PARTS = ("weights", "gradients", "optimizer", "activations", "kv_cache", "engine", "overhead")


@app.command()
@clear_errors()
def plan(
    profile: Annotated[Path, typer.Argument(help="Run profile (YAML).")],
    set_: SetOption = None,
    catalogue: Annotated[
        Path | None, typer.Option(help="Dataset `images` of a run: how many pictures, and how large.")
    ] = None,
    gpu: Annotated[
        str, typer.Option(help="GPU, e.g. H100-80GB, 8xH100-80GB or 24GB. [default: preflight.gpu]")
    ] = "",
    images: Annotated[
        int, typer.Option(min=1, help="Pictures, where no catalogue says it.")
    ] = Assumed.images,
    mfu: Annotated[
        float, typer.Option(min=0.01, max=1, help="Share of the GPU's peak that training reaches.")
    ] = Assumed.mfu,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a run will need, stage by stage: requests, tokens, memory of a GPU, GPU-hours, disk."""
    checked = load_profile(profile, set_ or [])
    settings = checked.settings
    stated = gpu or settings["preflight"].gpu  # type: ignore[attr-defined]
    kind = parse_gpu(stated) if stated else None
    sizes, source = sizes_at(checked.sections["preflight"]["base_model"])
    assumed = replace(_of_catalogue(catalogue, Assumed(images=images)), mfu=mfu)
    plans = plan_run(settings, sizes, kind, gpus_of(checked), assumed)
    if as_json:
        typer.echo(json.dumps(as_document(checked.name, plans, sizes, source, kind, assumed), indent=1))
    else:
        typer.echo(as_text(checked.name, plans, sizes, source, kind, assumed), nl=False)


def gpus_of(profile: Profile) -> dict[str, int]:
    """Task or section -> its GPUs."""
    found = {task: wanted.gpu for task, wanted in profile.resources.items()}
    return found | {"evaluation": found.get("evaluation_base", 0)}


def sizes_at(address: str) -> tuple[ModelSizes, str]:
    """The base model's sizes, and where they come from.

    Raises:
        NoInputError: its files are not here, and its name is none of the known ones.
    """
    name = address.partition("#")[0].rstrip("/").rpartition("/")[2].partition("@")[0]
    path = Path(address)
    if not is_far(address) and (path / "config.json").is_file():
        return read_sizes(path), f"{path}/config.json"
    if name in KNOWN:
        return sizes_of(KNOWN[name]), f"the known sizes of {name}"
    if is_far(address):
        return read_sizes(local_copy(address)), address
    raise NoInputError(f"{address}: has no config.json; known without files: {', '.join(KNOWN)}")


def _of_catalogue(path: Path | None, assumed: Assumed) -> Assumed:
    """Count and mean size of the pictures in a dataset of table `images`."""
    if path is None:
        return assumed
    from components.core.data.dataset import Dataset

    rows = list(Dataset.open(path, "images").rows_iter(["width", "height"]))
    if not rows:
        return assumed
    width, height = (round(sum(row[side] for row in rows) / len(rows)) for side in ("width", "height"))
    return replace(assumed, images=len(rows), width=width, height=height)


def as_document(
    name: str, plans: list[StagePlan], sizes: ModelSizes, source: str, gpu: Gpu | None, assumed: Assumed
) -> dict[str, Any]:
    """The plan as JSON values; sizes in bytes."""
    stages = [
        {**asdict(item), "memory": item.memory and {**asdict(item.memory), "total": item.memory.total}}
        for item in plans
    ]
    model = {"source": source, "parameters": sizes.total, "active_parameters": sizes.active + sizes.vision}
    return {"profile": name, "model": model, "gpu": asdict(gpu) if gpu else None, "assumed": asdict(assumed),
            "stages": stages}  # fmt: skip


def as_text(
    name: str, plans: list[StagePlan], sizes: ModelSizes, source: str, gpu: Gpu | None, assumed: Assumed
) -> str:
    """The plan as two tables: work, and memory of one GPU in GB (10^9 bytes)."""
    active = (sizes.active + sizes.vision) / 1e9
    lines = [f"{name}: {sizes.total / 1e9:.2f} B parameters, {active:.2f} B active, from {source}"]
    hours = f"GPU-hours at an MFU of {assumed.mfu:g}"
    told = f"{gpu.name}, {gpu.memory / 1e9:g} GB; {hours}" if gpu else "no GPU is named: fits is unknown"
    lines += [told, f"assumed: {assumed.images:,} pictures of {assumed.width} x {assumed.height}", ""]
    work = [["task", "requests", "their tokens", "samples", "steps", "tokens", "GPU-hours", "disk GB"]]
    for item in plans:
        work.append([item.task, *(f"{n:,}" if n else "" for n in
                     (item.requests, item.request_tokens, item.samples, item.steps, item.tokens)),
                     f"{item.gpu_hours:,.1f}" if item.gpu_hours else "",
                     f"{item.disk / 1e9:,.1f}" if item.disk else ""])  # fmt: skip
    memory = [["task", "GPUs", *(part.replace("_", " ") for part in _PARTS), "total GB", "fits"]]
    for item in plans:
        if item.memory:
            parts: Mapping[str, float] = asdict(item.memory)
            fits = {True: "yes", False: "no", None: "?"}[item.fits]
            memory.append([item.task, str(item.gpus), *(f"{parts[part] / 1e9:.1f}" for part in _PARTS),
                           f"{item.memory.total / 1e9:.1f}", fits])  # fmt: skip
    lines += [*_table(work), "", *_table(memory)]
    lines += [f"{item.task} would fit with: {'; '.join(item.advice)}" for item in plans if item.advice]
    return "\n".join(lines) + "\n"


def _table(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) if n == 0 else cell.rjust(width) for n, (cell, width) in
                  enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]  # fmt: skip

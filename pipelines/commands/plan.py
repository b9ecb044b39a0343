"""The command that says what a run will need: `plan`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from components.core.plan.figures import Assumed, StagePlan, vision_tokens
from components.core.plan.gpus import Gpu, parse_gpu
from components.core.plan.sizes import KNOWN, ModelSizes, read_sizes, sizes_of
from components.core.plan.stages import plan_run
from components.core.plan.teacher import checkpoint_of
from components.core.sources.copies import is_far, local_copy
from components.core.stage.errors import ConfigError, DataError, NoInputError
from pipelines.commands.shared import DEFAULT_PROFILE, ProfileOption, SetOption, clear_errors
from pipelines.profile.run_profile import Profile, load_profile

app = typer.Typer()
_PARTS = ("weights", "teacher", "gradients", "optimizer", "activations", "kv_cache", "engine", "overhead")
_TOTALLED = ("requests", "request_tokens", "answer_tokens", "gpu_hours", "disk")


@dataclass(frozen=True)
class Planned:
    """A plan with what it is of."""

    profile: str
    stages: list[StagePlan]
    sizes: ModelSizes
    source: str
    """Where the sizes come from."""
    teacher: ModelSizes | None
    teacher_source: str
    gpu: Gpu | None
    assumed: Assumed
    catalogue: Path | None
    """The dataset that says how many pictures there are, and how large."""

    def totals(self) -> dict[str, float]:
        """Sums over the stages of what adds up."""
        return {name: sum(getattr(stage, name) for stage in self.stages) for name in _TOTALLED}


@app.command()
@clear_errors()
def plan(
    given: Annotated[Path | None, typer.Argument(metavar="[PROFILE]", help="Same as --profile.")] = None,
    profile: ProfileOption = DEFAULT_PROFILE,
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
    if given and profile not in (DEFAULT_PROFILE, given):
        raise ConfigError(f"two profiles are given, {given} and {profile}: give one")
    checked = load_profile(given or profile, set_ or [])
    settings = checked.settings
    stated = gpu or settings["preflight"].gpu  # type: ignore[attr-defined]
    kind = parse_gpu(stated) if stated else None
    sizes, source = sizes_at(checked.sections["preflight"]["base_model"])
    assumed = replace(of_catalogue(catalogue, Assumed(images=images)), mfu=mfu)
    address = checkpoint_of(settings.get("hybrid_rl"))
    teacher, taught_from = sizes_at(address) if address else (None, "")
    stages = plan_run(settings, sizes, kind, gpus_of(checked), assumed, teacher)
    planned = Planned(checked.name, stages, sizes, source, teacher, taught_from, kind, assumed, catalogue)
    typer.echo(json.dumps(as_document(planned), indent=1) if as_json else as_text(planned))


def gpus_of(profile: Profile) -> dict[str, int]:
    """Task or section -> its GPUs."""
    found = {task: wanted.gpu for task, wanted in profile.resources.items()}
    return found | {"evaluation": found.get("evaluation_base", 0)}


def sizes_at(address: str) -> tuple[ModelSizes, str]:
    """A model's sizes, and where they come from.

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


def of_catalogue(path: Path | None, assumed: Assumed) -> Assumed:
    """Count, mean size and held-out share of the pictures in a dataset of table `images`.

    Raises:
        DataError: it holds no picture.
    """
    if path is None:
        return assumed
    from components.core.data.dataset import Dataset

    rows = list(Dataset.open(path, "images").rows_iter(["width", "height", "split"]))
    if not rows:
        raise DataError(f"{path}: holds no picture; give the `images` of a finished run")
    width, height = (round(sum(row[side] for row in rows) / len(rows)) for side in ("width", "height"))
    heldout = sum(row["split"] != "train" for row in rows) / len(rows)
    return replace(assumed, images=len(rows), width=width, height=height, heldout=heldout)


def as_document(planned: Planned) -> dict[str, Any]:
    """The plan as JSON values; sizes in bytes."""
    stages = [
        {**asdict(item), "memory": item.memory and {**asdict(item.memory), "total": item.memory.total}}
        for item in planned.stages
    ]
    teacher = planned.teacher and _model(planned.teacher, planned.teacher_source)
    return {"profile": planned.profile, "model": _model(planned.sizes, planned.source), "teacher": teacher,
            "gpu": planned.gpu and asdict(planned.gpu), "assumed": asdict(planned.assumed), "stages": stages,
            "totals": planned.totals()}  # fmt: skip


def _model(sizes: ModelSizes, source: str) -> dict[str, Any]:
    active = sizes.active + sizes.vision
    return {"source": source, "parameters": sizes.total, "active_parameters": active}


def as_text(planned: Planned) -> str:
    """The plan as two tables: work, and memory of one GPU in GB (10^9 bytes)."""
    gpu, assumed = planned.gpu, planned.assumed
    lines = [f"{planned.profile}: {_told(planned.sizes, planned.source)}"]
    if planned.teacher:
        lines.append(f"teacher: {_told(planned.teacher, planned.teacher_source)}")
    if gpu:
        known = (
            f"GPU-hours at an MFU of {assumed.mfu:g}" if gpu.flops else "GPU-hours not known: name the GPU"
        )
        lines.append(f"{gpu.name}, {gpu.memory / 1e9:g} GB; {known}")
    else:
        lines.append("no GPU is named: whether it fits and GPU-hours are not known")
    seen = vision_tokens(planned.sizes, assumed.width, assumed.height)
    pictures = f"{assumed.images:,} pictures of {assumed.width} x {assumed.height}"
    tokens = f"{seen:,} tokens each for the model, {assumed.picture_tokens:,} for the models that are asked"
    lines += [f"{planned.catalogue or 'assumed'}: {pictures}, {tokens}", ""]
    lines += [*_table(_work(planned)), "", *_table(_memory(planned.stages))]
    for item in planned.stages:
        if item.advice:
            lines += ["", f"{item.task} does not fit. Each of these needs less:"]
            lines += [f"  {setting}" for setting in item.advice]
    return "\n".join(lines)


def _told(sizes: ModelSizes, source: str) -> str:
    active = sizes.active + sizes.vision
    return f"{_count(sizes.total)} parameters, {_count(active)} active, from {source}"


def _count(number: int) -> str:
    for unit, size in (("B", 1e9), ("M", 1e6)):
        if number >= size:
            return f"{number / size:.2f} {unit}"
    return f"{number:,}"


def _work(planned: Planned) -> list[list[str]]:
    rows = [["task", "requests", "prompt tokens", "answer tokens", "samples", "steps", "own tokens",
             "GPU-hours", "hours", "disk GB"]]  # fmt: skip
    for item in planned.stages:
        asked = (item.requests, item.request_tokens - item.answer_tokens, item.answer_tokens)
        own = (item.samples, item.steps, item.tokens)
        wall = item.gpu_hours / max(1, item.gpus)
        rows.append([item.task, *(f"{n:,}" if n else "" for n in (*asked, *own)),
                     *map(_tenths, (item.gpu_hours, wall, item.disk / 1e9))])  # fmt: skip
    sums = planned.totals()
    asked_sums = (sums["requests"], sums["request_tokens"] - sums["answer_tokens"], sums["answer_tokens"])
    rows.append(["total", *(f"{n:,}" if n else "" for n in asked_sums), "", "", "",
                 _tenths(sums["gpu_hours"]), "", _tenths(sums["disk"] / 1e9)])  # fmt: skip
    return rows


def _memory(stages: list[StagePlan]) -> list[list[str]]:
    held = [(item, asdict(item.memory), item.memory.total) for item in stages if item.memory]
    parts = [part for part in _PARTS if any(values[part] for _, values, _ in held)]
    rows = [["task", "GPUs", *(part.replace("_", " ") for part in parts), "total GB", "fits"]]
    for item, values, total in held:
        fits = {True: "yes", False: "no", None: "?"}[item.fits]
        rows.append([item.task, str(item.gpus), *(_tenths(values[part] / 1e9) for part in parts),
                     _tenths(total / 1e9), fits])  # fmt: skip
    return rows


def _tenths(value: float) -> str:
    """One decimal; nothing for nothing, and `<0.1` for what would look like it."""
    return "" if not value else "<0.1" if value < 0.05 else f"{value:,.1f}"


def _table(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) if n == 0 else cell.rjust(width) for n, (cell, width) in
                  enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]  # fmt: skip

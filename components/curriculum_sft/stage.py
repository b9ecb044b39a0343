"""Reads the tables, builds and checks samples or pairs, trains, writes the checkpoint."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import DataError
from components.core.manifest import MANIFEST_NAME, Dataset, commit_checkpoint, open_checkpoint
from components.core.pins import split_pin
from components.core.runner import StageContext, StageIO
from components.curriculum_sft.config import Config

if TYPE_CHECKING:
    from components.curriculum_sft.samples import Row

# Modules that load torch are imported where they are used: wrong settings and missing inputs are reported at once.

IO = StageIO(
    inputs=("images", "qa_kept", "qa_rejected", "votes"),
    optional_inputs=("init_checkpoint",),
    params=("base_model", "general_data"),
    outputs=("checkpoint", "rejected"),
)


def run(config: Config, ctx: StageContext) -> None:
    """Train one stage of the curriculum."""
    datasets = {name: ctx.dataset(name, table=name) for name in IO.inputs}
    image_sets = [datasets["images"]]
    general: Dataset | None = None
    if config.objective == "sft" and config.domain_share < 1:
        root, _ = split_pin(ctx.params["general_data"])
        image_sets.append(Dataset.open(root / "images", "images"))
        general = Dataset.open(root / "samples", "samples")
    start = starting_point(ctx)

    from transformers.utils import logging as transformers_logging

    from components.core.image_store import ImageStore
    from components.core.vlm import load_processor, set_threads
    from components.curriculum_sft.checks import partition
    from components.curriculum_sft.collator import PictureStores
    from components.curriculum_sft.probes import Probes
    from components.curriculum_sft.report import write_report
    from components.curriculum_sft.throughput import utilisation
    from components.curriculum_sft.training import fit, save_model

    transformers_logging.disable_progress_bar()
    ctx.log.info(
        "training", extra={"objective": config.objective, "start": str(start), "threads": set_threads()}
    )
    processor = load_processor(start)
    found = pairs_of(config, datasets) if config.objective == "dpo" else samples_of(config, datasets, general)
    planner = planner_for(processor, image_sets, config.max_length_tokens)
    rows, bad = partition(
        found, planner, lambda items: ctx.progress(items, total=len(found), desc="checking samples")
    )
    with ctx.writer("rejected", table="rejected") as rejected:
        rejected.write(bad)
    if not rows:
        raise DataError(
            f"nothing to train on: {dict(Counter(b['reason'] for b in bad)) or 'no samples were built'}"
        )
    ctx.log.info("checked samples", extra={"kept": len(rows), "rejected": len(bad)})

    pictures = PictureStores([ImageStore(images) for images in image_sets])
    directory = ctx.work.dir("checkpoints", sealed_by=MANIFEST_NAME)
    trainer = make_trainer(start, processor, rows, pictures, config, directory)
    probes = Probes(rows, config.report_samples, processor, pictures, ctx.work.journal("probes"))
    probes.watch(trainer)
    fitted = fit(trainer, directory, config, ctx.provenance, ctx.log)
    asked = probes.asked()  # before adapters are merged
    save_model(trainer, processor, ctx.outputs["checkpoint"])
    commit_checkpoint(
        ctx.outputs["checkpoint"],
        provenance=ctx.provenance,
        extra={"objective": config.objective, "steps": fitted.steps, "samples": len(rows)},
    )
    ctx.metrics |= utilisation(trainer, rows, fitted.tokens_per_s, config)
    write_report(ctx, config, rows, bad, fitted, pictures, asked)
    shutil.rmtree(
        directory, ignore_errors=True
    )  # optimizer states are three times the model, and the result is committed


def starting_point(ctx: StageContext) -> Path:
    """Directory of the weights to start from: the given checkpoint, else the base model; verified if it is sealed."""
    path = ctx.inputs.get("init_checkpoint") or split_pin(ctx.params["base_model"])[0]
    sealed = "init_checkpoint" in ctx.inputs or (path / MANIFEST_NAME).is_file()
    return open_checkpoint(path).path if sealed else path


def samples_of(config: Config, datasets: dict[str, Dataset], general: Dataset | None) -> list[Row]:
    """Training samples: the kept train split, mixed with general data by the configured share."""
    from components.curriculum_sft.mixture import mix
    from components.curriculum_sft.samples import domain_samples

    domain = domain_samples(
        datasets["qa_kept"].rows_iter(),
        questions_per_sample=config.questions_per_sample,
        reasoning_share=config.reasoning_share,
        seed=config.seed,
    )
    others = [{**row, "source": "general"} for row in general.rows_iter()] if general else []
    return mix(
        domain,
        others,
        domain_share=config.domain_share,
        max_general_samples=config.max_general_samples,
        seed=config.seed,
    )


def pairs_of(config: Config, datasets: dict[str, Dataset]) -> list[Row]:
    """Preference pairs from the votes on the train split."""
    from components.curriculum_sft.preferences import build_pairs

    return build_pairs(
        datasets["qa_kept"].rows_iter(),
        datasets["qa_rejected"].rows_iter(),
        datasets["votes"].rows_iter(),
        config.preferences,
        reasoning_share=config.reasoning_share,
        seed=config.seed,
    )


def planner_for(processor: Any, image_sets: list[Dataset], max_length_tokens: int) -> Any:
    """A planner that takes picture sizes from the image tables and token counts from the processor."""
    from components.core.vlm import vision_token_count
    from components.curriculum_sft.checks import Planner

    sizes = {
        row["image_id"]: (row["height"], row["width"])
        for images in reversed(image_sets)
        for row in images.rows_iter(["image_id", "height", "width"])
    }
    tokenizer = processor.tokenizer
    return Planner(
        tokenize=lambda turns: len(
            tokenizer(processor.apply_chat_template(turns, tokenize=False))["input_ids"]
        ),
        vision_tokens=lambda height, width: vision_token_count(processor, height, width),
        sizes=sizes,
        control_tokens=[str(token) for token in tokenizer.added_tokens_decoder.values() if token.special],
        max_length_tokens=max_length_tokens,
    )


def make_trainer(
    start: Path, processor: Any, rows: list[Row], pictures: Any, config: Config, directory: Path
) -> Any:
    """The trainer of the configured objective."""
    if config.objective == "dpo":
        from components.curriculum_sft.train_dpo import dpo_trainer

        return dpo_trainer(start, processor, rows, pictures, config, directory)
    from components.curriculum_sft.train_sft import sft_trainer

    return sft_trainer(start, processor, rows, pictures, config, directory)

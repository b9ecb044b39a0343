"""Curriculum fine-tuning as a recipe: read, build and check rows, train, write the checkpoint."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.conversations import GeneralData, open_general
from components.core.conversations.base import BadRecord
from components.core.data.checkpoint import commit_checkpoint, open_checkpoint
from components.core.data.dataset import Dataset
from components.core.data.manifest import MANIFEST_NAME
from components.core.resume.shared_batches import SharedBatches
from components.core.sources.copies import local_copy
from components.core.stage.context import StageContext
from components.core.stage.log import ProgressBar
from components.core.training.launch import rank
from components.curriculum_sft.component import IO
from components.curriculum_sft.config import Config

if TYPE_CHECKING:
    from components.curriculum_sft.data.checks import Planner
    from components.curriculum_sft.data.samples import Row
    from components.curriculum_sft.training.fit import Fitted
    from components.curriculum_sft.training.trainer import Setup

# Modules that load torch are imported where they are used: wrong settings and inputs are reported at once.


def run(config: Config, ctx: StageContext) -> None:
    """Train one stage of the curriculum."""
    datasets = {name: ctx.dataset(name, table=name) for name in IO.inputs}
    general = GeneralData()
    if config.objective == "distill" or (config.objective == "sft" and config.domain_share < 1):
        general = open_general(local_copy(ctx.params["general_data"]))
    image_sets = [datasets["images"], *general.image_sets]
    start = starting_point(ctx)

    from transformers.utils import logging as transformers_logging

    from components.core.data.image_store import ImageStore
    from components.core.training.result import write_result
    from components.core.vlm import load_processor, set_threads
    from components.curriculum_sft.data.batches import PictureStores
    from components.curriculum_sft.data.checks import partition, planner_for
    from components.curriculum_sft.data.prepare import EmptySource, all_samples, mixed_samples, settle, verify
    from components.curriculum_sft.report import write_report
    from components.curriculum_sft.training.fit import fit, forget, train_phases
    from components.curriculum_sft.training.probes import Probes
    from components.curriculum_sft.training.throughput import utilisation
    from components.curriculum_sft.training.trainer import Setup

    transformers_logging.disable_progress_bar()
    begun = {"objective": config.objective, "start": str(start), "threads": set_threads()}
    ctx.log.info("training", extra=begun)
    processor = load_processor(start)
    pictures = PictureStores([*(ImageStore(images) for images in image_sets), *general.stores])
    planner = planner_for(start, processor, image_sets, general, config, ctx.work.journal("lengths"))

    def track(rows: list[Row]) -> Iterable[Row]:
        return ctx.progress(rows, total=len(rows), desc="checking samples")

    if config.objective == "dpo":
        pairs = pairs_of(config, datasets, start, processor, pictures, ctx)
        rows, bad = partition(pairs, planner, track)
    else:
        found: Iterable[Row | BadRecord] = general
        if general.sets:
            found = ctx.progress(general, desc="reading general data")
        gather = all_samples if config.objective == "distill" else mixed_samples
        domain = samples_of(config, datasets)
        try:
            if config.general_answers == "own":
                found = with_background(domain, found, config, planner, processor, pictures, ctx)
            rows, bad = gather(domain, found, config, planner, track)
        except EmptySource as error:
            with ctx.writer("rejected", table="rejected") as rejected:
                rejected.write(error.rejected)
            raise
    with ctx.writer("rejected", table="rejected") as rejected:
        rejected.write(bad)
    settle(rows, bad, config)
    ctx.log.info("checked samples", extra={"kept": len(rows), "rejected": len(bad)})
    verify(rows, config.verified_samples, config.seed, processor, pictures)

    probes = Probes(rows, config.report_samples, processor, pictures, ctx.work.journal("probes"))

    def train(phase: Config, begin: Path, directory: Path, own: list[Row]) -> tuple[Any, Fitted]:
        # Verifying a model reads it whole: only the one that teaches.
        teacher = base_model(ctx) if phase.objective == "distill" else None
        trainer = make_trainer(Setup(begin, processor, own, pictures, phase, directory, teacher))
        probes.watch(trainer)
        if getattr(trainer, "first_step", None) is not None:
            ctx.log.info("rollout engine", extra={"engine": trainer.vllm_generation.describe()})
        return trainer, fit(trainer, directory, phase, ctx.provenance, ctx.log)

    trainer, fitted = train_phases(config.by_phase(), rows, start, processor, train, ctx)
    asked = probes.asked()  # before adapters are merged
    if not rank():
        output = ctx.outputs["checkpoint"]
        write_result(fitted.checkpoint, fitted.start or start, processor, output, config.weight_type)
        extra = {"objective": config.objective, "steps": fitted.steps, "samples": len(rows)}
        commit_checkpoint(output, provenance=ctx.provenance, extra=extra)
    ctx.metrics |= utilisation(trainer, rows, fitted.tokens_per_s, config)
    if (first := getattr(trainer, "first_step", None)) is not None and first.agreement is not None:
        ctx.metrics["rollout_logprob_difference"] = first.agreement.difference
    write_report(ctx, config, rows, bad, fitted, pictures, asked)
    # Optimizer states are three times the model, and the result is committed.
    forget(ctx)


def starting_point(ctx: StageContext) -> Path:
    """Directory of the given checkpoint, else of the base model; verified if it is sealed."""
    given = ctx.inputs.get("init_checkpoint")
    return open_checkpoint(given).path if given else base_model(ctx)


def base_model(ctx: StageContext) -> Path:
    """Directory of the base model, verified if it is sealed."""
    path = local_copy(ctx.params["base_model"])
    return open_checkpoint(path).path if (path / MANIFEST_NAME).is_file() else path


def samples_of(config: Config, datasets: dict[str, Dataset]) -> list[Row]:
    """Samples of the domain from the kept train split; none for pure distillation."""
    if config.objective == "distill" and not config.distillation.supervised_samples:
        return []
    from components.curriculum_sft.data.samples import domain_samples

    return domain_samples(
        datasets["qa_kept"].rows_iter(),
        questions_per_sample=config.questions_per_sample,
        reasoning_share=config.reasoning_share,
        seed=config.seed,
    )


def with_background(
    domain: list[Row],
    general: Iterable[Row | BadRecord],
    config: Config,
    planner: Planner,
    processor: Any,
    pictures: Any,
    ctx: StageContext,
) -> list[Row | BadRecord]:
    """The general samples that the mixture will draw, with the base model's own answers, and bad records."""
    from components.core.vlm import load_model
    from components.curriculum_sft.data.background import answers_of, wanted, with_own_answers
    from components.curriculum_sft.data.checks import partition
    from components.curriculum_sft.data.samples import count_answers

    read = list(general)
    faults = [item for item in read if isinstance(item, BadRecord)]
    chosen = wanted(domain, [item for item in read if not isinstance(item, BadRecord)], config)
    planner.prove(chosen)  # a damaged picture costs its sample, before it is asked about
    rows, bad = partition(chosen, planner)
    faults += [BadRecord(row["reason"], row["detail"], row["id"]) for row in bad]
    with ProgressBar(sum(map(count_answers, rows)), "asking the base model", ctx.log) as bar:
        ask = answers_of(
            lambda: load_model(base_model(ctx), config.weight_type, attn=config.attention),
            processor,
            pictures,
            config,
            lambda name: SharedBatches(ctx.work, name),
            bar.update,
        )
        own = with_own_answers(rows, ask, config.separate_questions == "all")
    ctx.log.info("on-policy background", extra={"samples": len(own), "cut": len(rows) - len(own)})
    ctx.metrics["background_samples"] = len(own)
    return [*faults, *own]


def pairs_of(
    config: Config,
    datasets: dict[str, Dataset],
    start: Path,
    processor: Any,
    pictures: Any,
    ctx: StageContext,
) -> list[Row]:
    """Preference pairs of the train split, from the votes and from the starting model's own answers."""
    from components.core.vlm import load_model
    from components.curriculum_sft.data.pairs import ask, build_pairs, questions_to_ask

    settings, kept = config.preferences, datasets["qa_kept"]
    own: dict[str, list[str]] = {}
    if settings.own_samples:
        asked = questions_to_ask(kept.rows_iter(), settings.own_questions, config.seed)
        with ProgressBar(len(asked), "asking the starting model", ctx.log) as bar:
            own = ask(
                asked,
                load_model(start, config.weight_type, attn=config.attention),
                processor,
                pictures,
                settings,
                seed=config.seed,
                divided=SharedBatches(ctx.work, "own_answers"),
                on_batch=bar.update,
            )
    return build_pairs(
        kept.rows_iter(),
        datasets["qa_rejected"].rows_iter(),
        datasets["votes"].rows_iter(),
        settings,
        reasoning_share=config.reasoning_share,
        seed=config.seed,
        own=own,
    )


def make_trainer(setup: Setup) -> Any:
    """The trainer of the configured objective, from its file in `objectives`."""
    if setup.config.objective == "sft":
        from components.curriculum_sft.objectives.sft import sft_trainer as build
    elif setup.config.objective == "dpo":
        from components.curriculum_sft.objectives.dpo import dpo_trainer as build
    else:
        from components.curriculum_sft.objectives.distill import distillation_trainer as build
    return build(setup)

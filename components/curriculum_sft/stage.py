"""Reads the tables, builds and checks samples or pairs, trains, writes the checkpoint."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.conversations import GeneralData, open_general
from components.core.conversations.pictures import Sizes
from components.core.data.manifest import MANIFEST_NAME, Dataset, commit_checkpoint, open_checkpoint
from components.core.data.pins import split_pin
from components.core.resume.journal import Journal
from components.core.resume.shared_batches import SharedBatches
from components.core.stage.context import StageContext
from components.core.stage.errors import DataError
from components.core.stage.log import ProgressBar
from components.curriculum_sft.component import IO
from components.curriculum_sft.config import Config

if TYPE_CHECKING:
    from components.curriculum_sft.checks import Planner
    from components.curriculum_sft.samples import Row
    from components.curriculum_sft.training import Fitted

# Modules that load torch are imported where they are used: wrong settings and missing inputs are reported at once.


def run(config: Config, ctx: StageContext) -> None:
    """Train one stage of the curriculum."""
    datasets = {name: ctx.dataset(name, table=name) for name in IO.inputs}
    general = GeneralData()
    if config.objective == "distill" or (config.objective == "sft" and config.domain_share < 1):
        general = open_general(split_pin(ctx.params["general_data"])[0])
    image_sets = [datasets["images"], *general.image_sets]
    start = starting_point(ctx)

    from transformers.utils import logging as transformers_logging

    from components.core.data.image_store import ImageStore
    from components.core.vlm import load_processor, set_threads
    from components.curriculum_sft.checks import partition
    from components.curriculum_sft.collator import PictureStores
    from components.curriculum_sft.phases import forget, train_phases
    from components.curriculum_sft.prepare import all_samples, mixed_samples, settle
    from components.curriculum_sft.probes import Probes
    from components.curriculum_sft.report import write_report
    from components.curriculum_sft.throughput import utilisation
    from components.curriculum_sft.training import fit, save_model
    from components.curriculum_sft.verify import verify

    transformers_logging.disable_progress_bar()
    ctx.log.info(
        "training", extra={"objective": config.objective, "start": str(start), "threads": set_threads()}
    )
    processor = load_processor(start)
    pictures = PictureStores([*(ImageStore(images) for images in image_sets), *general.stores])
    planner = planner_for(start, processor, image_sets, general, config, ctx.work.journal("lengths"))

    def track(rows: list[Row]) -> Iterable[Row]:
        return ctx.progress(rows, total=len(rows), desc="checking samples")

    if config.objective == "dpo":
        own = own_answers(config, datasets, start, processor, pictures, ctx)
        rows, bad = partition(pairs_of(config, datasets, own), planner, track)
    else:
        found = ctx.progress(general, desc="reading general data") if general.sets else general
        gather = all_samples if config.objective == "distill" else mixed_samples
        rows, bad = gather(samples_of(config, datasets), found, config, planner, track)
    with ctx.writer("rejected", table="rejected") as rejected:
        rejected.write(bad)
    settle(rows, bad, config)
    ctx.log.info("checked samples", extra={"kept": len(rows), "rejected": len(bad)})
    verify(rows, config.verified_samples, config.seed, processor, pictures)

    probes = Probes(rows, config.report_samples, processor, pictures, ctx.work.journal("probes"))

    def train(phase: Config, begin: Path, directory: Path, own: list[Row]) -> tuple[Any, Fitted]:
        # To verify a model is to read it: only where it teaches.
        teacher = base_model(ctx) if phase.objective == "distill" else begin
        trainer = make_trainer(begin, processor, own, pictures, phase, directory, teacher)
        probes.watch(trainer)
        return trainer, fit(trainer, directory, phase, ctx.provenance, ctx.log)

    trainer, fitted = train_phases(config.by_phase(), rows, start, processor, train, ctx)
    asked = probes.asked()  # before adapters are merged
    save_model(trainer, processor, ctx.outputs["checkpoint"])
    commit_checkpoint(
        ctx.outputs["checkpoint"],
        provenance=ctx.provenance,
        extra={"objective": config.objective, "steps": fitted.steps, "samples": len(rows)},
    )
    ctx.metrics |= utilisation(trainer, rows, fitted.tokens_per_s, config)
    write_report(ctx, config, rows, bad, fitted, pictures, asked)
    # Optimizer states are three times the model, and the result is committed.
    forget(ctx)


def starting_point(ctx: StageContext) -> Path:
    """Directory of the weights to start from: the given checkpoint, else the base model; verified if it is sealed."""
    given = ctx.inputs.get("init_checkpoint")
    return open_checkpoint(given).path if given else base_model(ctx)


def base_model(ctx: StageContext) -> Path:
    """Directory of the base model, verified if it is sealed."""
    path = split_pin(ctx.params["base_model"])[0]
    return open_checkpoint(path).path if (path / MANIFEST_NAME).is_file() else path


def samples_of(config: Config, datasets: dict[str, Dataset]) -> list[Row]:
    """Samples of the domain: the kept train split; none where questions are distilled on and nothing else."""
    if config.objective == "distill" and not config.distillation.supervised_samples:
        return []
    from components.curriculum_sft.samples import domain_samples

    return domain_samples(
        datasets["qa_kept"].rows_iter(),
        questions_per_sample=config.questions_per_sample,
        reasoning_share=config.reasoning_share,
        seed=config.seed,
    )


def own_answers(
    config: Config,
    datasets: dict[str, Dataset],
    start: Path,
    processor: Any,
    pictures: Any,
    ctx: StageContext,
) -> dict[str, list[str]]:
    """The starting model's responses to training questions by `qa_id`; none where the settings ask for none."""
    settings = config.preferences
    if not settings.own_samples:
        return {}
    from components.core.vlm import load_model
    from components.curriculum_sft.own_answers import ask, questions_to_ask

    asked = questions_to_ask(datasets["qa_kept"].rows_iter(), settings.own_questions, config.seed)
    with ProgressBar(len(asked), "asking the starting model", ctx.log) as bar:
        return ask(
            asked,
            load_model(start, "float32", attn=config.attention),
            processor,
            pictures,
            samples=settings.own_samples,
            max_new_tokens=settings.own_max_tokens,
            seed=config.seed,
            divided=SharedBatches(ctx.work, "own_answers"),
            on_batch=bar.update,
        )


def pairs_of(config: Config, datasets: dict[str, Dataset], own: dict[str, list[str]]) -> list[Row]:
    """Preference pairs from the votes on the train split, and from the model's own answers."""
    from components.curriculum_sft.preferences import build_pairs

    return build_pairs(
        datasets["qa_kept"].rows_iter(),
        datasets["qa_rejected"].rows_iter(),
        datasets["votes"].rows_iter(),
        config.preferences,
        reasoning_share=config.reasoning_share,
        seed=config.seed,
        own=own,
    )


def planner_for(
    start: Path,
    processor: Any,
    image_sets: list[Dataset],
    general: GeneralData,
    config: Config,
    kept: Journal | None = None,
) -> Planner:
    """A planner that takes picture sizes from image tables and headers, and token counts from the processor."""
    from transformers import AutoConfig

    from components.core.vlm import vision_token_count
    from components.curriculum_sft.checks import Planner
    from components.curriculum_sft.collator import count_answers

    columns = {
        row["image_id"]: (row["height"], row["width"])
        for images in reversed(image_sets)
        for row in images.rows_iter(["image_id", "height", "width"])
    }
    tokenizer, model = processor.tokenizer, AutoConfig.from_pretrained(start).get_text_config()
    return Planner(
        tokenize=lambda turns: tokenizer(processor.apply_chat_template(turns, tokenize=False))["input_ids"],
        vision_tokens=lambda height, width: vision_token_count(processor, height, width),
        sizes=Sizes(columns, general.stores),
        control_tokens=[str(token) for token in tokenizer.added_tokens_decoder.values() if token.special],
        max_length_tokens=min(
            max(phase.max_length_tokens for phase in config.by_phase()), model.max_position_embeddings
        ),
        count_answers=count_answers(tokenizer),
        image_token=processor.image_token_id,
        vocabulary=model.vocab_size,
        kept=kept,
    )


def make_trainer(
    start: Path,
    processor: Any,
    rows: list[Row],
    pictures: Any,
    config: Config,
    directory: Path,
    teacher: Path,
) -> Any:
    """The trainer of the configured objective.

    Raises:
        DataError: there is no general sample to distil on, or not enough for one step.
    """
    if config.objective == "dpo":
        from components.curriculum_sft.train_dpo import dpo_trainer

        return dpo_trainer(start, processor, rows, pictures, config, directory)
    if config.objective == "sft":
        from components.curriculum_sft.train_sft import sft_trainer

        return sft_trainer(start, processor, rows, pictures, config, directory)
    from components.curriculum_sft.distributed import samples_per_step
    from components.curriculum_sft.mixture import mix
    from components.curriculum_sft.questions import questions
    from components.curriculum_sft.train_distill import distillation_trainer

    settings = config.distillation
    general = [row for row in rows if row["source"] == "general"]
    # Sharded ranks use the vision tower all together or not at all.
    asked_of = [row for row in general if row["image_ids"] or config.sharding == "none"]
    asked = questions(asked_of, settings.max_questions, config.seed)
    if len(asked) < samples_per_step(config):
        raise DataError(
            f"{len(asked)} general questions{' with pictures' if config.sharding != 'none' else ''} are fewer than one "
            f"step takes ({samples_per_step(config)}); give more general_data, or lower batch_samples"
        )
    domain = [row for row in rows if row["source"] != "general"]
    supervised: list[Row] = []
    if settings.supervised_samples:
        supervised = mix(
            domain, general, domain_share=config.domain_share, seed=config.seed, mixture=config.mixture
        )
    return distillation_trainer(start, teacher, processor, asked, supervised, pictures, config, directory)

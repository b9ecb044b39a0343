"""Read the benchmarks, ask the model, score, write predictions, scores and the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from components.core.errors import DataError, NoInputError
from components.core.log import ProgressBar
from components.core.manifest import write_json_atomic
from components.core.pins import fingerprint, split_pin
from components.core.runner import StageContext, StageIO
from components.evaluation.benchmarks import Questions, read_questions, subset
from components.evaluation.config import Config
from components.evaluation.inference import (
    Engine,
    Response,
    TransformersEngine,
    ask,
    prompt_for,
    prompts_hash,
)
from components.evaluation.report import write_report
from components.evaluation.scoring import Results, Scored, score, summarise
from components.evaluation.stats import Bootstrap

IO = StageIO(
    inputs=("images", "qa_kept"),
    optional_inputs=("checkpoint",),
    outputs=("predictions", "scores"),
    params=("base_model", "benchmarks", "label"),
)
_WRITE_ROWS = 4096


def run(config: Config, ctx: StageContext) -> None:
    """Evaluate the input checkpoint, or the base model when there is none."""
    questions = read_questions(
        ctx.params["benchmarks"],
        ctx.dataset("images", table="images"),
        ctx.dataset("qa_kept", table="qa_kept"),
        limit=config.items_per_benchmark,
        log=ctx.log,
    )
    path, digest = _model(ctx)
    journal = ctx.work.journal("answers")
    prompts = [prompt_for(item, config.prompt_style) for item in questions.items]

    @lru_cache(maxsize=1)
    def engine() -> Engine:
        loaded = TransformersEngine(path, config)
        journal.put("engine", loaded.describe())
        return loaded

    domain = questions.of_role("domain")
    sampled = [
        domain[i] for i in subset([questions.items[i].item_id for i in domain], config.pass_at_k_items)
    ]
    if not config.samples_per_item:
        sampled = []
    every = range(len(questions.items))
    with ProgressBar(len(every), f"{ctx.params['label']}: greedy answers", ctx.log) as bar:
        answers = ask(
            engine, questions, prompts, every, samples=1, temperature=0.0, seed=config.seed,
            chunk_items=config.chunk_items, journal=journal, name="greedy", on_answer=bar.update,
        )  # fmt: skip
    drawn: dict[int, list[Response]] = {}
    if sampled:
        with ProgressBar(
            len(sampled), f"{ctx.params['label']}: {config.samples_per_item} samples each", ctx.log
        ) as bar:
            drawn = ask(
                engine, questions, prompts, sampled, samples=config.samples_per_item,
                temperature=config.temperature, seed=config.seed,
                chunk_items=max(1, config.chunk_items // config.samples_per_item),
                journal=journal, name="samples", on_answer=bar.update,
            )  # fmt: skip

    greedy = [(answers[i][0], score(answers[i][0].text, questions.items[i])) for i in every]
    samples = {i: [(r, score(r.text, questions.items[i])) for r in drawn[i]] for i in sampled}
    bootstrap = Bootstrap(config.confidence, config.bootstrap_resamples, config.seed)
    results = summarise(
        questions.items,
        greedy,
        {i: [scored for _, scored in group] for i, group in samples.items()},
        pass_k=config.pass_k,
        bootstrap=bootstrap,
    )
    with ctx.writer("predictions", table="predictions") as writer:
        rows = _rows(ctx.params["label"], questions, greedy, samples)
        while batch := [row for row, _ in zip(rows, range(_WRITE_ROWS), strict=False)]:
            writer.write(batch)
    settings = _settings(config, questions, prompts_hash(prompts), journal.get("engine"))
    write_json_atomic(ctx.outputs["scores"], _scores(ctx.params["label"], digest, results, settings))
    for name, estimate in results.metrics.items():
        ctx.metrics |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        ctx.log.info(
            "%s = %.4f [%.4f, %.4f]",
            name,
            estimate.value,
            estimate.low,
            estimate.high,
            extra={"n": estimate.n},
        )
    ctx.metrics["items"] = len(questions.items)
    write_report(
        ctx.report,
        ctx.params["label"],
        questions,
        results,
        greedy,
        confidence=config.confidence,
        examples=config.report_examples,
    )


def _model(ctx: StageContext) -> tuple[Path, str]:
    """Directory and digest of the model to evaluate."""
    if "checkpoint" in ctx.inputs:
        checkpoint = ctx.checkpoint()
        return checkpoint.path, checkpoint.digest
    path, pinned = split_pin(ctx.params["base_model"])
    if not path.is_dir():
        raise NoInputError(f"base model {path} does not exist; check preflight's base_model")
    digest = fingerprint(path)
    if pinned and digest != pinned:
        raise DataError(f"base model {path} has changed since preflight; start the run again")
    return path, digest


def _rows(
    label: str,
    questions: Questions,
    greedy: Sequence[tuple[Response, Scored]],
    samples: dict[int, list[tuple[Response, Scored]]],
) -> Iterator[dict[str, Any]]:
    """Rows of the predictions: of each item the greedy answer as sample 0, then its samples from 1 on."""
    for index, item in enumerate(questions.items):
        for number, (response, scored) in enumerate([greedy[index], *samples.get(index, [])]):
            yield {
                "benchmark": item.benchmark,
                "item_id": item.item_id,
                "image_group": item.image_group,
                "category": item.category,
                "model": label,
                "sample_no": number,
                "response": response.text,
                "extracted": scored.extracted,
                "score": scored.score,
                "response_tokens": response.tokens,
            }


def _scores(label: str, digest: str, results: Results, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "label": label,
        "checkpoint_digest": digest,
        "metrics": {name: estimate.to_json() for name, estimate in results.metrics.items()},
        "by_category": {
            name: {category: estimate.to_json() for category, estimate in categories.items()}
            for name, categories in results.by_category.items()
        },
        "details": results.details,
        "settings": settings,
    }


def _settings(
    config: Config, questions: Questions, prompt_hash: str, engine: dict[str, Any]
) -> dict[str, Any]:
    """What the numbers depend on beside the model."""
    return {
        "seed": config.seed,
        "decoding": {
            "greedy": {"max_new_tokens": config.max_new_tokens},
            "samples": {
                "per_item": config.samples_per_item,
                "temperature": config.temperature,
                "max_new_tokens": config.max_new_tokens,
            },
            "batch_size": config.batch_size,
        },
        "prompt_style": config.prompt_style,
        "prompt_hash": prompt_hash,
        "engine": engine,
        "intervals": {
            "method": "bootstrap of image groups, expanded percentiles",
            "confidence": config.confidence,
            "resamples": config.bootstrap_resamples,
        },
        "benchmarks": questions.sources,
    }

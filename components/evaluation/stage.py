"""Read the benchmarks, ask the model, score, write predictions, scores and the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from components.core.data.files import write_json_atomic
from components.core.data.pins import fingerprint, split_pinned_uri
from components.core.sources.copies import has_changed, local_copy
from components.core.stage.context import StageContext
from components.core.stage.errors import DataError, NoInputError
from components.core.stage.log import ProgressBar
from components.core.stats import Bootstrap
from components.evaluation.asking import ask, prompt_for, prompts_hash, template_hashes
from components.evaluation.config import Config
from components.evaluation.engines import Decoding, Engine, Response, open_engine
from components.evaluation.items import Questions, read_questions, subset
from components.evaluation.report import EvaluatedModel, markdown, write_report
from components.evaluation.results.comparison import compare, read_other
from components.evaluation.results.confusion import confusion
from components.evaluation.results.summary import Answered, summarise
from components.evaluation.scoring import score_all
from components.evaluation.scoring.judge import Judge

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
    other = None
    if "compare_with" in ctx.inputs:
        other = read_other(ctx.dataset("compare_with", table="predictions"), questions.items)
    path, digest = _model(ctx)
    prompts = [prompt_for(item, config.prompt_style) for item in questions.items]
    answers, drawn = _ask(config, ctx, questions, prompts, path)
    judge = None
    if config.judge is not None:
        judge = Judge(config.judge, ctx.work.journal("judge"), ctx.log, config.judge_max_failed)
    greedy, samples = _score(questions, answers, drawn, judge)

    label, scored = ctx.params["label"], [found for _, found in greedy]
    bootstrap = Bootstrap(config.confidence, config.bootstrap_resamples, config.seed)
    sample_scores = {i: [found for _, found in group] for i, group in samples.items()}
    results = summarise(questions.items, greedy, sample_scores, pass_k=config.pass_k, bootstrap=bootstrap)
    comparison = None if other is None else compare(questions.items, scored, other, bootstrap)

    with ctx.writer("predictions", table="predictions") as writer:
        rows = _rows(label, questions, greedy, samples)
        while batch := list(islice(rows, _WRITE_ROWS)):
            writer.write(batch)
    settings = _settings(config, questions, prompts, ctx.work.journal("answers").get("engine"), judge)
    scores = {"label": label, "checkpoint_digest": digest, **results.to_json(), "settings": settings}
    if comparison is not None:
        scores["comparison"] = comparison.to_json()
    write_json_atomic(ctx.outputs["scores"], scores)
    write_json_atomic(ctx.outputs["confusion"], confusion(questions.items, scored).to_kfp())
    ctx.outputs["summary"].write_text(markdown(label, results, comparison), encoding="utf-8")
    for name, found in results.metrics.items():
        ctx.metrics |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
        ctx.log.info("%s = %.4f [%.4f, %.4f]", name, found.value, found.low, found.high, extra={"n": found.n})
    ctx.metrics["items"] = len(questions.items)
    evaluated = EvaluatedModel(label, questions, greedy, results)
    write_report(ctx.report, evaluated, comparison, other, config.confidence, config.report_examples)


def _model(ctx: StageContext) -> tuple[Path, str]:
    """Directory and digest of the model to evaluate."""
    if "checkpoint" in ctx.inputs:
        checkpoint = ctx.checkpoint()
        return checkpoint.path, checkpoint.digest
    reference = ctx.params["base_model"]
    path = local_copy(reference)
    if not path.is_dir():
        raise NoInputError(f"base model {path} does not exist; check preflight's base_model")
    if has_changed(reference, path):
        raise DataError(f"base model {path} has changed since preflight; start the run again")
    return path, split_pinned_uri(reference)[1] or fingerprint(path)


def _ask(
    config: Config, ctx: StageContext, questions: Questions, prompts: Sequence[str], path: Path
) -> tuple[dict[int, list[Response]], dict[int, list[Response]]]:
    """The greedy response to every item, and the samples of the pass@k items, by item index."""
    journal, label = ctx.work.journal("answers"), ctx.params["label"]

    @lru_cache(maxsize=1)
    def engine() -> Engine:
        opened = open_engine(config, path, ctx.work.journal("requests"), ctx.log)
        journal.put("engine", opened.describe())
        return opened

    def asked(name: str, title: str, chosen: Sequence[int], decoding: Decoding) -> dict[int, list[Response]]:
        chunk = max(1, config.chunk_items // decoding.samples)
        with ProgressBar(len(chosen), f"{label}: {title}", ctx.log) as bar:
            return ask(
                engine, questions, prompts, chosen, decoding,
                chunk_items=chunk, journal=journal, name=name, on_answer=bar.update,
            )  # fmt: skip

    answers = asked("greedy", "greedy answers", range(len(questions.items)), Decoding(1, 0.0, config.seed))
    domain = questions.of_role("domain")
    chosen = subset([questions.items[i].item_id for i in domain], config.pass_at_k_items)
    count = config.samples_per_item
    if not count or not chosen:
        return answers, {}
    decoding = Decoding(count, config.temperature, config.seed)
    return answers, asked("samples", f"{count} samples each", [domain[n] for n in chosen], decoding)


def _score(
    questions: Questions,
    answers: Mapping[int, Sequence[Response]],
    drawn: Mapping[int, Sequence[Response]],
    judge: Judge | None,
) -> tuple[Answered, dict[int, Answered]]:
    """Responses with their scores: greedy ones by item, samples by item index. The judge is asked once."""
    items, indices = questions.items, sorted(drawn)
    asked = [*items, *(items[i] for i in indices for _ in drawn[i])]
    said = [answers[i][0] for i in range(len(items))] + [r for i in indices for r in drawn[i]]
    pairs = iter(zip(said, score_all(asked, [response.text for response in said], judge), strict=True))
    return list(islice(pairs, len(items))), {i: list(islice(pairs, len(drawn[i]))) for i in indices}


def _rows(
    label: str, questions: Questions, greedy: Answered, samples: Mapping[int, Answered]
) -> Iterator[dict[str, Any]]:
    """Rows of the predictions: of each item the greedy answer as sample 0, then its samples from 1 on."""
    for index, item in enumerate(questions.items):
        for number, (response, found) in enumerate([greedy[index], *samples.get(index, [])]):
            yield {
                "benchmark": item.benchmark,
                "item_id": item.item_id,
                "group": item.group or item.item_id,
                "image_group": item.image_group,
                "category": item.category,
                "model": label,
                "sample_no": number,
                "response": response.text,
                "extracted": found.extracted,
                "stage": found.stage,
                "score": found.score,
                "response_tokens": response.tokens,
            }


def _settings(
    config: Config, questions: Questions, prompts: Sequence[str], engine: dict[str, Any], judge: Judge | None
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
        "prompt_hash": prompts_hash(prompts),
        "prompt_templates": template_hashes(questions.items),
        "judge": None if judge is None else judge.identity,
        "engine": engine,
        "intervals": {
            "method": "Wilson's interval with the effective sample size of a cluster bootstrap over "
            "pictures; expanded bootstrap percentiles for tokens; Agresti-Min for paired differences",
            "confidence": config.confidence,
            "resamples": config.bootstrap_resamples,
        },
        "benchmarks": questions.sources,
    }

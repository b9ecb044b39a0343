"""Greedy answers of a real vLLM against transformers', both in float32, item by item.

Three engines of the evaluation answer the demo's domain, general and hallucination benchmarks with its base
model: transformers, a vLLM server as endpoint, and vLLM in the stage's process. Texts are compared item by
item. Where one differs, transformers' gap between its own token and the next best at that place is reported:
a gap near nothing is a tie. Target: all texts equal.

    python -m benchmarks.evaluation.engines [--world DIR] [--checkpoint DIR] [--scale 1.0]

`make bench-vllm` runs it. Wants `make vllm` and the demo's world.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness import result, timed
from benchmarks.vllm_server import Server, in_vllm, python_of_vllm
from components.core.resume.journal import Journal
from components.core.vlm import load_model, load_processor, prompt_text, set_threads
from components.core.vlm.processor import open_image
from components.core.vlm.sampling import generate
from components.evaluation.asking import ask, content_parts, prompt_for
from components.evaluation.config import BenchmarkRef, Config, Role
from components.evaluation.engines import Decoding, Parts, open_engine
from components.evaluation.engines.base import split_parts
from components.evaluation.items import Questions, subset
from demo.base.settings import SHIPPED

TOKENS = 32
ROLES: tuple[Role, ...] = ("domain", "general", "hallucination")
LOG = logging.getLogger("engines")


def read(world: Path, scale: float) -> Questions:
    """The items of the demo's benchmarks, or a share of them."""
    questions = Questions()
    for role in ROLES:
        questions.add_benchmark(
            BenchmarkRef(name=role, role=role, ref=str(world / "benchmarks" / role)), None
        )
    keys = [f"{item.benchmark}/{item.item_id}" for item in questions.items]
    questions.items = [questions.items[i] for i in subset(keys, round(scale * len(keys)))]
    return questions


def answers(questions: Questions, checkpoint: Path, **settings: Any) -> tuple[list[str], dict[str, Any]]:
    """The texts of one engine, in the items' order, and what the engine says of itself."""
    config = Config(dtype="float32", max_new_tokens=TOKENS, **settings)
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "answers")
        engine = open_engine(config, checkpoint, Journal(Path(folder) / "replies"), LOG)
        found = ask(
            lambda: engine,
            questions,
            [prompt_for(item, "plain") for item in questions.items],
            range(len(questions.items)),
            Decoding(1, 0.0, 0),
            chunk_items=config.chunk_items,
            journal=journal,
            name="greedy",
        )
        return [found[i][0].text for i in range(len(questions.items))], engine.describe()


def by_endpoint(questions: Questions, checkpoint: Path, folder: Path) -> tuple[list[str], dict[str, Any]]:
    """The texts that a vLLM server gives; its start does not count in `seconds`."""
    server = Server(checkpoint, folder / "server.log")
    try:
        server.start()
        endpoint = {"base_url": server.url, "model": "teacher", "timeout_s": 600.0, "max_concurrency": 16}
        (texts, described), seconds = timed(
            lambda: answers(questions, checkpoint, engine="endpoint", endpoint=endpoint)
        )
        return texts, {**described, "seconds": round(seconds, 1)}
    finally:
        server.kill()


def in_process(args: argparse.Namespace, folder: Path) -> tuple[list[str], dict[str, Any]]:
    """The texts of vLLM in a stage's process, which is one of vLLM's environment."""
    out = folder / "vllm.json"
    command = ["-m", "benchmarks.evaluation.engines", "--world", str(args.world), "--scale", str(args.scale)]
    done = in_vllm([*command, "--checkpoint", str(args.checkpoint), "--only-vllm", str(out)], timeout_s=7200)
    if done.returncode:
        raise SystemExit(f"vLLM in process ended with {done.returncode}:\n{done.stderr[-3000:]}")
    said = json.loads(out.read_text(encoding="utf-8"))
    return said["texts"], said["engine"]


def only_vllm(args: argparse.Namespace) -> None:
    """What `in_process` runs: answer with vLLM here, and write texts and engine to a file."""
    started = time.monotonic()
    texts, described = answers(read(args.world, args.scale), args.checkpoint, engine="vllm")
    described["seconds"] = round(time.monotonic() - started, 1)
    args.only_vllm.write_text(json.dumps({"texts": texts, "engine": described}), encoding="utf-8")


class Gaps:
    """How sure transformers is where another engine's text leaves its own."""

    def __init__(self, checkpoint: Path) -> None:
        self._model = load_model(checkpoint, "float32")
        self._processor = load_processor(checkpoint)

    def at(self, parts: Parts, other: str) -> float:
        """Gap in nats between the two best tokens at the first place where `other` differs."""
        pictures, content = split_parts(parts)
        ids = generate(self._model, self._processor, [(pictures, content)], max_new_tokens=TOKENS)[0][0].ids
        inputs = self._processor(
            text=[prompt_text(self._processor, content)],
            images=[open_image(picture) for picture in pictures] or None,
            return_tensors="pt",
        )
        shared = ids[: self._shared(ids, other)]
        for name, value in (("input_ids", None), ("attention_mask", 1), ("mm_token_type_ids", 0)):
            if name in inputs:
                more = list(shared) if value is None else [value] * len(shared)
                inputs[name] = torch.cat([inputs[name], torch.tensor([more], dtype=torch.long)], dim=1)
        with torch.inference_mode():
            best = self._model(**inputs, logits_to_keep=1).logits[0, -1].float().log_softmax(-1).topk(2)
        return float(best.values[0] - best.values[1])

    def _shared(self, ids: Sequence[int], other: str) -> int:
        """How many tokens the other text begins with."""
        decode = self._processor.tokenizer.decode
        for count in range(1, len(ids)):
            if not other.startswith(decode(ids[:count], skip_special_tokens=True).strip()):
                return count - 1
        return len(ids) - 1


def compared(questions: Questions, plain: Sequence[str], others: Sequence[str], gaps: Gaps) -> dict[str, Any]:
    """Equal texts, and for those that differ both texts and transformers' gap."""
    differ = [i for i, (ours, theirs) in enumerate(zip(plain, others, strict=True)) if ours != theirs]
    return {
        "equal": len(plain) - len(differ),
        "differ": [
            {
                "item": questions.items[i].item_id,
                "transformers": plain[i],
                "vllm": others[i],
                "gap_nats": round(gaps.at(_parts(questions, i), others[i]), 6),
            }
            for i in differ[:20]
        ],
    }


def _parts(questions: Questions, index: int) -> Parts:
    item = questions.items[index]
    pictures = questions.pictures(item)
    parts = content_parts(prompt_for(item, "plain"), len(pictures))
    return [pictures[part] if isinstance(part, int) else part for part in parts]


def main() -> None:
    """Ask all three and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--world", type=Path, default=Path("build/demo/world"), help="the demo's world")
    parser.add_argument("--checkpoint", type=Path, default=SHIPPED, help="model to ask")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the items")
    parser.add_argument("--only-vllm", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only_vllm is not None:
        only_vllm(args)
        return
    if not python_of_vllm().is_file():
        raise SystemExit(f"no vLLM at {python_of_vllm()}: run `make vllm`")
    set_threads()
    questions = read(args.world, args.scale)
    (plain, described), seconds = timed(lambda: answers(questions, args.checkpoint, engine="transformers"))
    gaps = Gaps(args.checkpoint)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        served, of_server = by_endpoint(questions, args.checkpoint, folder)
        own, of_process = in_process(args, folder)
    endpoint = compared(questions, plain, served, gaps)
    process = compared(questions, plain, own, gaps)
    result(
        "evaluation_engines",
        model=str(args.checkpoint),
        items=len(plain),
        different_texts=len(set(plain)),
        engines={
            "transformers": {**described, "seconds": round(seconds, 1)},
            "endpoint": of_server,
            "in_process": of_process,
        },
        endpoint=endpoint,
        in_process=process,
        met=endpoint["equal"] == process["equal"] == len(plain),
    )


if __name__ == "__main__":
    main()

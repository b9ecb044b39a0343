"""What a step of reinforcement learning costs besides rollouts and the policy's passes.

    python -m benchmarks.rl.overhead [--prompts 64] [--group 16] [--tokens 512] [--steps 1]

One step of the stage's own trainer at 64 prompts x 16 rollouts x at most 512 tokens. The model has the demo's
architecture and random weights; pictures and questions are the demo's. Timed inside the trainer: `generate`
(rollouts), the policy's forward pass, the backward pass, the optimizer, and the scorer alone (all rewards,
clusters, advantages). The rest of the step is everything else: decoding pictures, preparing and padding,
gathering, logging.

Target: everything but rollouts, forward and backward at most 3 % of the step.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import components.hybrid_rl.trainer as trainer_module
from benchmarks.harness import result
from benchmarks.stages import demo_output
from benchmarks.training.gpu import write_2b
from benchmarks.training.packing import write_model
from components.core.data.dataset import Dataset
from components.core.data.image_store import ImageStore
from components.core.vlm import load_model, load_processor, set_threads
from components.core.vlm.tokens import banned_token_ids
from components.hybrid_rl.config import Config
from components.hybrid_rl.rollouts.prompts import candidates
from components.hybrid_rl.rollouts.sampler import PromptSampler
from components.hybrid_rl.scoring import Scorer
from components.hybrid_rl.settings import Prompts
from components.hybrid_rl.trl_config import grpo_config

TEMPERATURE = 50.0
"""High, so that random weights write random tokens and not one of them again and again."""


class Clock:
    """Seconds by name, of functions that it wraps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def time(self, owner: Any, attribute: str, name: str) -> None:
        """Add the time that a function or method of `owner` takes to `name`."""
        function: Callable[..., Any] = getattr(owner, attribute)

        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[name] += time.perf_counter() - started

        setattr(owner, attribute, timed)


def main(prompts: int, group: int, tokens: int, steps: int, size: str = "demo") -> None:
    """Train so many steps and print where the time went."""
    set_threads()
    config = Config(
        max_steps=steps, prompts_per_step=prompts, group_size=group, max_completion_tokens=tokens,
        micro_batch_rollouts=group, save_steps=steps, temperature=TEMPERATURE,
        prompts=Prompts(pass_rate_samples=0, max_candidates=4 * prompts),
    )  # fmt: skip
    clock = Clock()
    with tempfile.TemporaryDirectory() as directory:
        path = (write_2b if size == "2b" else write_model)(Path(directory) / "model")
        model, processor = load_model(path, "float32"), load_processor(path)
        kept = Dataset.open(demo_output("voting_filter", "qa_kept"), "qa_kept").rows_iter()
        chosen = candidates(kept, config.prompts.max_candidates, 0)
        store = ImageStore(Dataset.open(demo_output("image_ingest", "images"), "images"))
        sampler = PromptSampler(
            [p.prompt_id for p in chosen], [p.hardness for p in chosen], config.prompts, steps, 0
        )
        scorer = Scorer(config)
        lengths: list[int] = []

        def observe(scored: Any, step: int) -> None:
            sampler.observe(scored.success)
            lengths.extend(rollout.tokens for rollout in scored.rollouts)

        reward = trainer_module.HybridAdvantage(
            scorer, trainer_module.end_tokens(model, processor), [observe]
        )
        trainer = trainer_module.HybridTrainer(
            model=model, processing_class=processor, reward_funcs=[reward],
            args=grpo_config(config, str(Path(directory) / "out"), 1, banned_token_ids(processor)),
            train_dataset=trainer_module.training_set(chosen, store), prompt_sampler=sampler,
        )  # fmt: skip
        trainer.args.save_strategy = "no"
        clock.time(trainer_module, "generate", "rollouts")
        clock.time(trainer, "_per_token_logps", "forward")
        clock.time(trainer.accelerator, "backward", "backward")
        clock.time(scorer, "singles", "scoring")
        clock.time(scorer, "score", "scoring")
        started = time.perf_counter()
        trainer.train()
        total = time.perf_counter() - started
    policy = sum(clock.seconds[name] for name in ("rollouts", "forward", "backward"))
    share = (total - policy) / total
    result(
        "rl_overhead" if size == "demo" else f"rl_overhead_{size}",
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        shape={"prompts": prompts, "group": group, "max_tokens": tokens, "steps": steps},
        mean_response_tokens=round(sum(lengths) / len(lengths), 1),
        step_s=round(total / steps, 2),
        **{f"{name}_s": round(seconds / steps, 3) for name, seconds in clock.seconds.items()},
        other_s=round((total - policy) / steps, 3),
        other_share=round(share, 4),
        scoring_share=round(clock.seconds["scoring"] / total, 4),
        target_share=0.03,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("prompts", 64), ("group", 16), ("tokens", 512), ("steps", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--model", choices=("demo", "2b"), default="demo", help="whose sizes; 2b wants a GPU")
    given = parser.parse_args()
    main(given.prompts, given.group, given.tokens, given.steps, given.model)

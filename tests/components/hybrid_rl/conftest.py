from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.core.data.checkpoint import commit_checkpoint
from components.core.data.dataset import DatasetWriter
from components.core.data.hashing import sha256_hex

FAST: dict[str, Any] = {
    "max_steps": 3,
    "prompts_per_step": 2,
    "group_size": 4,
    "k": 2,
    "max_completion_tokens": 6,
    "learning_rate": 1e-3,
    "save_steps": 1,
    "rollouts_every_steps": 1,
    "mask_truncated": False,
    "prompts": {"max_candidates": 4, "pass_rate_samples": 2},
}


MY_REWARDS = """
import os
import re
import time
import zlib

def brevity(rollout):
    return -float(rollout.tokens)

def checksum(rollout):
    return zlib.crc32(rollout.response.encode()) / 2**32

def fussy(rollout):
    if rollout.response == "8":
        raise RuntimeError("cannot read an eight")
    return None if rollout.response == "9" else 1.0

def slow(rollout):
    time.sleep(30 if rollout.response == "8" else 0)
    return 1.0

def stuck(rollout):
    # Backtracks for centuries inside one call, in which no other thread of its process runs.
    return float(re.fullmatch("(a+)+b", "a" * (99 if rollout.response == "8" else 3)) is None)

def dies(rollout):
    if rollout.response == "8":
        os._exit(1)
    return 1.0

def endless(rollout):
    return float("inf")
"""


@pytest.fixture
def my_rewards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a module with a user's own reward functions."""
    (tmp_path / "users_own_rewards.py").write_text(MY_REWARDS)
    monkeypatch.syspath_prepend(tmp_path)
    return "users_own_rewards"


@dataclass
class World:
    """Committed inputs of the stage in a directory, and how to run it on them."""

    root: Path

    def argv(self, out: str, **config: Any) -> list[str]:
        """The stage's command line, writing below `out`."""
        target = self.root / out
        flags = {
            "--init-checkpoint": self.root / "init",
            "--images": self.root / "images",
            "--qa-kept": self.root / "qa",
        }
        flags |= {f"--{name}": target / name for name in ("checkpoint", "rollouts")}
        flags |= {"--metrics": target / "metrics.json", "--report": target / "report.html"}
        return ["--config", json.dumps({**FAST, **config}), *(str(x) for pair in flags.items() for x in pair)]

    def run(self, out: str, **config: Any) -> int:
        """Run the stage in this process."""
        from components.core.stage.runner import stage_main
        from components.hybrid_rl.component import IO
        from components.hybrid_rl.config import Config
        from components.hybrid_rl.stage import run

        return stage_main("hybrid_rl", Config, IO, run, self.argv(out, **config))


def _qa(i: int, image_id: str, split: str) -> dict[str, Any]:
    kinds = [
        ("How many shapes?", "7", "number", []),
        ("Is there a circle?", "no", "yes_no", []),
        ("Which colour?", "A", "choice", ["red", "green"]),
    ]
    question, answer, answer_type, choices = kinds[i % 3]
    return {
        "qa_id": f"q{i}",
        "image_id": image_id,
        "topic_id": "t",
        "split": split,
        "question": question,
        "answer": answer,
        "answer_type": answer_type,
        "choices": choices,
        "reasoning": "",
        "objects": [],
        "skills": [],
        "round": 0,
        "parent_id": "",
        "history": "[]",
        "generator": "g",
        "prompt_hash": "h",
        "agreement": 1.0,
        "difficulty": 0.1 * (i % 4),
    }


@pytest.fixture
def world(
    tmp_path: Path, tiny_checkpoint: Path, coloured_pictures: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> World:
    monkeypatch.setenv("VLM_WORK_ROOT", str(tmp_path / "work"))
    shutil.copytree(tiny_checkpoint, tmp_path / "init")
    commit_checkpoint(tmp_path / "init")
    ids = [sha256_hex(picture) for picture in coloured_pictures]
    with DatasetWriter(tmp_path / "images", "images") as writer:
        writer.write(
            [
                {
                    "image_id": key,
                    "bytes": data,
                    "format": "PNG",
                    "width": 48,
                    "height": 48,
                    "phash": 0,
                    "source_uri": "x",
                    "split": "train",
                }
                for key, data in zip(ids, coloured_pictures, strict=True)
            ]
        )
    with DatasetWriter(tmp_path / "qa", "qa_kept") as writer:
        writer.write([_qa(i, ids[i % 6], "train" if i < 8 else "heldout") for i in range(10)])
    return World(tmp_path)


@pytest.fixture
def make_trainer(tiny_checkpoint: Path, coloured_pictures: list[bytes], tmp_path: Path) -> Callable[..., Any]:
    """A function that builds a `HybridTrainer` on the tiny checkpoint, six pictures and one question each.

    With a teacher it is a `TeacherTrainer`.
    """

    class Pictures:
        def get(self, image_id: str) -> bytes:
            return coloured_pictures[int(image_id)]

    def build(observers: tuple[Any, ...] = (), taught_by: Any = None, **config: Any) -> Any:
        from components.core.vlm import load_processor
        from components.core.vlm.tokens import banned_token_ids
        from components.hybrid_rl.config import Config
        from components.hybrid_rl.policy import adapter_config, load_policy
        from components.hybrid_rl.rollouts.prompts import Prompt
        from components.hybrid_rl.rollouts.sampler import PromptSampler
        from components.hybrid_rl.scoring import Scorer
        from components.hybrid_rl.trainer import (
            HybridAdvantage,
            HybridTrainer,
            end_tokens,
            training_set,
        )
        from components.hybrid_rl.trl_config import grpo_config

        settings = Config.model_validate({**FAST, **config})
        words = ["How", "many", "shapes", "are", "there", "in", "this", "picture", "here"]
        prompts = [
            Prompt(
                prompt_id=f"p{i}",
                image_id=str(i),
                question=" ".join(words[: 3 + i]),
                answers=("7",),
                answer_type="number",
                difficulty=0.1 * i,
            )
            for i in range(6)
        ]
        sampler = PromptSampler(
            [p.prompt_id for p in prompts], [p.hardness for p in prompts], settings.prompts, 3, 0
        )
        model, processor = load_policy(tiny_checkpoint, settings), load_processor(tiny_checkpoint)
        settle = lambda scored, step: sampler.observe(scored.success)  # noqa: E731
        reward = HybridAdvantage(Scorer(settings), end_tokens(model, processor), [settle, *observers])
        kind, taught = HybridTrainer, {}
        if taught_by is not None:
            from components.hybrid_rl.teacher.trainer import TeacherTrainer

            rewards, weight = settings.objective == "both", settings.teacher.weight
            kind, taught = TeacherTrainer, {"teacher": taught_by, "rewards": rewards, "weight": weight}
        return kind(
            opmd_tau=settings.opmd_tau if settings.loss == "opmd" else None,
            model=model,
            processing_class=processor,
            reward_funcs=[reward],
            args=grpo_config(settings, str(tmp_path / "trainer"), 1, banned_token_ids(processor)),
            train_dataset=training_set(prompts, Pictures()),
            peft_config=adapter_config(model, settings),
            prompt_sampler=sampler,
            **taught,
        )

    return build

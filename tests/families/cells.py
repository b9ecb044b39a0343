"""What is asked of every family: one function a column of the matrix in `docs/models.md`.

A function takes a `World` and fails where the family does wrong. It returns "" for a cell that works, or the
reason of a refusal, after seeing that the stage and preflight refuse.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from components.core.conversations import GeneralData
from components.core.conversations.pictures import Sizes
from components.core.stage.errors import ConfigError
from components.core.training.result import write_result
from components.core.vlm import generate, load_model, load_processor
from components.core.vlm.families import family_for, family_of, read_config
from components.core.vlm.messages import build_conversation, prompt_text
from components.curriculum_sft.config import Config
from components.curriculum_sft.data.batches import ConversationCollator
from components.curriculum_sft.data.checks import partition, planner_for
from components.curriculum_sft.data.prepare import verify
from components.curriculum_sft.training.optimizer import MuonAdamW
from components.curriculum_sft.training.probes import row_losses
from components.curriculum_sft.training.trainer import Setup
from components.preflight.base_model import check_base_model

COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}
SIZES = ((48, 48), (64, 40), (33, 48), (96, 50))


def png(colour: str, size: tuple[int, int], seed: int) -> bytes:
    """A noisy picture of one colour, (width, height) px."""
    noise = np.random.default_rng(seed).integers(-20, 20, (size[1], size[0], 3))
    buffer = io.BytesIO()
    Image.fromarray(np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass
class Pictures:
    """Eight pictures of four sizes, by id."""

    kept: dict[str, bytes] = field(
        default_factory=lambda: {f"p{n}": png(list(COLOURS)[n % 3], SIZES[n % 4], n) for n in range(8)}
    )

    def __contains__(self, image_id: str) -> bool:
        return image_id in self.kept

    def get(self, image_id: str) -> bytes:
        return self.kept[image_id]

    def size(self, image_id: str) -> tuple[int, int]:
        width, height = Image.open(io.BytesIO(self.kept[image_id])).size
        return height, width


@dataclass
class World:
    """A family's tiny checkpoint, and samples to train on."""

    model_type: str
    path: Path
    out: Path
    pictures: Pictures = field(default_factory=Pictures)

    def refusal(self, what: str) -> str:
        """Why the family cannot do something, "" if it can."""
        return family_for(self.model_type).refusals(read_config(self.path)).get(what, "")

    def rows(self) -> list[dict[str, Any]]:
        """Unchecked samples: one question, two about one picture, two pictures, none."""
        found = []
        for n in range(8):
            colour, other = list(COLOURS)[n % 3], list(COLOURS)[(n + 1) % 3]
            turns = [("What colour is the picture?", colour), (f"Is the picture {other}?", "no")][: 1 + n % 2]
            ids = [f"p{n}"] if n != 6 else ["p6", "p7"]
            found.append(self._row(f"s{n}", build_conversation(turns, len(ids)), ids))
        return [*found, self._row("text", build_conversation([("Is the picture it?", "no")], 0), [])]

    def _row(self, sample_id: str, turns: Any, ids: list[str]) -> dict[str, Any]:
        shown = {"image_ids": ids, "images": ids, "source": "domain", "weight": 1.0}
        return {"sample_id": sample_id, "messages": json.dumps(turns), **shown}

    def planned(self, rows: list[dict[str, Any]], processor: Any) -> list[dict[str, Any]]:
        """The rows with their lengths; every one has to pass."""
        general = GeneralData()
        planner = planner_for(self.path, processor, [], general, Config())
        planner.sizes = Sizes({name: self.pictures.size(name) for name in self.pictures.kept}, [])
        good, bad = partition(rows, planner)
        assert not bad, bad
        return good

    def setup(self, rows: list[dict[str, Any]] | None = None, **config: Any) -> Setup:
        """A trainer's ingredients for two steps."""
        processor = load_processor(self.path)
        settings = {
            "learning_rate": 5e-3, "schedule": "constant", "warmup_share": 0.0, "batch_samples": 9,
            "max_steps": 2, "log_steps": 1, "save_steps": 99, "precision": "float32",
        } | config  # fmt: skip
        return Setup(
            start=self.path,
            processor=processor,
            rows=rows if rows is not None else self.planned(self.rows(), processor),
            pictures=self.pictures,
            config=Config.model_validate(settings),
            directory=self.out / "trainer",
        )


def losses(model: Any, setup: Setup) -> list[float]:
    """Loss of the labelled tokens of every sample, in nats."""
    with torch.no_grad():
        return row_losses(model.eval(), setup.collator()(setup.rows))


def fell(before: list[float], after: list[float]) -> None:
    """The labelled tokens are likelier than before by far more than rounding."""
    assert sum(after) < sum(before) - 0.05 * len(before), (before, after)


def load(world: World) -> str:
    """Every part is there, and an answer's tokens are those between header and end."""
    model, processor = load_model(world.path), load_processor(world.path)
    family = family_of(model)
    assert family is family_of(processor)
    assert {family.part_of(name) for name, _ in model.named_parameters()} == {
        "vision",
        "projector",
        "language",
    }
    vocabulary = processor.tokenizer.get_vocab()
    assert family.end in vocabulary
    assert family.image_token_id(processor) in {vocabulary.get(token) for token in family.banned}
    batch = ConversationCollator(processor, world.pictures)(world.rows()[:2])
    said = [processor.tokenizer.decode(row[row != -100]) for row in batch["labels"]]
    assert [text.replace(family.end, "|").replace(" ", "") for text in said] == ["red|", "green|no|"]
    wanted = family.image_token_id(processor)
    assert not bool((batch["labels"] == wanted).any())
    assert "supported" not in check_base_model(world.path)
    return ""


def plan(world: World) -> str:
    """Lengths from headers are the processor's, with one picture, several and none."""
    processor = load_processor(world.path)
    rows = world.planned(world.rows(), processor)
    verify(rows, len(rows), 0, processor, world.pictures)
    return ""


def sft_padded(world: World) -> str:
    """Two steps of Muon on padded batches make the answers likelier; a frozen tower keeps its weights."""
    from components.curriculum_sft.objectives.sft import sft_trainer

    setup = world.setup(freeze={"vision": True}, optimizer="muon")
    before = losses(load_model(world.path, "float32"), setup)
    trainer = sft_trainer(setup)
    trainer.train()
    assert isinstance(trainer.optimizer.optimizer, MuonAdamW)
    fell(before, losses(trainer.model, setup))
    part_of = family_for(world.model_type).part_of
    begun = dict(load_model(world.path, "float32").named_parameters())
    moved = {part_of(name) for name, p in trainer.model.named_parameters() if not torch.equal(p, begun[name])}
    assert moved == {"projector", "language"}
    return ""


def sft_packed(world: World) -> str:
    """Packed samples have the losses they have alone, and two steps make the answers likelier."""
    from components.curriculum_sft.objectives.sft import sft_trainer

    setup = world.setup(pack_tokens=4096, max_length_tokens=4096, batch_samples=1)
    if reason := world.refusal("packing"):
        with pytest.raises(ConfigError, match="pack_tokens"):
            sft_trainer(setup)
        with pytest.raises(ConfigError, match="pack_tokens"):
            check_base_model(world.path, {"packing": "sft_1_domain.pack_tokens"})
        return reason
    alone = load_model(world.path, "float32")
    before = losses(alone, setup)
    trainer = sft_trainer(setup)
    batch = next(iter(trainer.get_train_dataloader()))
    batch.pop("sample_ids")
    inputs = trainer._prepare_inputs(batch)
    assert inputs["input_ids"].shape[0] == 1
    order = trainer.train_dataset[0]["pack"]
    labels = inputs.pop("labels")[0]
    positions = inputs["position_ids"]
    starts = torch.nonzero((positions[0, 0] if positions.ndim == 3 else positions[0]) == 0).flatten().tolist()
    with torch.no_grad():
        logits = trainer.model.eval()(**inputs).logits[0].float().log_softmax(-1)
    for row, start, stop in zip(order, starts, [*starts[1:], len(labels)], strict=True):
        own = labels[start + 1 : stop]
        chosen = logits[start : stop - 1].gather(1, own.clamp(min=0)[:, None])[:, 0]
        mean = -float(chosen[own != -100].mean())
        assert mean == pytest.approx(before[row], abs=2e-4)
    trainer.model.train()
    trainer.train()
    after = load_model(world.path, "float32")
    after.load_state_dict(trainer.model.state_dict())
    fell(before, losses(after, setup))
    return ""


def dpo(world: World) -> str:
    """Two steps widen the margin of the chosen answers over the rejected ones."""
    from components.curriculum_sft.objectives.dpo import dpo_trainer

    turn = "What colour is the picture?"
    rows = [
        {"sample_id": f"d{n}", "prompt": turn, "chosen": list(COLOURS)[n % 3],
         "rejected": list(COLOURS)[(n + 1) % 3], "image_ids": [f"p{n}"], "source": "domain"}
        for n in range(6)
    ]  # fmt: skip
    processor = load_processor(world.path)
    setup = world.setup(world.planned(rows, processor), objective="dpo", batch_samples=6)
    chosen = [{**row, "messages": json.dumps(build_conversation([(turn, row["chosen"])]))} for row in rows]
    other = [{**row, "messages": json.dumps(build_conversation([(turn, row["rejected"])]))} for row in rows]
    collate = setup.collator()

    def margin(model: Any) -> float:
        good, bad = (sum(row_losses(model.eval(), collate(side))) for side in (chosen, other))
        return bad - good

    begun = margin(load_model(world.path, "float32"))
    trainer = dpo_trainer(setup)
    trainer.train()
    history = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert history[1] < history[0]
    ended = margin(trainer.model)
    assert ended > begun + 0.05, (begun, ended)
    return ""


def distillation(world: World) -> str:
    """Two steps on the model's own answers, with samples beside them, make the samples' answers likelier."""
    from components.curriculum_sft.objectives.distill import distillation_trainer

    processor = load_processor(world.path)
    rows = world.planned(world.rows(), processor)
    for row in rows:
        row["source"] = "general"
    beside = {"supervised_samples": 4, "max_new_tokens": 4, "supervised_weight": 5.0}
    setup = world.setup(rows, objective="distill", batch_samples=4, distillation=beside, domain_share=0.0)
    before = losses(load_model(world.path, "float32"), setup)
    trainer = distillation_trainer(setup)
    trainer.train()
    fell(before, losses(trainer.model, setup))
    divergence = [entry["divergence"] for entry in trainer.state.log_history if "divergence" in entry]
    assert divergence and np.isfinite(divergence).all()
    return ""


def rl(world: World) -> str:
    """Two steps make the rewarded first tokens likelier."""
    from components.core.vlm.tokens import banned_token_ids
    from components.hybrid_rl.config import Config as RlConfig
    from components.hybrid_rl.rollouts.prompts import Prompt
    from components.hybrid_rl.rollouts.sampler import PromptSampler
    from components.hybrid_rl.trainer import HybridTrainer, training_set
    from components.hybrid_rl.trl_config import grpo_config

    settings = RlConfig.model_validate(
        {"max_steps": 2, "prompts_per_step": 2, "group_size": 16, "k": 2, "max_completion_tokens": 1,
         "learning_rate": 5e-3, "mask_truncated": False, "dtype": "float32"}
    )  # fmt: skip
    model, processor = load_model(world.path, "float32"), load_processor(world.path)
    asked = [
        Prompt(prompt_id=f"q{n}", image_id=f"p{n}", question="What colour is the picture?" + " it" * n,
               answers=("red",), answer_type="span", difficulty=0.1)
        for n in range(2)
    ]  # fmt: skip

    seen: list[tuple[int, float]] = []  # first tokens of the first generation, and their rewards

    def even(completion_ids: list[list[int]], **_: Any) -> list[float]:
        rewards = [1.0 if ids[0] % 2 == 0 else -1.0 for ids in completion_ids]
        if not seen:
            seen.extend((ids[0], reward) for ids, reward in zip(completion_ids, rewards, strict=True))
        return rewards

    def first(policy: Any) -> torch.Tensor:
        """Log-probabilities of the first token of both answers, (2, vocabulary)."""
        shown = [[Image.open(io.BytesIO(world.pictures.get(p.image_id)))] for p in asked]
        texts = [prompt_text(processor, p.question) for p in asked]
        inputs = [
            processor(text=[t], images=[i], return_tensors="pt") for t, i in zip(texts, shown, strict=True)
        ]
        with torch.no_grad():
            return torch.stack([policy.eval()(**one).logits[0, -1].float().log_softmax(-1) for one in inputs])

    before = first(model)
    sampler = PromptSampler([p.prompt_id for p in asked], [p.hardness for p in asked], settings.prompts, 3, 0)
    trainer = HybridTrainer(
        model=model,
        processing_class=processor,
        reward_funcs=[even],
        args=grpo_config(settings, str(world.out / "rl"), 1, banned_token_ids(processor)),
        train_dataset=training_set(asked, world.pictures),  # type: ignore[arg-type]
        prompt_sampler=sampler,
    )
    trainer.train()
    change = (first(model) - before).mean(0)
    gained = {
        sign: [float(change[token]) for token, reward in seen if reward == sign] for sign in (1.0, -1.0)
    }
    assert np.mean(gained[1.0]) > np.mean(gained[-1.0]), gained
    return ""


def evaluation(world: World) -> str:
    """The engine's greedy answers are those of transformers' own `generate`, one question at a time."""
    from components.evaluation.config import Config as EvaluationConfig
    from components.evaluation.engines.base import Decoding
    from components.evaluation.engines.transformers import TransformersEngine

    engine = TransformersEngine(world.path, EvaluationConfig(max_new_tokens=6, dtype="float32"))
    items: list[Any] = [
        [world.pictures.get("p0"), "What colour is the picture?"],
        [world.pictures.get("p1"), world.pictures.get("p2"), "Is it red?"],
        ["Is the picture it and now which one?"],
        [world.pictures.get("p0"), "yes or no?"],
    ]
    found = engine.answer(items, Decoding(1, 0.0, 0), lambda count: None)
    model, processor = load_model(world.path, "float32"), load_processor(world.path)
    banned = sorted(_suppressed(model, processor))
    for item, (answer,) in zip(items, found, strict=True):
        content = [{"type": "text", "text": p} if isinstance(p, str) else {"type": "image"} for p in item]
        text = processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        shown = [Image.open(io.BytesIO(p)).convert("RGB") for p in item if isinstance(p, bytes)]
        inputs = processor(text=[text], images=[shown] if shown else None, return_tensors="pt")
        said = model.generate(**inputs, max_new_tokens=6, do_sample=False, suppress_tokens=banned)
        plain = said[0, inputs["input_ids"].shape[1] :]
        assert answer.text == processor.tokenizer.decode(plain, skip_special_tokens=True).strip()
    several = engine.answer(items[:2], Decoding(3, 1.0, 0), lambda count: None)
    alone = engine.answer(items[:1], Decoding(3, 1.0, 0), lambda count: None)
    assert [response.text for response in several[0]] == [response.text for response in alone[0]]
    return ""


def _suppressed(model: Any, processor: Any) -> set[int]:
    from components.core.vlm.sampling import suppressed_tokens

    return set(suppressed_tokens(model, processor).tolist())


def export(world: World) -> str:
    """The language model's linear layers and experts are quantised, nothing else; the result answers."""
    from components.export.quantise import quantise

    target = world.out / "int8"
    if reason := world.refusal("export"):
        with pytest.raises(ConfigError, match="export"):
            quantise(world.path, target, "int8")
        return reason
    model = load_model(world.path, "float32")
    part_of = family_for(world.model_type).part_of
    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and part_of(name) == "language" and name != "lm_head"
    ]
    fused = [p for name, p in model.named_parameters() if name.endswith(".experts.down_proj")]
    experts = sum(3 * len(stack) for stack in fused)  # gate, up and down of each
    assert quantise(world.path, target, "int8") == len(linear) + experts
    packed = load_model(target, "float32")
    after, before = dict(packed.named_parameters()), dict(model.named_parameters())
    kept = [name for name in before if part_of(name) != "language"]
    assert kept and all(torch.equal(after[name], before[name]) for name in kept)
    said = generate(packed, load_processor(target), [(world.pictures.get("p0"), "red?")], max_new_tokens=2)
    assert said[0][0].tokens
    return ""


def save(trainer: Any, setup: Setup, output: Path) -> None:
    """Write what the stage would make of the trainer's last checkpoint."""
    checkpoint = output.with_name("checkpoint")
    trainer.save_model(str(checkpoint))
    write_result(checkpoint, setup.start, setup.processor, output, "float32")


def reload(world: World) -> str:
    """A trained checkpoint loads in plain transformers with the same logits; the processor is as before."""
    from transformers import AutoModelForImageTextToText

    from components.curriculum_sft.objectives.sft import sft_trainer

    setup = world.setup(max_steps=1)
    trainer = sft_trainer(setup)
    trainer.train()
    output = world.out / "saved"
    save(trainer, setup, output)
    plain = AutoModelForImageTextToText.from_pretrained(output, dtype=torch.float32)
    np.testing.assert_allclose(losses(plain, setup), losses(trainer.model, setup), atol=1e-5)
    again = ConversationCollator(load_processor(output), world.pictures)(setup.rows)
    first = ConversationCollator(setup.processor, world.pictures)(setup.rows)
    assert again.keys() == first.keys()
    assert all(torch.equal(again[name], first[name]) for name in first if name != "sample_ids")
    saved = json.loads((output / "processor_config.json").read_text(encoding="utf-8"))
    given = json.loads((world.path / "processor_config.json").read_text(encoding="utf-8"))
    assert saved["processor_class"] == given["processor_class"]
    return ""


CELLS = {
    "load": load,
    "plan": plan,
    "SFT padded": sft_padded,
    "SFT packed": sft_packed,
    "DPO": dpo,
    "distillation": distillation,
    "RL": rl,
    "evaluation": evaluation,
    "export": export,
    "reload": reload,
}
"""Columns of the matrix, in order."""

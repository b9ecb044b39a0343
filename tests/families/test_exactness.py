"""What could be wrong without an error, asked of every family: masks, shapes, padding, parts, rollouts."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from components.core.training.parts import freeze
from components.core.vlm import load_model, load_processor
from components.core.vlm.expansion import Expansion
from components.core.vlm.families import family_for
from components.core.vlm.messages import build_conversation, prompt_text
from components.core.vlm.processor import token_ids, vision_token_count
from components.curriculum_sft.config import Config
from components.curriculum_sft.data.batches import ConversationCollator, answer_finder
from components.curriculum_sft.training.model import adapter_config
from components.curriculum_sft.training.optimizer import MuonAdamW
from tests.families.cells import World, losses, png
from tests.families.tiny import TINY

SHAPES = ((1, 1), (3, 40), (40, 3), (1, 90), (28, 28), (300, 20), (20, 300), (700, 9), (200, 150), (31, 33))
"""(width, height) px: tiny, narrow, flat, and what processors enlarge or cut down."""
TEXTS = ("red", "red\nor\n\ngreen", "It is red. Answer: red", "Assistant: user\nmodel", "1.5 %", "röd, 红色")


@pytest.fixture(params=TINY)
def world(request, tiny, tmp_path) -> World:
    return World(request.param, tiny(request.param), tmp_path)


def turn(role: str, text: str, images: int = 0) -> dict[str, Any]:
    return {
        "role": role,
        "content": [*({"type": "image"} for _ in range(images)), {"type": "text", "text": text}],
    }


@pytest.mark.parametrize("system", [False, True], ids=["", "system"])
def test_answers_stand_where_the_model_will_speak(world, system):
    """Each labelled span is an answer with its end, behind the very tokens of the prompt that asks for it."""
    processor, family = load_processor(world.path), family_for(world.model_type)
    find = answer_finder(processor)
    talk = [turn("system", "Be brief.")] if system else []
    for n, text in enumerate(TEXTS):
        talk += [turn("user", f"Is the picture it {n}?", images=n == 0), turn("assistant", text)]
    ids = token_ids(processor, processor.apply_chat_template(talk, tokenize=False))
    spans = find(ids)
    said = [processor.tokenizer.decode(ids[start:stop]) for start, stop in spans]
    assert [text.strip() for text in said] == [f"{text}{family.end}" for text in TEXTS]
    answers = [place for place, one in enumerate(talk) if one["role"] == "assistant"]
    for place, (start, _) in zip(answers, spans, strict=True):
        asked = token_ids(processor, prompt_text(processor, talk[:place]))
        if family.opening and place != answers[-1]:
            # An earlier answer stands in the history without what opens the one that is asked for.
            opening = processor.tokenizer(family.opening, add_special_tokens=False)["input_ids"]
            assert asked[-len(opening) :] == opening
            asked = asked[: -len(opening)]
        assert ids[:start] == asked


def test_prompts_do_not_change_with_the_day(tiny):
    """Mistral's template tells the date: a run that goes on after midnight must see the same prompts."""
    processor = load_processor(tiny("mistral3"))
    assert "strftime_now" in processor.chat_template
    assert "The current date is 2026-01-01." in prompt_text(processor, "What colour?")


def test_lengths_of_odd_pictures_are_the_processors(world):
    """Planned without decoding; a shape that the processor refuses is refused when it is planned."""
    processor, family = load_processor(world.path), family_for(world.model_type)
    expansion = Expansion(processor)
    image = family.image_token_id(processor)
    refused = []
    for width, height in SHAPES:
        for count in (1, 3):
            shown = [Image.open(io.BytesIO(png("red", (width, height), n))) for n in range(count)]
            talk = build_conversation([("What colour?", "red")], count)
            text = processor.apply_chat_template(talk, tokenize=False)
            try:
                ids = processor(text=[text], images=[shown])["input_ids"][0]
            except ValueError:
                refused.append((width, height))
                with pytest.raises(ValueError):
                    vision_token_count(processor, height, width)
                with pytest.raises(ValueError):
                    expansion.measure(talk, [(height, width)] * count)
                continue
            assert expansion.measure(talk, [(height, width)] * count) == (len(ids), list(ids).count(image))
            if family.counts_tokens:
                assert vision_token_count(processor, height, width) * count == list(ids).count(image)
    assert len(refused) < len(SHAPES)


def test_flat_pictures_are_not_taken_for_channels_first(world):
    """A picture of 3 px height looks like three channels: turned, it has to come out as itself, turned."""
    processor = load_processor(world.path)
    flat = Image.new("RGB", (40, 3), (250, 10, 10))
    flat.paste((10, 10, 250), (20, 0, 40, 3))  # left red, right blue
    tall = flat.transpose(Image.Transpose.TRANSPOSE)
    wide, high = (load_inputs(processor, one) for one in (flat, tall))
    if "image_grid_thw" in wide:
        assert wide["image_grid_thw"][0, 1:].tolist() == high["image_grid_thw"][0, 1:].tolist()[::-1]
        return
    wide, high = (one["pixel_values"].flatten(0, -4) for one in (wide, high))
    alike = [torch.allclose(wide[n].mT, high[n], atol=0.05) for n in (0, -1)]  # where the whole picture is
    assert any(alike)


def load_inputs(processor: Any, picture: Image.Image) -> Any:
    text = [processor.apply_chat_template(build_conversation([("it?", "red")]), tokenize=False)]
    return processor(text=text, images=[[picture]], return_tensors="pt")


def test_padding_changes_nothing(world):
    """Rows of a padded batch have the losses and the next tokens that they have alone."""
    model, setup = load_model(world.path, "float32"), world.setup()
    together = losses(model, setup)
    collate = ConversationCollator(setup.processor, world.pictures)
    alone = []
    for row in setup.rows:
        batch = collate([row])
        batch.pop("sample_ids")
        with torch.no_grad():
            alone.append(float(model(**batch).loss))
    np.testing.assert_allclose(together, alone, atol=2e-4)
    texts = [prompt_text(setup.processor, json.loads(row["messages"])[:1]) for row in setup.rows]
    shown = [[Image.open(io.BytesIO(world.pictures.get(i))) for i in row["image_ids"]] for row in setup.rows]

    def following(rows: list[int]) -> torch.Tensor:
        images = [shown[i] for i in rows]
        inputs = setup.processor(text=[texts[i] for i in rows], images=images if any(images) else None,
                                 padding=True, padding_side="left", return_tensors="pt")  # fmt: skip
        with torch.no_grad():
            return model(**inputs).logits[:, -1]

    rows = list(range(len(setup.rows)))
    np.testing.assert_allclose(following(rows), torch.cat([following([i]) for i in rows]), atol=2e-4)


def reached(model: nn.Module, outcome: torch.Tensor) -> set[str]:
    """Names of the parameters that an outcome depends on."""
    model.zero_grad()
    outcome.float().square().sum().backward()
    return {name for name, p in model.named_parameters() if p.grad is not None and bool(p.grad.any())}


def test_parts_are_what_pictures_and_texts_pass_through(world):
    """Pictures' features come from the vision tower and the projector alone, a text passes the rest alone."""
    model, processor = load_model(world.path, "float32"), load_processor(world.path)
    family = family_for(world.model_type)
    inputs = load_inputs(processor, Image.open(io.BytesIO(png("red", (48, 48), 0))))
    seen: list[torch.Tensor] = []
    table = model.get_input_embeddings()
    own = inputs["input_ids"] == family.image_token_id(processor)
    hook = family.language_of(model).register_forward_pre_hook(
        lambda module, args, given: seen.append(given["inputs_embeds"]), with_kwargs=True
    )
    model(**inputs)
    hook.remove()
    pictures = reached(model, seen[0][own.to(seen[0].device)])
    text = reached(model, model(**processor(text=["What colour?"], return_tensors="pt")).logits)
    assert pictures and {family.part_of(name) for name in pictures} == {"vision", "projector"}
    assert {family.part_of(name) for name in text} == {"language"}
    language = {name for name, _ in model.named_parameters() if family.part_of(name) == "language"}
    tied = {name for name, p in model.named_parameters() if p is table.weight}
    assert language - text <= tied | {name for name in language if ".experts." in name}
    for part in ("vision", "projector", "language"):
        fresh = load_model(world.path, "float32")
        freeze(fresh, {part}, "freeze")
        assert {family.part_of(n) for n, p in fresh.named_parameters() if not p.requires_grad} == {part}


def test_muon_takes_every_matrix_and_no_table(world):
    """Linear weights and experts are Muon's; embeddings, the head and everything else are AdamW's."""
    model = load_model(world.path, "float32")
    optimizer = MuonAdamW(model, 1e-3, 1e-3, 0.0)
    taken = [id(p) for part in optimizer._parts for group in part.param_groups for p in group["params"]]
    assert sorted(taken) == sorted(id(p) for p in model.parameters())
    muon = {id(p) for group in optimizer._parts[0].param_groups for p in group["params"]}
    head = {id(model.get_output_embeddings().weight)}
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)} | head
    matrices = {id(m.weight) for m in model.modules() if isinstance(m, nn.Linear)} - head
    bare = {id(p) for name, p in model.named_parameters() if name.endswith("mm_input_projection_weight")}
    experts = family_for(world.model_type).experts
    stacks = {id(p) for name, p in model.named_parameters() if experts and name.endswith(experts)}
    routers = {id(p) for name, p in model.named_parameters() if experts and name.endswith("mlp.gate.weight")}
    assert not muon & tables
    assert muon == matrices | bare | stacks | routers


def test_adapters_sit_on_every_named_module_of_what_is_trained(world):
    """All linear layers of the language model by the default names, and none of a frozen tower."""
    from peft import get_peft_model

    model, family = load_model(world.path, "float32"), family_for(world.model_type)
    config = Config(lora={"rank": 2}, freeze={"vision": True, "projector": True})
    wanted = {
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and family.part_of(name) == "language"
        and name.rpartition(".")[2] in config.lora.target_modules
    }
    stacks = {
        name for name, _ in model.named_parameters() if family.experts and name.endswith(family.experts)
    }
    adapted = get_peft_model(model, adapter_config(model, config))
    trained = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert all("lora_" in name for name in trained)
    found = {name.removeprefix("base_model.model.").partition(".lora_")[0] for name in trained}
    plain = {name for name in found if ".experts" not in name}
    assert plain == wanted and bool(found - plain) == bool(stacks)
    layers = model.config.get_text_config().num_hidden_layers
    assert not stacks or sum("lora_A" in name and ".experts" in name for name in trained) == 2 * layers


def test_log_probabilities_of_rollouts_are_those_of_rows_alone(world):
    """In every micro batch: pictures stay with their rows, padding and shuffling change nothing."""
    from components.hybrid_rl.config import Config as RlConfig

    trainer, asked = rl_trainer(world, RlConfig(**RL))
    model, processor = load_model(world.path, "float32"), load_processor(world.path)
    by_prompt = {}
    for prompt in asked:
        shown = [[Image.open(io.BytesIO(world.pictures.get(prompt.image_id)))]]
        alone = processor(text=[prompt_text(processor, prompt.question)], images=shown, return_tensors="pt")
        by_prompt[tuple(alone["input_ids"][0].tolist())] = alone
    compared = 0
    inner = trainer._compute_loss

    def spy(policy: Any, inputs: dict[str, Any]) -> torch.Tensor:
        nonlocal compared
        loss = inner(policy, inputs)
        for row in range(len(inputs["prompt_ids"])):
            kept = inputs["prompt_mask"][row].bool()
            alone = by_prompt[tuple(inputs["prompt_ids"][row][kept].tolist())]
            ids = inputs["completion_ids"][row][inputs["completion_mask"][row].bool()][None]
            longer = {k: v for k, v in alone.items() if k not in TOKENS} | {
                k: torch.cat([alone[k], torch.full_like(ids, fill) if fill is not None else ids], 1)
                for k, fill in TOKENS.items() if k in alone
            }  # fmt: skip
            with torch.no_grad():
                logits = model(**longer).logits[0, -ids.shape[1] - 1 : -1].float().log_softmax(-1)
            wanted = logits.gather(1, ids[0][:, None])[:, 0]
            own = trainer._logps[row][: ids.shape[1]].detach()
            torch.testing.assert_close(own, wanted, rtol=0, atol=2e-4)
            compared += 1
        return loss

    trainer._compute_loss = spy
    trainer.train()
    assert compared == 16


RL: dict[str, Any] = {
    "max_steps": 2, "prompts_per_step": 4, "group_size": 4, "k": 2, "max_completion_tokens": 3,
    "updates_per_generation": 2, "micro_batch_rollouts": 4, "learning_rate": 1e-12, "mask_truncated": False,
    "dtype": "float32",
}  # fmt: skip
TOKENS = {"input_ids": None, "attention_mask": 1, "mm_token_type_ids": 0, "token_type_ids": 0}
"""Inputs with one value a token, and the value of a token of the answer; None is the token itself."""


def rl_trainer(world: World, settings: Any) -> tuple[Any, list[Any]]:
    """A trainer of reinforcement learning on four pictures of four sizes."""
    from components.core.vlm.tokens import banned_token_ids
    from components.hybrid_rl.rollouts.prompts import Prompt
    from components.hybrid_rl.rollouts.sampler import PromptSampler
    from components.hybrid_rl.trainer import HybridTrainer, training_set
    from components.hybrid_rl.trl_config import grpo_config

    model, processor = load_model(world.path, "float32"), load_processor(world.path)
    asked = [
        Prompt(prompt_id=f"q{n}", image_id=f"p{n}", question="What colour is the picture?" + " it" * n,
               answers=("red",), answer_type="span", difficulty=0.1)
        for n in range(4)
    ]  # fmt: skip
    sampler = PromptSampler([p.prompt_id for p in asked], [p.hardness for p in asked], settings.prompts, 3, 0)
    trainer = HybridTrainer(
        model=model,
        processing_class=processor,
        reward_funcs=[lambda completion_ids, **_: [float(ids[0] % 2) for ids in completion_ids]],
        args=grpo_config(settings, str(world.out / "rl"), 1, banned_token_ids(processor)),
        train_dataset=training_set(asked, world.pictures),
        prompt_sampler=sampler,
    )
    return trainer, asked


@pytest.mark.parametrize("model_type", ["gemma3", "glm4v"])
def test_a_familys_end_ends_a_rollout_whatever_the_generation_settings_say(model_type, tiny, tmp_path):
    """A checkpoint may come without `generation_config.json`: TRL would mask all that it samples."""
    from components.hybrid_rl.config import Config as RlConfig

    for file in tiny(model_type).iterdir():
        if file.name != "generation_config.json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    trainer, _ = rl_trainer(World(model_type, tmp_path, tmp_path / "out"), RlConfig(**RL))
    end = trainer.processing_class.tokenizer.convert_tokens_to_ids(family_for(model_type).end)
    assert end in trainer.eos_token_ids

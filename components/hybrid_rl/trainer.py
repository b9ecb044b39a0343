"""Trainer of the policy: TRL's GRPO with our sampler of questions, our advantages, and shared prompts.

TRL sees the advantages as rewards, because a reward function is the one door that it has for them.
`HybridAdvantage` gathers the rollouts of all processes, scores whole groups and returns advantages. With
`scale_rewards="none"` TRL subtracts each group's mean, which is 0 already, and uses them as they are.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, groupby
from math import ceil
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object, is_peft_model
from datasets import Dataset
from torch.utils.data import Sampler
from transformers import TrainerState
from trl import GRPOTrainer
from trl.models import unwrap_model_for_generation

from components.core.data.hashing import seed_for
from components.core.data.image_store import ImageStore
from components.core.training.adapters import bare, merged_parameters
from components.core.training.sharding import uncounted_passes
from components.core.vllm.rollouts import first_step_of
from components.core.vlm import generate, open_image
from components.core.vlm.families import family_of
from components.hybrid_rl.losses.opmd import opmd_loss
from components.hybrid_rl.rollouts import shared_prompt
from components.hybrid_rl.rollouts.prompts import Prompt
from components.hybrid_rl.rollouts.rollout import Rollout, make_rollout
from components.hybrid_rl.rollouts.sampler import GenerationSampler, PromptSampler
from components.hybrid_rl.scoring import Scored, Scorer, metrics

Observer = Callable[[Scored, int], None]
"""Called on every process with each scored batch and the number of steps done."""


class HybridAdvantage:
    """The function that TRL calls for rewards; it returns the hybrid advantages."""

    __name__ = "advantage"  # the name in TRL's logs

    def __init__(
        self,
        scorer: Scorer,
        end_tokens: frozenset[int],
        observers: Sequence[Observer],
        explored: Callable[[], float] = lambda: 0.0,
        asked: Callable[[list[Rollout]], list[Rollout]] | None = None,
    ) -> None:
        self.scorer, self.end_tokens, self.observers = scorer, end_tokens, observers
        self.explored, self.asked = explored, asked

    def __call__(
        self,
        prompts: list[Any],
        completions: list[Any],
        completion_ids: list[list[int]],
        trainer_state: TrainerState,
        log_metric: Callable[[str, float], None],
        **columns: list[Any],
    ) -> list[float]:
        """Advantages of this process's rollouts. Every process calls it with its share of a generation."""
        lists = {name: values for name, values in columns.items() if isinstance(values, list)}
        rows = [{name: values[i] for name, values in lists.items()} for i in range(len(completions))]
        rollouts = [
            make_rollout(row, text[0]["content"], ids, self.end_tokens)
            for row, text, ids in zip(rows, completions, completion_ids, strict=True)
        ]
        if self.asked is not None:
            rollouts = self._told(self.asked, rollouts)
        singles = gather_object(self.scorer.singles(rollouts))
        progress, explored = trainer_state.global_step / max(trainer_state.max_steps, 1), self.explored()
        scored = self.scorer.score(singles, progress, explored)
        log_metric("explored", explored)
        config = self.scorer.config
        for name, value in metrics(scored, config.k, config.guards, config.judge).items():
            log_metric(name, value)
        for observer in self.observers:
            observer(scored, trainer_state.global_step)
        start = PartialState().process_index * len(rollouts)
        return scored.advantages[start : start + len(rollouts)].tolist()

    def _told(self, asked: Callable[[list[Rollout]], list[Rollout]], own: list[Rollout]) -> list[Rollout]:
        """This process's rollouts as served models see them; the first process asks for all."""
        everyone, first = gather_object(own), PartialState().is_main_process
        told = [asked(everyone) if first else None]
        broadcast_object_list(told)
        start = PartialState().process_index * len(own)
        return (told[0] or [])[start : start + len(own)]


class HybridTrainer(GRPOTrainer):
    """`GRPOTrainer` with prioritised questions, and with each prompt encoded once in rollout and update.

    Both shortcuts give what TRL's own path gives (the update within rounding, rollouts from the same
    distribution). In the update the shortcut steps aside where the model is sharded or recomputes
    activations: `not_shared` says why. In rollouts it steps aside where vLLM makes them.
    """

    def __init__(
        self,
        *,
        prompt_sampler: PromptSampler,
        processing_class: Any,
        opmd_tau: float | None = None,
        max_logprob_difference: float = math.inf,
        **kwargs: Any,
    ) -> None:
        self.prompt_sampler = prompt_sampler
        self._opmd_tau = opmd_tau
        self._logps = torch.empty(0)  # (B, T) of the latest forward pass
        # TRL pads prompts on the left itself but takes token types as the processor pads them.
        self._processor: Any = copy.deepcopy(processing_class)
        self._processor.tokenizer.padding_side = "left"
        super().__init__(processing_class=self._processor, **kwargs)
        # TRL drops responses that end in none of these, and knows the generation settings' alone.
        ends = self.eos_token_ids  # type: ignore[has-type]
        self.eos_token_ids = sorted({*ends, *end_tokens(self.model, self._processor)})
        if self.use_vllm and is_peft_model(self.model):
            # TRL merges adapters into the weights and takes them out again, which leaves rounding behind.
            gather = self.vllm_generation._dist.gather_params
            self.vllm_generation._iter_named_params = lambda: merged_parameters(self.model, gather)
        setting = "hybrid_rl.vllm.max_logprob_difference"
        self.first_step = first_step_of(self, self._processor, max_logprob_difference, setting)
        supported = shared_prompt.supported(bare(self.accelerator.unwrap_model(self.model)))
        self.not_shared = ""
        if self.is_deepspeed_enabled or self.is_fsdp_enabled:
            self.not_shared = "the model is sharded"
        elif self.args.gradient_checkpointing:
            self.not_shared = "activations are recomputed (gradient_checkpointing)"
        elif not supported:
            self.not_shared = "the model's family has no such path"
        self._shares_prompts = not self.not_shared
        # Our sampler takes any family; under ZeRO it knows those with the shortcut alone.
        self._samples_itself = not (self.is_fsdp_enabled or (self.is_deepspeed_enabled and not supported))
        self._rows: list[dict[str, Any]] = []  # of the generation under way
        self._group = torch.empty(0, dtype=torch.long)  # the prompt that each row of the batch belongs to

    def _get_train_sampler(self, dataset: Dataset | None = None) -> Sampler[int]:
        repeat = self.num_iterations * self.args.steps_per_generation
        draws = ceil(self.args.max_steps * self.args.gradient_accumulation_steps / repeat)
        count = self.args.generation_batch_size // self.num_generations
        # The data loader fetches one batch ahead: one draw more than is used.
        return GenerationSampler(self.prompt_sampler, draws + 1, count, self.num_generations, repeat)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._rows = inputs
        numbers: dict[str, int] = {}
        group = [numbers.setdefault(row["prompt_id"], len(numbers)) for row in inputs]
        self._group = torch.tensor(group, device=self.accelerator.device)
        try:
            if self._shares_prompts:
                self.processing_class = shared_prompt.OncePerPrompt(self._processor, group)
            output = super()._generate_and_score_completions(inputs)
        finally:
            self.processing_class = self._processor
        if self.first_step is not None and self.first_step.due:
            logps = output["old_per_token_logps"]
            found = self.first_step.compare(self.first_step.padded(logps.shape[1]), logps, self.model)
            self._metrics["train"]["rollout_logprob_difference"].append(found.difference)
        return {**output, "group": self._group}

    def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[list[int]], Any, dict[str, Any]]:
        if not self._samples_itself:
            return super()._tokenize_prompts(prompts)
        group = self._group.tolist()
        once = [prompts[group.index(number)] for number in range(max(group) + 1)]
        ids, images, _ = super()._tokenize_prompts(once)
        # Only transformers' own generate wants the multimodal fields; pictures go to vLLM as they are.
        return [ids[number] for number in group], [images[number] for number in group], {}

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> tuple[list[list[int]], Any]:
        if self.use_vllm or not self._samples_itself:
            return super()._generate_single_turn(*args, **kwargs)
        # Consecutive rows of one question are a group, or the part of it that is this process's.
        groups = [list(rows) for _, rows in groupby(self._rows, key=lambda row: row["prompt_id"])]
        longest = max(len(rows) for rows in groups)
        starts = [0, *accumulate(len(rows) for rows in groups)]
        with self.sampling_policy() as policy, self.accelerator.autocast():
            sampled = generate(
                policy,
                self._processor,
                [(rows[0]["images"][0], rows[0]["question"]) for rows in groups],
                max_new_tokens=self.max_completion_length,
                temperature=self.temperature,
                num_samples=longest,
                batch_size=longest * len(groups),
                draws_of=lambda number: self._draws(starts[number], longest),
            )
        chosen = [completions[: len(rows)] for completions, rows in zip(sampled, groups, strict=True)]
        return [list(completion.ids) for completions in chosen for completion in completions], None

    @contextmanager
    def sampling_policy(self) -> Iterator[Any]:
        """The whole policy to sample from, in evaluation mode; every process has to ask."""
        with unwrap_model_for_generation(
            self.model_wrapped,
            self.accelerator,
            gather_deepspeed3_params=self.args.ds3_gather_for_generation,
            gradient_checkpointing_kwargs=self.args.gradient_checkpointing_kwargs,
        ) as model:
            training = model.training
            model.eval()
            try:
                with uncounted_passes(self.model_wrapped):
                    yield bare(model)
            finally:
                model.train(training)

    def _draws(self, first: int, count: int) -> np.ndarray:
        """Random numbers of `count` rollouts from this process's row `first` on, (count, tokens) in [0, 1).

        They belong to the step and to the rollout's place in the whole batch, so it does not matter how many
        processes share the batch.
        """
        start = self.accelerator.process_index * len(self._rows) + first
        size, drawn = self.num_generations, []
        for group in range(start // size, (start + count - 1) // size + 1):
            seed = seed_for(self.args.seed, "rollout", self.state.global_step, group)
            drawn.append(np.random.default_rng(seed).random((size, self.max_completion_length)))
        return np.concatenate(drawn)[start % size :][:count]

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        self._group = inputs["group"]
        loss = super()._compute_loss(model, inputs)
        if self._opmd_tau is None:
            return loss
        # TRL's loss has logged its figures and is dropped: no gradient was taken of it.
        reference = inputs.get("old_per_token_logps")
        reference = self._logps.detach() if reference is None else reference
        loss = opmd_loss(
            self._logps, reference, inputs["completion_mask"], inputs["advantages"], self._opmd_tau
        )
        return loss / (self.current_gradient_accumulation_steps if self.model.training else 1)

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
        found = self._per_token_logps(*args, **kwargs)
        self._logps = found[0]
        return found

    def _per_token_logps(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        kwargs.pop("batch_num_images", None)  # TRL takes no such argument; every row has one picture
        if not self._shares_prompts or kwargs.get("compute_aux_loss"):
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, **kwargs
            )
        backbone = bare(self.accelerator.unwrap_model(model)).model
        pictures = shared_prompt.pictures_by_row(
            kwargs["pixel_values"], kwargs["image_grid_thw"], kwargs["num_images"]
        )
        batch = (input_ids, attention_mask, kwargs["mm_token_type_ids"], pictures)
        parts = []
        size = kwargs.get("batch_size") or len(input_ids)
        for start in range(0, len(input_ids), size):
            rows = slice(start, start + size)
            group, *own = (values[rows] for values in (self._group, *batch))
            with self.accelerator.autocast():
                parts.append(shared_prompt.response_logps(model, backbone, group, logits_to_keep, *own))
        logps, entropies = zip(*parts, strict=True)
        return torch.cat(logps), torch.cat(entropies) if kwargs.get("compute_entropy") else None, None


def training_set(prompts: Sequence[Prompt], store: ImageStore) -> Dataset:
    """The prompts as TRL reads them; pictures are decoded when a row is fetched, once for a group."""
    dataset = Dataset.from_list([prompt.row() for prompt in prompts])

    def fetch(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        pictures = {key: open_image(store.get(key)) for key in dict.fromkeys(batch["image_id"])}
        return {
            **batch,
            "prompt": [[{"role": "user", "content": question}] for question in batch["question"]],
            "images": [[pictures[key]] for key in batch["image_id"]],
        }

    dataset.set_transform(fetch)
    return dataset


def end_tokens(model: Any, processor: Any) -> frozenset[int]:
    """Tokens that end a response: the tokenizer's end and padding tokens and the model's own."""
    configured = model.generation_config.eos_token_id
    end = processor.tokenizer.get_vocab().get(family_of(processor).end)
    ids = set(configured if isinstance(configured, list) else [configured])
    ids |= {processor.tokenizer.eos_token_id, processor.tokenizer.pad_token_id, end}
    return frozenset(i for i in ids if i is not None)

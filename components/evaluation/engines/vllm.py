"""Engine of a checkpoint directory run by vLLM in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from components.core.data.hashing import seed_for
from components.core.vllm.arguments import check_context, check_names, describe, own_dtype, starting
from components.core.vllm.cpu import for_the_platform
from components.core.vlm.tokens import banned_token_ids
from components.evaluation.config import Config
from components.evaluation.engines.base import Decoding, Engine, Parts, Response, split_parts

_NEVER = -100.0  # OpenAI's logit bias that bans a token


class VllmEngine(Engine):
    """vLLM batches and caches by itself; it gets whole chunks."""

    def __init__(self, path: Path, config: Config) -> None:
        settings = config.vllm
        check_names(settings.engine_args, "evaluation.vllm.engine_args")
        check_context(path, settings.max_model_len_tokens, "evaluation.vllm.max_model_len_tokens")
        from vllm import LLM

        from components.core.vlm import load_processor

        self._processor = load_processor(path)
        self._config = config
        arguments: dict[str, Any] = {
            "dtype": own_dtype(path) if config.dtype == "auto" else config.dtype,
            "seed": config.seed,
            "tensor_parallel_size": settings.tensor_parallel_size,
            "gpu_memory_utilization": settings.gpu_memory_utilization,
            "max_model_len": settings.max_model_len_tokens,
            "limit_mm_per_prompt": {"image": settings.max_pictures, "video": 0},
            "generation_config": "vllm",  # sampling settings are ours, not those saved beside the checkpoint
            **for_the_platform(path, settings.max_model_len_tokens),
            **settings.engine_args,
        }
        with starting("evaluation.vllm"):
            self._llm = LLM(model=str(path), **arguments)

    def describe(self) -> dict[str, Any]:
        return describe(self._llm) | {"tensor_parallel_size": self._config.vllm.tensor_parallel_size}

    def answer(
        self, items: Sequence[Parts], decoding: Decoding, on_batch: Callable[[int], object]
    ) -> list[list[Response]]:
        from vllm import SamplingParams

        banned = banned_token_ids(self._processor).values()
        params = [
            SamplingParams(
                n=decoding.samples,
                temperature=decoding.temperature,
                max_tokens=self._config.max_new_tokens,
                seed=seed_for(decoding.seed, index) % 2**31,
                logit_bias=dict.fromkeys(banned, _NEVER),
            )
            for index in range(len(items))
        ]
        prompts = [self._prompt(parts) for parts in items]
        outputs = self._llm.generate(prompts, sampling_params=params, use_tqdm=False)
        on_batch(len(items))
        return [
            [Response(o.text.strip(), len(o.token_ids), o.finish_reason == "stop") for o in output.outputs]
            for output in outputs
        ]

    def _prompt(self, parts: Parts) -> dict[str, Any]:
        from components.core.vlm import open_image, prompt_text

        pictures, content = split_parts(parts)
        prompt: dict[str, Any] = {"prompt": prompt_text(self._processor, content)}
        if pictures:
            prompt["multi_modal_data"] = {"image": [open_image(picture) for picture in pictures]}
        return prompt

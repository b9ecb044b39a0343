"""Engine of a checkpoint directory run by vLLM in this process, for GPUs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from components.core.data.hashing import seed_for
from components.core.stage.errors import ConfigError
from components.core.vlm.tokens import banned_token_ids
from components.evaluation.config import Config
from components.evaluation.engines.base import Decoding, Engine, Parts, Response, split_parts

_NEVER = -100.0  # OpenAI's logit bias that bans a token


class VllmEngine(Engine):
    """vLLM batches and caches by itself; it gets whole chunks."""

    def __init__(self, path: Path, config: Config) -> None:
        try:
            from vllm import LLM
        except ImportError as error:
            raise ConfigError(
                "evaluation.engine: vllm is not installed here; "
                "use an image that has it, or engine transformers"
            ) from error
        from components.core.vlm import load_processor

        self._processor = load_processor(path)
        self._config = config
        self._llm = LLM(
            model=str(path),
            dtype=config.dtype,
            seed=config.seed,
            tensor_parallel_size=config.vllm.tensor_parallel_size,
            gpu_memory_utilization=config.vllm.gpu_memory_utilization,
            max_model_len=config.vllm.max_model_len_tokens,
            limit_mm_per_prompt={"image": config.vllm.max_pictures, "video": 0},
            generation_config="vllm",  # sampling settings are ours, not those saved beside the checkpoint
        )

    def describe(self) -> dict[str, Any]:
        import torch
        import vllm

        return {
            "name": "vllm",
            "vllm": vllm.__version__,
            "torch": torch.__version__,
            "device": "cuda",
            "dtype": self._config.dtype,
            "tensor_parallel_size": self._config.vllm.tensor_parallel_size,
        }

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

"""The result of a training: a sealed checkpoint of the loop, written as a model that anyone can load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.core.stage.errors import DataError
from components.core.training.settings import WeightType
from components.core.vlm import load_model

ADAPTERS = "adapter_config.json"
"""The file that tells a checkpoint of adapters from one of whole weights."""


def write_result(
    checkpoint: Path | None, start: Path, processor: Any, output: Path, weights: WeightType, dtype: Any = None
) -> None:
    """Write a trained model, its processor and tokenizer; one process has to call it.

    It reads what the trainer saved after its last step, so it needs neither the trainer nor a GPU. A stage
    that was killed after that step writes the same.

    Args:
        checkpoint: sealed, of the last step.
        start: the model that training began from; adapters are merged into it.
        weights: number format in which the model was trained.
        dtype: number format of the result; None keeps that of the trained weights.

    Raises:
        DataError: there is no such checkpoint.
    """
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()  # else loading would wait for the other processes to take their shares
    if checkpoint is None:
        raise DataError("the training has left no checkpoint to write; run the stage again")
    if (checkpoint / ADAPTERS).is_file():
        from peft import PeftModel

        whole = load_model(start, weights, device="cpu")
        model = PeftModel.from_pretrained(whole, str(checkpoint)).merge_and_unload()
    else:
        model = load_model(checkpoint, device="cpu")
    if dtype is not None:
        model.to(dtype)
    model.save_pretrained(output)
    processor.save_pretrained(output)

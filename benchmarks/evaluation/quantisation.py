"""What quantisation saves and costs: size, and accuracy on the same items, of int8 and int4 weights.

    python -m benchmarks.evaluation.quantisation --checkpoint DIR --benchmark DIR [--scale 1.0] [--keep DIR]

Weights of the language model's linear layers are rounded to the nearest of 2^bits levels (symmetric; int8 with a scale a
row, int4 with a scale a group of `--group-size` columns) and stored in compressed-tensors' `pack-quantized` format, which
vLLM reads; the vision tower and the output layer stay as they are. The quantised checkpoint is loaded back from disk
through transformers and answers greedily; the difference is paired and clustered by picture. Needs compressed-tensors.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import result, timed
from components.core.answers import agree, extract
from components.core.benchmarks import open_benchmark
from components.core.stats import paired_comparison
from components.core.vlm import format_question, generate, load_model, load_processor

IGNORED = ["lm_head", "re:.*visual.*"]


def quantise(source: Path, target: Path, bits: int, group_size: int) -> int:
    """Write the quantised checkpoint; the number of layers that were quantised."""
    from compressed_tensors.compressors import ModelCompressor
    from compressed_tensors.quantization import (
        QuantizationArgs,
        QuantizationConfig,
        QuantizationScheme,
        QuantizationStatus,
        apply_quantization_config,
    )
    from compressed_tensors.quantization.utils import calculate_qparams

    model: Any = load_model(source, device="cpu")
    group = None if bits == 8 else group_size
    weights = QuantizationArgs(
        num_bits=bits, type="int", symmetric=True, strategy="group" if group else "channel", group_size=group
    )
    scheme = QuantizationScheme(targets=["Linear"], weights=weights)
    config = QuantizationConfig(config_groups={"linear": scheme}, ignore=IGNORED, format="pack-quantized")
    apply_quantization_config(model, config)
    layers = [m for m in model.modules() if getattr(m, "quantization_scheme", None) is not None]
    for layer in layers:
        rows, columns = layer.weight.shape
        blocks = layer.weight.detach().reshape(rows, -1, group or columns)
        scales, _ = calculate_qparams(blocks.amin(-1), blocks.amax(-1), weights)
        layer.weight_scale.data.copy_(scales)
        layer.quantization_status = QuantizationStatus.FROZEN
    compressor = ModelCompressor.from_pretrained_model(model)
    compressor.compress_model(model)
    model.save_pretrained(target)
    compressor.update_config(str(target))
    load_processor(source).save_pretrained(target)
    return len(layers)


def scores(checkpoint: Path, benchmark: Any, items: list[Any], max_new_tokens: int) -> list[float]:
    """1 for each item that the checkpoint answers right, else 0."""
    model, processor = load_model(checkpoint), load_processor(checkpoint)
    asked = [(benchmark.images(i)[0], format_question(i.question, i.choices)) for i in items]
    said = [group[0].text for group in generate(model, processor, asked, max_new_tokens=max_new_tokens)]
    return [
        float(agree(extract(text, i.answer_type, i.choices), i.answer, i.answer_type, i.choices))
        for text, i in zip(said, items, strict=True)
    ]


def size_mb(checkpoint: Path) -> float:
    """Size of the weights."""
    return sum(path.stat().st_size for path in checkpoint.glob("*.safetensors")) / 1e6


def main() -> None:
    """Quantise, answer, compare, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument(
        "--benchmark", type=Path, required=True, help="of table `benchmark`, one picture an item"
    )
    parser.add_argument("--group-size", type=int, default=32)
    parser.add_argument("--max-new-tokens", type=int, default=32)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the items")
    parser.add_argument("--keep", type=Path, help="where to keep the quantised checkpoints")
    args = parser.parse_args()
    benchmark = open_benchmark(args.benchmark)
    usable = [item for item in benchmark.items if item.answer_type and len(item.pictures) == 1]
    items = usable[: max(1, int(len(usable) * args.scale))]
    before = scores(args.checkpoint, benchmark, items, args.max_new_tokens)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for bits in (8, 4):
            target = Path(scratch) / f"int{bits}"
            layers, seconds = timed(lambda: quantise(args.checkpoint, target, bits, args.group_size))  # noqa: B023
            after = scores(target, benchmark, items, args.max_new_tokens)
            compared = paired_comparison(before, after, [item.image_group for item in items])
            figures[f"int{bits}"] = {
                "layers": layers,
                "megabytes": round(size_mb(target), 3),
                "accuracy": round(sum(after) / len(after), 4),
                "change": compared.to_json(),
                "seconds": round(seconds, 1),
            }
            if args.keep:
                shutil.copytree(target, args.keep / f"int{bits}", dirs_exist_ok=True)
    result(
        "evaluation_quantisation",
        items=len(items),
        original={
            "megabytes": round(size_mb(args.checkpoint), 3),
            "accuracy": round(sum(before) / len(before), 4),
        },
        **figures,
    )


if __name__ == "__main__":
    main()

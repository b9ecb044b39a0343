"""Two billion parameters on one GPU: packed training against TRL's trainer and the matrix ceiling.

    python -m benchmarks.training.gpu [--steps 30] [--tiny]

A Qwen3-VL with the sizes of the 2 B model and random weights (speed does not depend on them), in bfloat16.
Pictures have 448 px (196 vision tokens), samples 250 to 1,250 tokens. TRL's trainer pads batches of eight;
ours gets packs of as many tokens. The ceiling is what products of square bfloat16 matrices reach on the same
device in the same run. MFU counts 6 FLOPs a parameter and token
(`components.curriculum_sft.training.throughput`). Flash attention is used where it is installed.

Writes `benchmarks/results/<device>.json`. Without a GPU it says so and ends; `--tiny` runs everything on the
CPU with the demo's sizes and writes nothing. For a step of reinforcement learning on the same model: `python
-m benchmarks.rl.overhead --model 2b`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness import ROOT, machine
from benchmarks.training.packing import BATCH, run_packed, run_trl, samples, write_model
from components.core.vlm import build_processor, load_model, load_processor
from components.curriculum_sft.training.throughput import flops_per_token, peak_flops
from demo.base.model import build_config, build_model
from demo.base.settings import ModelSizes
from demo.base.tokenizer import build_tokenizer

OUTPUT = ROOT / "benchmarks" / "results"
SIZES_2B = ModelSizes(
    patch_px=16, hidden=2048, layers=28, heads=16, key_value_heads=8, head_dim=128, feed_forward=6144,
    vision_hidden=1024, vision_layers=24, vision_heads=16, vision_feed_forward=4096, initial_std=0.02,
)  # fmt: skip
VOCABULARY = 151_936
PICTURE_PX = 448
MERGE = 2


def write_2b(path: Path) -> Path:
    """A model of Qwen3-VL-2B's sizes with random weights in bfloat16, and its processor."""
    tokenizer = build_tokenizer()
    config = build_config(tokenizer, SIZES_2B)
    config.text_config.vocab_size = VOCABULARY
    config.vision_config.spatial_merge_size = MERGE
    config.vision_config.temporal_patch_size = 2
    config.vision_config.num_position_embeddings = 48**2
    config.vision_config.deepstack_visual_indexes = [5, 11, 17]
    build_model(config, seed=0).to(torch.bfloat16).save_pretrained(path)
    area = PICTURE_PX**2
    build_processor(tokenizer, merge_size=MERGE, min_pixels=area, max_pixels=area).save_pretrained(path)
    return path


def matrix_ceiling(size: int = 8192, products: int = 50) -> float:
    """FLOP/s of products of square bfloat16 matrices on the GPU."""
    left, right = (torch.randn(size, size, dtype=torch.bfloat16, device="cuda") for _ in range(2))
    for _ in range(5):
        left @ right
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(products):
        left @ right
    torch.cuda.synchronize()
    return 2 * size**3 * products / (time.perf_counter() - started)


def main(steps: int, tiny: bool) -> None:
    """Measure, print and write the figures."""
    gpu = torch.cuda.is_available()
    if not gpu and not tiny:
        raise SystemExit("no GPU here: nothing was measured; --tiny tries the benchmark itself on the CPU")
    flash = gpu and importlib.util.find_spec("flash_attn") is not None
    precision = {"precision": "bfloat16" if gpu else "float32"}
    attention = {"attention": "flash_attention_2" if flash else "sdpa"}
    figures: dict[str, Any] = {"device": torch.cuda.get_device_name() if gpu else "cpu", "steps": steps}
    with tempfile.TemporaryDirectory() as folder:
        start = write_model(Path(folder) / "model") if tiny else write_2b(Path(folder) / "model")
        processor = load_processor(start)
        rows, pictures = samples("wide", BATCH * steps, processor, seed=0)
        lengths, vision = ([row[name] for row in rows] for name in ("length", "vision_tokens"))
        pack_tokens = max(*lengths, round(1.04 * BATCH * statistics.mean(lengths)))
        model = load_model(start)
        figures["parameters"] = sum(p.numel() for p in model.parameters())
        flops = flops_per_token(model, sum(vision) / sum(lengths))
        del model
        for name in ("trl", "packed"):
            if gpu:
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            done = (
                run_trl(start, processor, rows, pictures, steps, bf16=gpu)
                if name == "trl"
                else run_packed(
                    start, processor, rows, pictures, steps, pack_tokens, **precision, **attention
                )
            )
            figures[name] = {key: round(value, 4) for key, value in done.items()}
            if gpu:
                used = done["tokens_per_s"] * flops
                ceiling = matrix_ceiling()
                figures[name] |= {
                    "peak_memory_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2),
                    "mfu": round(used / (peak_flops(figures["device"]) or ceiling), 4),
                    "share_of_matrix_ceiling": round(used / ceiling, 4),
                    "matrix_ceiling_tflops": round(ceiling / 1e12, 1),
                }
    figures["ratio"] = round(figures["packed"]["tokens_per_s"] / figures["trl"]["tokens_per_s"], 3)
    figures |= {"pack_tokens": pack_tokens, **attention, "machine": machine()}
    print(json.dumps(figures, indent=1))
    if gpu and not tiny:
        OUTPUT.mkdir(exist_ok=True)
        name = figures["device"].replace(" ", "_")
        (OUTPUT / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--tiny", action="store_true", help="the demo's sizes, on a CPU too; writes nothing")
    given = parser.parse_args()
    main(given.steps, given.tiny)

"""What quantisation saves and costs: size, and accuracy on the same items, of int8 and int4 weights.

    python -m benchmarks.evaluation.quantisation [--checkpoint DIR] [--benchmarks DIR] [--scale 1.0]

`components.export` writes the checkpoint (default: the demo's final one) in both schemes. Each is loaded from
disk and answers the demo's benchmarks greedily. Differences are paired and clustered by picture. The demo's
model is tiny, so its figures show that the measuring works; a large model loses less. Needs
compressed-tensors.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import result, timed
from components.core.data.dataset import Dataset
from components.export.__main__ import export
from components.export.quantise import BITS


def main() -> None:
    """Export in both schemes and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, default=Path("build/demo/outputs/hybrid_rl/checkpoint"))
    parser.add_argument("--benchmarks", type=Path, default=Path("build/demo/world/benchmarks"))
    parser.add_argument("--group-size", type=int, default=32)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the items")
    options = parser.parse_args()
    benchmarks = {path.name: path for path in sorted(options.benchmarks.iterdir()) if path.is_dir()}
    most = min(Dataset.open(path, "benchmark").rows for path in benchmarks.values())
    figures: dict[str, Any] = {}
    for scheme in BITS:
        with tempfile.TemporaryDirectory() as folder:
            exported, seconds = timed(
                lambda scheme=scheme, folder=folder: export(  # type: ignore[misc]
                    options.checkpoint,
                    Path(folder) / scheme,
                    scheme,
                    benchmarks=benchmarks,
                    group_size=options.group_size,
                    limit=max(1, round(options.scale * most)),
                    max_new_tokens=32,
                    max_model_tokens=4096,
                    name="demo",
                    log=logging.getLogger("export"),
                )
            )
        figures[scheme] = {**exported, "seconds": round(seconds, 1)}
    result("evaluation_quantisation", **figures)


if __name__ == "__main__":
    main()

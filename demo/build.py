"""Build the demo world: `python -m demo.build --out DIR`. The base model comes with the demo.

- DIR/images/: pictures of the domain, as a user would bring them
- DIR/index.jsonl: the truth behind them, for the simulated teachers
- DIR/general/: general data, the datasets images and samples
- DIR/benchmarks/: domain, general and hallucination, of held-out scenes and scans
- DIR/base_model/: only with `--mini`, a model that has learned nothing
- DIR/world.json: a summary, written last

A second call finds everything there and returns at once; an interrupted one is simply called again.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

from components.core.data.files import write_json_atomic
from components.core.data.pins import fingerprint
from demo.base import settings as base_settings
from demo.world_settings import MINI, WorldSettings, content_key

SUMMARY = "world.json"
PARTS = ("images", "index.jsonl", "general", "benchmarks")


def _fingerprints(out: Path) -> dict[str, str] | None:
    paths = {part: out / part for part in PARTS}
    if not all(path.exists() for path in paths.values()):
        return None
    return {part: fingerprint(path) for part, path in paths.items()}


def build_world(out: Path, settings: WorldSettings, base: base_settings.BaseSettings | None = None) -> bool:
    """Build missing parts, and parts of other settings or code; returns whether anything had to be built.

    `base` trains a model of these settings into the world; without it the shipped one is to be used.
    """
    key = content_key(settings)
    summary = out / SUMMARY
    stored = json.loads(summary.read_text(encoding="utf-8")) if summary.is_file() else {}
    built = stored.get("content_key") != key or stored.get("fingerprints") != _fingerprints(out)
    if built:
        from demo.writing import write_world  # imports torch

        summary.unlink(missing_ok=True)
        for path in (out / part for part in PARTS):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        write_world(out, settings)
        write_json_atomic(
            summary, {"content_key": key, "fingerprints": _fingerprints(out), "settings": asdict(settings)}
        )
    if base is None or base_settings.is_built(out / "base_model", base):
        return built
    from components.core.vlm import set_threads
    from demo.base.model import ensure_base_model

    set_threads()
    ensure_base_model(out / "base_model", base)
    return True


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo.build", description="Build the demo world.")
    parser.add_argument("--out", type=Path, required=True, help="directory of the world")
    parser.add_argument(
        "--images", type=int, help=f"pictures of the domain (default {WorldSettings().images})"
    )
    parser.add_argument("--seed", type=int, default=0, help="of pictures and questions (default 0)")
    parser.add_argument(
        "--mini", action="store_true", help="a few dozen pictures and an untrained model, for tests"
    )
    args = parser.parse_args(argv)
    settings = replace(MINI if args.mini else WorldSettings(), seed=args.seed)
    if args.images:
        settings = replace(settings, images=args.images)
    built = build_world(args.out, settings, base_settings.MINI if args.mini else None)
    print(f"{args.out}: {'built' if built else 'nothing to do'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""`python -m demo.build --out DIR`: everything that the demo's profile points at.

    DIR/images/             pictures of the domain, as a user would bring them
    DIR/index.jsonl         the truth behind them, for the simulated teachers
    DIR/general/            general data: two datasets, images and samples
    DIR/benchmarks/         domain, general and hallucination: held-out scenes and scans
    DIR/base_model/         the base model
    DIR/world.json          what was built; written last

A second call finds everything there and returns at once; an interrupted one is simply called again.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

from components.core.data.files import write_json_atomic
from components.core.data.hashing import canonical_json, sha256_hex
from components.core.data.pins import fingerprint
from demo import base_settings

SUMMARY = "world.json"
PARTS = ("images", "index.jsonl", "general", "benchmarks")


@dataclass(frozen=True)
class WorldSettings:
    """How much of everything."""

    images: int = 1600
    general_images: int = 1500
    benchmark_items: int = 400
    """Questions of the domain and of the general benchmark, and pictures of the hallucination probes, two each."""
    questions_per_general_image: int = 8
    general_reasoning_share: float = 0.3
    seed: int = 0


MINI = WorldSettings(images=32, general_images=32, benchmark_items=24)


def content_key(settings: WorldSettings) -> str:
    """Hash of the settings and of the code that the world depends on."""
    folder = Path(__file__).parent
    names = [
        "build.py",
        "conversation.py",
        "general.py",
        "writing.py",
        *(f"world/{name}.py" for name in ("index", "questions", "render", "scene")),
    ]
    code = [[name, sha256_hex((folder / name).read_bytes())] for name in names]
    return sha256_hex(canonical_json([asdict(settings), code, version("numpy")]))


def _fingerprints(out: Path) -> dict[str, str] | None:
    paths = {part: out / part for part in PARTS}
    if not all(path.exists() for path in paths.values()):
        return None
    return {part: fingerprint(path) for part, path in paths.items()}


def build_world(out: Path, settings: WorldSettings, base: base_settings.BaseSettings) -> bool:
    """Build what is missing or was built by other settings or code. Returns whether anything had to be built."""
    key = content_key(settings)
    summary = out / SUMMARY
    stored = json.loads(summary.read_text(encoding="utf-8")) if summary.is_file() else {}
    built = stored.get("content_key") != key or stored.get("fingerprints") != _fingerprints(out)
    if built:
        from demo.writing import write_world  # torch comes along: only where there is something to do

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
    if base_settings.is_built(out / "base_model", base):
        return built
    from components.core.vlm import set_threads
    from demo.base_model import ensure_base_model

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
    parser.add_argument(
        "--mini", action="store_true", help="a few dozen pictures and an untrained model, for tests"
    )
    args = parser.parse_args(argv)
    settings = MINI if args.mini else WorldSettings()
    if args.images:
        settings = replace(settings, images=args.images)
    built = build_world(args.out, settings, base_settings.MINI if args.mini else base_settings.BaseSettings())
    print(f"{args.out}: {'built' if built else 'nothing to do'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

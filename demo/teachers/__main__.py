"""Serve the simulated teachers: `python -m demo.teachers --world DIR --port N`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from aiohttp import web

from demo.teachers.models import MODELS_FILE, load_models
from demo.teachers.server import make_app
from demo.world.index import WorldIndex

INDEX_NAME = "index.jsonl"


def main(argv: list[str] | None = None) -> int:
    """Run until interrupted; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.teachers", description="Simulated OpenAI-compatible teachers."
    )
    parser.add_argument("--world", type=Path, required=True, help=f"folder with the world's {INDEX_NAME}")
    parser.add_argument("--port", type=int, default=8100, help="port to listen on")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--models", type=Path, default=MODELS_FILE, help="models and their error rates")
    args = parser.parse_args(argv)
    path = args.world / INDEX_NAME
    if not path.is_file():
        print(
            f"{path} does not exist; build the world first: python -m demo.build --out {args.world}",
            file=sys.stderr,
        )
        return 66
    models = load_models(args.models)
    index = WorldIndex.load(path)
    print(f"{len(index)} pictures known; models: {', '.join(models)}", flush=True)
    web.run_app(make_app(index, models), host=args.host, port=args.port, access_log=None, print=_announce)
    return 0


def _announce(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())

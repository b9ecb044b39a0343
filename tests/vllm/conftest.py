"""Real vLLM: its environment, a model that has opinions, and one server for the tests of a file.

The tests run in the project's environment; an engine runs in vLLM's, as a process of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.vllm_server import VENV, Server, python_of_vllm
from tests.components.conftest import coloured_pictures  # noqa: F401
from tests.components.curriculum_sft.conftest import sft_world  # noqa: F401
from tests.components.evaluation.conftest import (  # noqa: F401
    any_item,
    run_stage,
    stage_argv,
    voted,
    write_benchmark,
)
from tests.components.hybrid_rl.conftest import world  # noqa: F401

KEY = "only-for-tests"
NAMES = ("teacher", "voter-a", "voter-b", "voter-c")
POSITIONS = 32768
SPREAD = 0.3
"""Deviation of the embeddings of the tests' model; all other weights have that of their width.

So answers depend on the picture, and their entropy is 4 nats a token. An untrained model as it is initialised
says the same about everything.
"""
ENDS = ('"', ",", "]", "}")
"""Signs that end something in JSON; together they have a third of the probability of every token.

So a typed answer of this model ends by itself: texts have a few words, lists a few entries.
"""
LEVEL = 3.0
"""First entry of every embedding, which no layer changes; tokens that begin like `ENDS` have twice that."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here is marked, and skipped where there is no vLLM."""
    python = python_of_vllm()
    missing = pytest.mark.skip(reason=f"no vLLM at {python}: run `make vllm`, or name its folder in {VENV}")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.vllm)
            if not python.is_file():
                item.add_marker(missing)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a small Qwen3-VL in float32 whose answers depend on what it is shown, and end; sealed."""
    import torch

    from components.core.data.checkpoint import commit_checkpoint
    from components.core.vlm import load_model, load_processor
    from demo.base.model import ensure_base_model
    from demo.base.settings import MINI

    root = tmp_path_factory.mktemp("vllm")
    ensure_base_model(root / "base", MINI)
    model: Any = load_model(root / "base", "float32", device="cpu")
    torch.manual_seed(0)
    for name, weight in model.named_parameters():
        if "embed_tokens" in name:
            torch.nn.init.normal_(weight.data, 0, SPREAD)
        elif weight.ndim > 1:
            torch.nn.init.normal_(weight.data, 0, weight[0].numel() ** -0.5)
        elif name.endswith("norm.weight"):
            weight.data.fill_(1)
    processor = load_processor(root / "base")
    words = processor.tokenizer.batch_decode([[number] for number in range(len(processor.tokenizer))])
    ends = [number for number, word in enumerate(words) if word.startswith(ENDS)]
    language = model.model.language_model
    language.embed_tokens.weight.data[:, 0] = LEVEL
    language.embed_tokens.weight.data[ends, 0] = 2 * LEVEL
    for layer in language.layers:
        layer.self_attn.o_proj.weight.data[0] = 0
        layer.mlp.down_proj.weight.data[0] = 0
    model.save_pretrained(root / "checkpoint")
    processor.save_pretrained(root / "checkpoint")
    commit_checkpoint(root / "checkpoint")
    return root / "checkpoint"


@pytest.fixture(scope="session")
def tiny_checkpoint(checkpoint: Path) -> Path:
    """The model of the stages' worlds."""
    return checkpoint


def endpoint_of(server: Server, **more: Any) -> dict[str, Any]:
    """Settings of a server's endpoint; `VLM_TEST_KEY` holds its key."""
    named = {"base_url": server.url, "model": "teacher", "api_key_env": "VLM_TEST_KEY", "timeout_s": 300.0}
    return {**named, "max_concurrency": 4, **more}


@pytest.fixture(scope="session")
def server(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the checkpoint; a start takes minutes, so tests share it.

    It has more positions than the model was made for: the stages' prompts are long in its small vocabulary.
    """
    longer = ("--hf-overrides", json.dumps({"text_config": {"max_position_embeddings": POSITIONS}}))
    batched = ("--max-num-batched-tokens", str(POSITIONS))
    log = tmp_path_factory.mktemp("server") / "log"
    started = Server(checkpoint, log, KEY, extra=(*longer, *batched), names=NAMES)
    try:
        started.start()
        yield started
    finally:
        started.kill()


def whole(text: str) -> str:
    """A text without a last character that was cut: vLLM leaves it out, transformers writes a stand-in."""
    return text.rstrip("\ufffd").strip()


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's key, where endpoints look for it."""
    monkeypatch.setenv("VLM_TEST_KEY", KEY)

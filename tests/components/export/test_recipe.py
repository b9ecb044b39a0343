"""The script that serves an export, run with a stand-in for vLLM that prints its arguments."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from components.export.recipe import serve_script


@pytest.fixture
def serve(tmp_path):
    """Arguments that the script gives vLLM: serve(context length, NAME=VALUE...)."""
    (tmp_path / "vllm").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "vllm").chmod(0o755)

    def run(length: int, **environment: str) -> list[str]:
        (tmp_path / "serve.sh").write_text(serve_script("a name", length))
        path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", str(tmp_path / "serve.sh"), "--enforce-eager"],
            env={**path, **environment}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.splitlines()

    return run


def after(arguments: list[str], flag: str) -> str:
    return arguments[arguments.index(flag) + 1]


def test_the_context_is_the_model_s_unless_one_is_given(serve):
    assert "--max-model-len" not in serve(0)
    assert after(serve(2048), "--max-model-len") == "2048"
    assert after(serve(2048, MAX_MODEL_LEN="1024"), "--max-model-len") == "1024"
    assert after(serve(0, MAX_MODEL_LEN="1024"), "--max-model-len") == "1024"


def test_the_directory_is_its_own_and_further_arguments_come_last(serve, tmp_path):
    arguments = serve(0)
    assert arguments[:2] == ["serve", str(tmp_path)]
    assert arguments[-1] == "--enforce-eager"
    assert after(arguments, "--served-model-name") == "a name"
    assert after(arguments, "--generation-config") == "vllm"


def test_limits_of_pictures_are_json_by_default_and_as_given(serve):
    assert json.loads(after(serve(0), "--limit-mm-per-prompt")) == {"image": 4}
    given = serve(0, LIMIT_MM_PER_PROMPT='{"image": 9}')
    assert json.loads(after(given, "--limit-mm-per-prompt")) == {"image": 9}


def test_the_weight_type_is_vllm_s_unless_one_is_given(serve):
    assert after(serve(0), "--dtype") == "auto"
    assert after(serve(0, DTYPE="float32"), "--dtype") == "float32"

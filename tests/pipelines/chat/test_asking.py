"""Questions to endpoints: answers as they grow, counted, and one that fails beside one that does not."""

from __future__ import annotations

import json
from http.server import ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from pipelines.chat.asking import ask
from pipelines.chat.examples import write_examples
from pipelines.cli import app
from pipelines.serving.targets import Target
from tests.serving import QuietHandler, serving

pytest.importorskip("openai", reason="the extra `chat` is not installed")


class Speaker(QuietHandler):
    """Streams `two lights`, and how many tokens that was; notes what it was asked."""

    asked: list[dict] = []
    keys: list[str] = []

    def do_GET(self) -> None:
        self.send(200, {"object": "list", "data": [{"id": "lamps", "object": "model"}]})

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.body()))
        self.keys.append(self.headers["Authorization"])
        if self.asked[-1]["model"] == "broken":
            self.send(500, {"error": {"message": "out of memory"}})
            return
        said = [{"choices": [{"index": 0, "delta": {"content": word}}]} for word in ("two ", "lights")]
        said.append(
            {"choices": [], "usage": {"completion_tokens": 2, "prompt_tokens": 9, "total_tokens": 11}}
        )
        lines = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in said)
        self.send(200, f"{lines}data: [DONE]\n\n".encode(), {"Content-Type": "text/event-stream"})


@pytest.fixture
def endpoint():
    Speaker.asked, Speaker.keys = [], []
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Speaker)) as server:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"


def test_an_answer_grows_and_ends_with_its_tokens(endpoint, png):
    seen = [
        replies[0] for replies in ask([Target("a", "A", base_url=endpoint)], "How many?", png, max_tokens=8)
    ]
    assert [reply.text for reply in seen][:2] == ["two ", "two lights"]
    assert seen[-1].done and seen[-1].tokens == 2 and seen[-1].cost.startswith("2 tokens, ")
    (asked,) = Speaker.asked
    assert asked["model"] == "lamps" and asked["max_tokens"] == 8 and asked["temperature"] == 0
    assert asked["messages"][0]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")


def test_one_that_cannot_answer_does_not_stop_the_other(endpoint):
    targets = [Target(name, name, base_url=endpoint, model=name) for name in ("broken", "lamps")]
    *_, (broken, fine) = ask(targets, "How many?", None, max_tokens=8)
    assert "out of memory" in broken.error and broken.error.startswith("broken: ")
    assert fine.text == "two lights" and not fine.error


def test_the_terminal_prints_the_answers_and_ends_with_the_error_of_one(endpoint, png, tmp_path):
    (tmp_path / "lamp.png").write_bytes(png)
    command = ["chat", f"{endpoint}#lamps", "--image", str(tmp_path / "lamp.png"), "--ask", "How many?"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0 and "two lights" in done.output and "2 tokens" in done.output
    done = CliRunner().invoke(app, [*command, f"{endpoint}#broken"])
    assert done.exit_code == 69 and "two lights" in done.output and "error: broken: " in done.output


def test_a_key_goes_only_where_it_was_asked_for(endpoint, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("LAMPS_KEY", "for lamps")
    CliRunner().invoke(app, ["chat", endpoint, "--ask", "How many?"])
    CliRunner().invoke(app, ["chat", endpoint, "--ask", "How many?", "--api-key-env", "LAMPS_KEY"])
    assert Speaker.keys == ["Bearer none", "Bearer for lamps"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--image", "x.png"], 78, "--ask"),
        (["--image", "x.png", "--ask", "?"], 66, "no such picture"),
        (["--image", __file__, "--ask", "?"], 65, "test_asking.py"),
        (["hybird_rl", "--ask", "?"], 66, "hybrid_rl"),
        (["current", "--ask", "?"], 78, "--registry"),
        (["--root", "/nowhere", "--ask", "?"], 66, "/nowhere"),
        (["--ask", "?", "--api-key-env", "NO_SUCH_KEY"], 78, "NO_SUCH_KEY"),
        (["http://127.0.0.1:9/v1", "--ask", "?"], 69, "http://127.0.0.1:9/v1"),
    ],
)
def test_what_cannot_be_asked_ends_with_one_line(arguments, code, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["chat", *arguments])
    assert done.exit_code == code, done.output
    errors = [line for line in done.output.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and said in errors[0]


def test_a_run_without_benchmarks_has_no_examples(tmp_path):
    assert write_examples(tmp_path, tmp_path) == []

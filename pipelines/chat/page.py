"""The page of the chat (Gradio): a picture, a question, and the models' answers beside each other."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from components.core.stage.errors import ConfigError
from pipelines.chat.asking import NO_KEY, Reply, ask
from pipelines.serving.targets import Target

_CSS = """
footer {display: none !important}
.gradio-container {width: 100%; max-width: 1060px !important; margin: auto}
"""


def build_page(
    targets: Sequence[Target],
    examples: Sequence[tuple[Path, str]],
    *,
    max_tokens: int,
    api_key: str = NO_KEY,
) -> Any:
    """The page as Gradio Blocks; it asks for no address outside.

    Raises:
        ConfigError: Gradio is not installed.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        import gradio as gr
    except ImportError as error:
        advice = "pip install 'vlm-posttrain[chat]', or ask in the terminal with --ask"
        raise ConfigError(f"the page needs gradio; {advice}") from error

    def answered(picture: Image.Image | None, question: str) -> Iterator[list[str]]:
        if not question.strip():
            raise gr.Error("Ask something first.")
        for replies in ask(
            targets, question.strip(), _encoded(picture), max_tokens=max_tokens, api_key=api_key
        ):
            yield [part for reply in replies for part in _shown(reply)]

    with gr.Blocks(title="Ask the models", analytics_enabled=False) as page:
        gr.Markdown("# Ask the models\nDrop a picture, ask, and compare the answers.")
        with gr.Row():
            picture = gr.Image(type="pil", label="Picture", height=300, sources=["upload", "clipboard"])
            with gr.Column():
                question = gr.Textbox(label="Question", lines=3, placeholder="How many lights are on?")
                button = gr.Button("Ask", variant="primary")
        outputs: list[Any] = []
        with gr.Row():
            for target in targets:
                with gr.Column(min_width=280):
                    title = target.title if target.title == target.name else f"{target.title} ({target.name})"
                    outputs.append(gr.Textbox(label=title, lines=3, max_lines=12, interactive=False))
                    outputs.append(gr.Markdown("not asked yet"))
        if examples:
            gr.Examples(
                [[str(path), text] for path, text in examples],
                [picture, question],
                label="Held-out pictures",
                cache_examples=False,
            )
        for start in (button.click, question.submit):
            start(answered, [picture, question], outputs, api_name=False, concurrency_limit=2)
    return page


def launch(page: Any, host: str, port: int) -> None:
    """Serve the page until Ctrl-C; nothing is shared beyond `host`.

    Raises:
        ConfigError: the port is taken.
    """
    try:
        page.launch(server_name=host, server_port=port, share=False, quiet=True, show_error=True, css=_CSS)
    except OSError as error:
        raise ConfigError(f"port {port} of {host} cannot be used; choose another with --port") from error


def _shown(reply: Reply) -> tuple[str, str]:
    """An answer and the line below it."""
    if reply.error:
        return reply.text, f"error: {reply.error}"
    text = reply.text.strip()
    return (text or "(nothing)", reply.cost) if reply.done else (text, f"{reply.cost} …")


def _encoded(picture: Image.Image | None) -> bytes | None:
    """PNG: what the browser sent, without a loss."""
    if picture is None:
        return None
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()

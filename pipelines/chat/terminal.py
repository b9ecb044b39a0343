"""A question in the terminal: each model's answer, with its tokens and seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from components.core.stage.errors import EndpointError
from pipelines.chat.asking import NO_KEY, ask
from pipelines.serving.targets import Target


def ask_once(
    targets: Sequence[Target],
    question: str,
    picture: bytes | None,
    say: Callable[[str], None],
    *,
    max_tokens: int,
    api_key: str = NO_KEY,
) -> None:
    """Print each target's answer below its title.

    Raises:
        EndpointError: a target did not answer; what the others said is printed before.
    """
    *_, replies = ask(targets, question, picture, max_tokens=max_tokens, api_key=api_key)
    for target, reply in zip(targets, replies, strict=True):
        if not reply.error:
            say(f"{target.title} ({target.name}; {reply.cost})\n  {reply.text.strip() or '(nothing)'}")
    failed = [reply.error for reply in replies if reply.error]
    if failed:
        raise EndpointError("; ".join(failed))

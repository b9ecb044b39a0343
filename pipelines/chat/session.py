"""The models of a chat, all behind an address: checkpoints get a server for as long as the chat lasts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.serving.child import Server, chosen_engine
from pipelines.serving.targets import Target

LOG = Path("build/served/chat.log")


@contextlib.contextmanager
def addressed(
    targets: Sequence[Target], say: Callable[[str], None], log: Path = LOG
) -> Iterator[list[Target]]:
    """The targets, each with an address; checkpoints share one server of transformers, which is started.

    Raises:
        StageError: the server's packages are missing, or it does not start.
    """
    local = {target.name: target.checkpoint for target in targets if target.checkpoint is not None}
    if not local:
        yield list(targets)
        return
    engine = chosen_engine("transformers")
    say(f"loading {', '.join(local)} ...")
    server = Server(engine, local, log)
    try:
        server.wait()
        yield [
            replace(target, base_url=server.url, model=target.name) if target.checkpoint else target
            for target in targets
        ]
    finally:
        server.stop()

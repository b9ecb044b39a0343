"""LLaVA's and ShareGPT's records: `{"conversations": [{"from": "human", "value": "<image>\\n..."}, ...], "image": ...}`.

`<image>` in a text stands for the record's next image (`image`: one or a list; `images`). A text under `system` opens
the conversation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.core.conversations.base import BadRecord
from components.core.conversations.turns import Conversation, Turn, conversation, listed_images, text_parts

ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
}
"""Who speaks -> ChatML's role."""


def read(record: Mapping[str, Any], turns: Sequence[Any]) -> Conversation:
    """A record as a conversation.

    Args:
        record: the whole record.
        turns: its conversations.

    Raises:
        BadRecord: unknown speakers, turns without a text, and what `turns.conversation` refuses.
    """
    spoken = [_turn(turn, number) for number, turn in enumerate(turns)]
    system = record.get("system")
    if isinstance(system, str) and system:
        spoken.insert(0, Turn("system", text_parts(system)))
    return conversation(spoken, listed_images(record))


def _turn(turn: Any, number: int) -> Turn:
    if not isinstance(turn, Mapping) or not isinstance(turn.get("value"), str):
        raise BadRecord("bad_messages", f"turn {number + 1} has no text; give it from and value")
    speaker = turn.get("from")
    if speaker not in ROLES:
        raise BadRecord(
            "bad_messages",
            f"turn {number + 1} is from {speaker!r}; known are {', '.join(ROLES)}: rename it or remove the turn",
        )
    return Turn(ROLES[speaker], text_parts(turn["value"]))

"""One real question to an endpoint, as a stage will ask it, and on failure what the endpoint cannot do.

The question has what the stages' have: a picture where they show one, temperature, seed, a limit and a schema
with nested lists and bounds. It goes through the stages' own client, so proxies and keys are the same.
"""

from __future__ import annotations

import base64
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from components.core.mllm import Answer, ChatRequest, MLLMClient
from components.core.mllm.prompt_scores import PromptScorer, Said
from components.core.mllm.transport import Final
from components.core.resume.journal import Journal
from components.core.stage.errors import StageError
from components.core.stage.settings import Endpoint

# A red square of 64 x 64 pixels: large enough for every vision encoder.
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAIAAAAlC+aJAAAAZ0lEQVR42u3aMQ0AIAwAQSBYQAH+JaEAEcUCAwkh3M8deknH"
    "5ohIL1fS4wEAAAAAAADcrO4MjdauLNfndEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAZ8t+5gAAAAAAAAA+BiwAoAl7"
    "xXaeZgAAAABJRU5ErkJggg=="
)
_TOKENS = 512
_SHOWN = "What is in the picture? List what you see; for each thing its colour, and how sure you are."
_TOLD = (
    "A red square is on a white page. List what is there; for each thing its colour, and how sure you are."
)
_ASKED, _SAID = "Which colour is the square?", "red"
_TEXTS = ("a red square", "a table of numbers")


class SeenThing(BaseModel):
    """One thing."""

    number: int = Field(ge=0, le=999)
    name: str = Field(max_length=200)
    colour: str = Field(max_length=200)
    certainty: float = Field(ge=0, le=10)
    """From 0 to 10."""


class SeenThings(BaseModel):
    """What is there."""

    things: list[SeenThing] = Field(max_length=32)
    any_text: bool = False
    """Whether there is text."""


@dataclass(frozen=True)
class Found:
    """What a question showed: what works, or why the stage cannot be run with this endpoint."""

    works: str = ""
    problem: str = ""
    note: str = ""
    """What works and yet should be known."""


_CHANGES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("token_limit: max_completion_tokens", {"token_limit": "max_completion_tokens"}),
    ("token_limit: max_tokens", {"token_limit": "max_tokens"}),
    ("omit: [temperature]", {"omit": ("temperature",)}),
    ("omit: [seed]", {"omit": ("seed",)}),
    ("omit: [temperature, seed]", {"omit": ("temperature", "seed")}),
    ("answer_format: strict_json_schema", {"answer_format": "strict_json_schema"}),
    ("answer_format: json_object", {"answer_format": "json_object"}),
    ("answer_format: text", {"answer_format": "text"}),
    ("token_limit: max_completion_tokens, omit: [temperature, seed], answer_format: strict_json_schema",
     {"token_limit": "max_completion_tokens", "omit": ("temperature", "seed"),
      "answer_format": "strict_json_schema"}),
    ("token_limit: max_completion_tokens, omit: [temperature, seed], answer_format: text",
     {"token_limit": "max_completion_tokens", "omit": ("temperature", "seed"), "answer_format": "text"}),
)  # fmt: skip
"""Settings that make up for what endpoints refuse, the least change first."""


def ask(endpoint: Endpoint, timeout_s: float, log: logging.Logger) -> Found:
    """Ask one question; if it fails, vary it to find out what the endpoint cannot do."""
    limits = {"timeout_s": min(timeout_s, endpoint.timeout_s), "max_retries": min(2, endpoint.max_retries)}
    asked = endpoint.model_copy(update={**limits, "max_tokens_total": 0, "max_concurrency": 1})
    if endpoint.asked_for == "embeddings":
        return _embed(asked, log)
    if endpoint.asked_for == "log-probabilities":
        return _score(asked, log)
    picture = endpoint.asked_for == "pictures"
    answer = _chat(asked, log, picture)
    if isinstance(answer, StageError):
        if "HTTP 429" in str(answer):
            return Found(works="is there, and busy", note=str(answer))
        refused = isinstance(answer.__cause__, Final)  # one parameter, and not the whole set-up
        return Found(problem=f"{answer}{_cure(asked, log, picture) if refused else ''}")
    if answer.error is None:
        return _answered(endpoint, answer)
    if answer.error.startswith("malformed"):
        said = f"its answers do not keep to a JSON schema ({answer.error})"
        return Found(problem=said + (_cure(asked, log, picture) or "; name a model that follows one"))
    if picture and _works(_chat(asked, log, picture=False)):
        cure = "; it answers without a picture: name a model that takes pictures"
    else:
        cure = _cure(asked, log, picture)
    return Found(problem=f"it refuses a question of the kind that the stage asks ({answer.error}){cure}")


def _chat(endpoint: Endpoint, log: logging.Logger, picture: bool) -> Answer | StageError:
    prompt, shown = (_SHOWN, (PICTURE,)) if picture else (_TOLD, ())
    form = SeenThings if endpoint.typed else None
    request = ChatRequest("preflight", prompt, form, shown, max_tokens=_TOKENS)
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "replies")
        try:
            return MLLMClient(endpoint, journal, log).map([request], bar=False)[0]
        except StageError as error:
            return error
        finally:
            journal.close()


def _works(answer: Answer | StageError) -> bool:
    return isinstance(answer, Answer) and answer.error is None


def _cure(endpoint: Endpoint, log: logging.Logger, picture: bool) -> str:
    """The smallest change of settings with which the endpoint answers, "" if none helps."""
    for text, change in _CHANGES:
        varied = endpoint.model_copy(update=change)
        if varied != endpoint and _works(_chat(varied, log, picture)):
            return f"; it answers with {text}"
    return ""


def _answered(endpoint: Endpoint, answer: Answer) -> Found:
    notes = []
    if not answer.completion_tokens:
        needed = "max_tokens_total cannot be kept" if endpoint.max_tokens_total else ""
        needed = needed or ("" if endpoint.typed else "the length of responses cannot be measured")
        if needed:
            return Found(problem=f"its replies carry no `usage` with tokens, so {needed}")
        notes.append("it counts no tokens, so the report shows no costs")
    things = answer.value.things if endpoint.typed else ()
    if endpoint.typed and "red" not in " ".join(f"{thing.name} {thing.colour}" for thing in things).lower():
        notes.append("it did not say that the square is red")
    what = "a picture" if endpoint.asked_for == "pictures" else "text"
    return Found(works=f"answers {what}{' by a schema' if endpoint.typed else ''}", note="; ".join(notes))


def _score(endpoint: Endpoint, log: logging.Logger) -> Found:
    """Ask how probable an answer's tokens are, by the request that a teacher gets."""
    said = Said(PICTURE, _ASKED, _SAID, (), ())
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "replies")
        try:
            tokens = PromptScorer(endpoint, journal, log).offered(said)
        except StageError as error:
            if "HTTP 429" in str(error):
                return Found(works="is there, and busy", note=str(error))
            return Found(problem=str(error))
        finally:
            journal.close()
    return Found(works=f"gives log-probabilities ({tokens} tokens)")


def _embed(endpoint: Endpoint, log: logging.Logger) -> Found:
    """Embed a whole batch: servers limit its size."""
    texts = [f"{_TEXTS[number % 2]} {number}" for number in range(endpoint.embed_batch)]
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "replies")
        try:
            vectors = MLLMClient(endpoint, journal, log).embed(texts)
        except StageError as error:
            return Found(problem=str(error))
        finally:
            journal.close()
    return Found(works=f"embeds {len(texts)} texts at once, {vectors.shape[1]} numbers each")

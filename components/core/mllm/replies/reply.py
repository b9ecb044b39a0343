"""What a server's reply says: an answer, a refusal, or an error in whatever form servers report one."""

from __future__ import annotations

import base64
import html
import json
import re
from typing import Any

import numpy as np

from components.core.stage.secrets import hide

_MAX_WORDS = 300
_TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.DOTALL | re.IGNORECASE)
_HTML = re.compile(rb"\s*(<!doctype html|<html|<head|<body)", re.IGNORECASE)


class ErrorReply(Exception):
    """A reply of status 200 that reports an error; `status` is the one it names, 0 without one."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


def words_of(content: bytes) -> str:
    """A server's own words in the body of an error, on one line and without keys."""
    if _HTML.match(content):
        page = content[: 2**16].decode("utf-8", "replace")
        title = _TITLE.search(page)
        return _line("an HTML page: " + html.unescape(title[1] if title else _TAGS.sub(" ", page)))
    try:
        return _line(_message(json.loads(content)))
    except (ValueError, RecursionError):
        return _line(content[: 2 * _MAX_WORDS].decode("utf-8", "replace"))


def _line(text: str) -> str:
    line = " ".join(hide(text).split())
    return line if len(line) <= _MAX_WORDS else f"{line[:_MAX_WORDS]} …"


def _message(body: Any) -> str:
    """The message in an error's body: OpenAI's, FastAPI's, vLLM's older ones, or the body itself."""
    if isinstance(body, list) and len(body) == 1:  # Google's wrap the object in a list
        return _message(body[0])
    if isinstance(body, dict):
        for name in ("error", "message", "detail", "errors", "msg"):
            if body.get(name):
                code = body.get("code")
                text = _message(body[name])
                return f"{text} ({code})" if isinstance(code, str) and code not in text else text
    return body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)


def decoded(content: bytes) -> Any:
    """The JSON of a reply of status 200.

    Raises:
        ErrorReply: the JSON reports an error and no answer.
        ValueError: the body is no JSON.
    """
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        if content.lstrip().startswith((b"data:", b"event:", b":")):
            raise ValueError("an event stream, though none was asked for") from error
        if not content.strip():
            raise ValueError("an empty body") from error
        raise ValueError(f"no JSON, but {words_of(content)}") from error
    source = body[0] if isinstance(body, list) and len(body) == 1 else body
    if isinstance(source, dict) and not source.get("choices") and not source.get("data"):
        named = source.get("error") or source.get("errors") or source.get("detail")
        if named or source.get("object") == "error" or isinstance(source.get("message"), str):
            raise ErrorReply(_status(named, source), words_of(content))
    return body


def _status(*places: Any) -> int:
    """The HTTP status that an error names, 0 without one."""
    for place in places:
        if isinstance(place, dict):
            for name in ("code", "status", "status_code"):
                if str(place.get(name)).isdigit() and 400 <= int(str(place[name])) < 600:
                    return int(str(place[name]))
    return 0


def read_chat(body: Any) -> dict[str, Any]:
    """A reply's text and tokens, as they are journalled.

    `cut` is added if the answer met its token limit, `refused` with the words of a refusal or a filter.
    `reasoning` is added where the model's thoughts are all that there is.

    Raises:
        ErrorReply: the choice reports an error.
        ValueError, TypeError, LookupError: the body is no chat completion.
    """
    if not isinstance(body, dict) or not isinstance(body.get("choices"), list) or not body["choices"]:
        raise ValueError(f"no choices in {words_of(json.dumps(body, ensure_ascii=False).encode())}")
    choice = body["choices"][0]
    if choice.get("error"):
        raise ErrorReply(_status(choice["error"]), _line(_message(choice["error"])))
    message = choice.get("message") or {}
    reason = choice.get("finish_reason")
    text, refusal = _content(message.get("content", choice.get("text")))
    refusal = _text(message.get("refusal")) or refusal
    if not text and not refusal:
        text = _arguments(message)
    usage = _usage(body)
    reply: dict[str, Any] = {
        "text": _storable(text),
        "prompt_tokens": _count(usage.get("prompt_tokens")),
        "completion_tokens": _count(usage.get("completion_tokens")),
    }
    if refusal and not text:
        reply["refused"] = _line(f"the model refused: {refusal}")
    elif reason in ("content_filter", "safety", "SAFETY", "prohibited_content"):
        reply["refused"] = _line(f"stopped by the content filter {text[:100]}")
    elif reason == "length":
        reply["cut"] = True
    elif not text and (thoughts := _text(message.get("reasoning_content") or message.get("reasoning"))):
        reply["reasoning"] = _storable(thoughts)
    return reply


def _content(content: Any) -> tuple[str, str]:
    """Text and refusal of a message's content: a string, or a list of blocks, of which thoughts are none."""
    if content is None or isinstance(content, str):
        return content or "", ""
    blocks = content if isinstance(content, list) else [content]
    texts, refusals = [], []
    for block in blocks:
        if isinstance(block, str):
            texts.append(block)
        elif not isinstance(block, dict):
            raise TypeError(f"the message's content holds {type(block).__name__}, not text")
        elif block.get("refusal"):
            refusals.append(_text(block["refusal"]))
        elif block.get("type", "text") in ("text", "output_text"):
            texts.append(_text(block.get("text")))
    return "".join(texts), " ".join(refusals)


def _arguments(message: dict[str, Any]) -> str:
    """The arguments of a function call: some servers keep to a schema that way."""
    calls = message.get("tool_calls") or [{"function": message.get("function_call")}]
    function = calls[0].get("function") if isinstance(calls[0], dict) else None
    arguments = function.get("arguments") if isinstance(function, dict) else None
    return json.dumps(arguments) if isinstance(arguments, dict) else _text(arguments)


def read_vectors(body: Any, count: int) -> tuple[list[list[float]], int]:
    """The vectors of `count` texts, in their order, and the prompt's tokens.

    Raises:
        ValueError, TypeError, LookupError: other than one finite vector of one length for each text.
    """
    if not isinstance(body, dict) or not isinstance(body.get("data"), list):
        raise ValueError(f"no list `data` in {words_of(json.dumps(body, ensure_ascii=False).encode())}")
    data = body["data"]
    if all("index" in item for item in data):
        data = sorted(data, key=lambda item: item["index"])
        if [item["index"] for item in data] != list(range(count)):
            raise ValueError(f"{len(data)} vectors, expected {count}")
    vectors = np.asarray([_vector(item["embedding"]) for item in data], dtype=np.float64)
    if len(vectors) != count or vectors.ndim != 2 or not vectors.size:
        raise ValueError(f"expected {count} vectors of one length, got an array of shape {vectors.shape}")
    if not np.isfinite(vectors).all():
        raise ValueError("a vector is not finite")
    usage = _usage(body)
    return vectors.tolist(), _count(usage.get("prompt_tokens"))


def _vector(value: Any) -> Any:
    """A list of numbers; a string is the base64 of 32-bit floats."""
    return np.frombuffer(base64.b64decode(value), dtype="<f4") if isinstance(value, str) else value


def _usage(body: dict[str, Any]) -> dict[str, Any]:
    usage = body.get("usage")
    return usage if isinstance(usage, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()  # a lone surrogate is no text that can be stored


def _count(value: Any) -> int:
    return max(int(value), 0) if isinstance(value, (int, float)) and value == value else 0

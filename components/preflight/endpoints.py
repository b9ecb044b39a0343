"""Probes of model endpoints: does the server answer, accept the key, serve the model, and answer?"""

from __future__ import annotations

import http.client
import json
import logging
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from components.core.mllm.proxies import proxy_for
from components.core.mllm.replies.reply import words_of
from components.core.stage.errors import EndpointError, StageError
from components.core.stage.secrets import api_key, hide
from components.core.stage.settings import Endpoint, Settings, find_settings, nearest
from components.preflight.questions import Found, ask

_MAX_REPLY_BYTES = 4 * 2**20
_PARALLEL = 16


@dataclass(frozen=True)
class Probe:
    """A server and a model that it should serve."""

    base_url: str
    model: str
    api_key_env: str
    settings: tuple[str, ...]
    """Dotted names of the settings that use it."""
    questions: Mapping[str, Endpoint] = field(default_factory=dict, compare=False)
    """Setting -> endpoint, one for each kind of question that the stages ask of it."""


@dataclass(frozen=True)
class _Listing:
    """What `/models` answered: names, or a trouble. With a mild one the server may still answer questions."""

    models: tuple[str, ...] = ()
    trouble: str = ""
    mild: bool = False


def find_probes(sections: Mapping[str, Settings]) -> list[Probe]:
    """Every distinct endpoint that the settings will use, with the settings that name it."""
    users: dict[tuple[str, str, str], dict[str, Endpoint]] = {}
    for name, settings in sections.items():
        for where, endpoint in find_settings(settings, Endpoint, name, unread=False):
            key = (endpoint.base_url.rstrip("/"), endpoint.model, endpoint.api_key_env)
            users.setdefault(key, {})[where] = endpoint
    return [Probe(*key, tuple(where), _different(where)) for key, where in users.items()]


def _different(users: Mapping[str, Endpoint]) -> dict[str, Endpoint]:
    """Of the settings that name one model, the first of each kind of question."""
    kinds: dict[Any, str] = {}
    for where, asked in users.items():
        batch = asked.embed_batch if asked.asked_for == "embeddings" else 0
        form = (asked.answer_format, asked.token_limit, asked.omit, bool(asked.max_tokens_total))
        kinds.setdefault((asked.asked_for, asked.typed, batch, form), where)
    return {where: users[where] for where in kinds.values()}


def probe(probes: Iterable[Probe], timeout_s: float) -> list[EndpointError]:
    """Ask every server once for its models, in parallel; returns one error for each failed probe."""
    probes = list(probes)
    return [error for error, _ in _listed(probes, timeout_s) if error is not None]


def examine(
    probes: list[Probe], timeout_s: float, question_timeout_s: float, log: logging.Logger
) -> tuple[list[tuple[Probe, str]], list[EndpointError]]:
    """Ask every server for its models, and every endpoint that is there one question of each kind.

    A server that lists no models in the usual way is judged by its answers to the questions alone.

    Returns:
        What each working endpoint does, and one error for each that cannot be used.
    """
    listed = list(zip(probes, _listed(probes, timeout_s), strict=True))
    asked = [item for item, (error, mild) in listed if error is None or mild]
    with ThreadPoolExecutor(_PARALLEL) as pool:
        pending = {
            (id(item), where): pool.submit(ask, endpoint, question_timeout_s, log)
            for item in asked
            for where, endpoint in item.questions.items()
        }
    working: list[tuple[Probe, str]] = []
    errors: list[EndpointError] = []
    for item, (error, mild) in listed:
        found = {where: pending[id(item), where].result() for where in item.questions if item in asked}
        failed = {where: one.problem for where, one in found.items() if one.problem}
        if error is not None and (not mild or failed or not found):
            errors.append(EndpointError(f"{error}{''.join(f'; {one}' for one in failed.values())}"))
        elif failed:
            errors += [EndpointError(f"{item.base_url} ({w}): {one}") for w, one in failed.items()]
        else:
            working.append((item, _described(found, error)))
            for note in filter(None, (one.note for one in found.values())):
                log.warning("%s (%s): %s", item.base_url, item.model, note)
    return working, errors


def _described(found: Mapping[str, Found], error: EndpointError | None) -> str:
    said = [one.works + (f" ({one.note})" if one.note else "") for one in found.values()]
    return "; ".join([*said, *(["lists no models"] if error else [])])


def _listed(probes: list[Probe], timeout_s: float) -> list[tuple[EndpointError | None, bool]]:
    """For each probe why its server does not list the model, if so, and whether that may be no fault."""
    servers = sorted({(item.base_url, item.api_key_env) for item in probes})
    with ThreadPoolExecutor(_PARALLEL) as pool:
        asked = {server: pool.submit(_models, *server, timeout_s) for server in servers}
    listed: list[tuple[EndpointError | None, bool]] = []
    for item in probes:
        listing = asked[item.base_url, item.api_key_env].result()
        problem = _problem(item.model, listing)
        error = EndpointError(f"{item.base_url} ({', '.join(item.settings)}): {problem}") if problem else None
        listed.append((error, listing.mild))
    return listed


def _models(base_url: str, api_key_env: str, timeout_s: float) -> _Listing:
    """Names of the models a server lists, or why it does not."""
    try:
        key, proxy = api_key(api_key_env), proxy_for(base_url)
    except StageError as error:
        return _Listing(trouble=str(error))
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    # The stages' own proxies: a server reachable here must be reachable there.
    proxies = {base_url.partition(":")[0]: proxy} if proxy else {}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))
    try:
        request = urllib.request.Request(f"{base_url}/models", headers=headers)
        with opener.open(request, timeout=timeout_s) as response:
            content = response.read(_MAX_REPLY_BYTES)
        return _Listing(tuple(_names(json.loads(content))))
    except urllib.error.HTTPError as error:
        denied = error.code in (401, 403)
        hint = f"check the key in ${api_key_env}" if denied else "base_url should end with /v1"
        said = words_of(error.read(_MAX_REPLY_BYTES))
        words = f" ({said})" if said not in ("", "{}") else ""
        return _Listing(trouble=f"GET /models answered HTTP {error.code}; {hint}{words}", mild=True)
    except (OSError, http.client.HTTPException) as error:
        reason = hide(str(getattr(error, "reason", error)) or type(error).__name__)
        cluster = "on a cluster a network policy may forbid the connection"
        return _Listing(
            trouble=f"cannot be reached ({reason}); start the server or correct base_url; {cluster}"
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        kind = "did not answer with an OpenAI-style list of models"
        said = words_of(content)
        return _Listing(trouble=f"GET /models {kind}; base_url should end with /v1 ({said})", mild=True)


def _names(body: Any) -> list[str]:
    """The models' names: OpenAI's list under `data`, one under `models`, or the list alone."""
    if isinstance(body, dict):
        body = body["data"] if "data" in body else body["models"]
    if not isinstance(body, list):
        raise TypeError("no list of models")
    return [
        name
        if isinstance(name, str)
        else str(next(name[key] for key in ("id", "name", "model") if key in name))
        for name in body
    ]


def _problem(model: str, listing: _Listing) -> str:
    """Why a server's reply does not list the model, "" if it does."""
    if listing.trouble or model in listing.models:
        return listing.trouble
    served = list(listing.models)
    others = (
        nearest(model, served).replace("valid settings", "it serves") if served else "; it lists no model"
    )
    return f"does not serve '{model}'{others}"

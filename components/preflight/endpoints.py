"""Probes of model endpoints: does the server answer, accept the key and serve the model?"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from components.core.stage.errors import EndpointError
from components.core.stage.settings import Endpoint, Settings, find_settings, nearest

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


def find_probes(sections: Mapping[str, Settings]) -> list[Probe]:
    """Every distinct endpoint anywhere in the settings, with the settings that name it."""
    users: dict[tuple[str, str, str], list[str]] = {}
    for name, settings in sections.items():
        for where, endpoint in find_settings(settings, Endpoint, name):
            key = (endpoint.base_url.rstrip("/"), endpoint.model, endpoint.api_key_env)
            users.setdefault(key, []).append(where)
    return [Probe(*key, tuple(where)) for key, where in users.items()]


def probe(probes: Iterable[Probe], timeout_s: float) -> list[EndpointError]:
    """Ask every server once for its models, in parallel; returns one error for each failed probe."""
    probes = list(probes)
    servers = sorted({(item.base_url, item.api_key_env) for item in probes})
    with ThreadPoolExecutor(_PARALLEL) as pool:
        asked = {server: pool.submit(_models, *server, timeout_s) for server in servers}
    errors = []
    for item in probes:
        if problem := _problem(item.model, asked[item.base_url, item.api_key_env].result()):
            errors.append(EndpointError(f"{item.base_url} ({', '.join(item.settings)}): {problem}"))
    return errors


def _models(base_url: str, api_key_env: str, timeout_s: float) -> list[str] | str:
    """Names of the models a server lists, or why it does not."""
    key = os.environ.get(api_key_env, "")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(f"{base_url}/models", headers=headers)
    # Without proxies, as the stages' client: a server reachable here must be reachable there.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout_s) as response:
            body = json.loads(response.read(_MAX_REPLY_BYTES))
        return [str(model["id"]) for model in body["data"]]
    except urllib.error.HTTPError as error:
        denied = error.code in (401, 403)
        hint = f"check the key in ${api_key_env}" if denied else "base_url should end with /v1"
        return f"GET /models answered HTTP {error.code}; {hint}"
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        cluster = "on a cluster a network policy may forbid the connection"
        return f"cannot be reached ({reason}); start the server or correct base_url; {cluster}"
    except (KeyError, TypeError):
        return "GET /models did not answer with an OpenAI-style list of models; base_url should end with /v1"


def _problem(model: str, reply: list[str] | str) -> str:
    """Why a server's reply does not list the model, "" if it does."""
    if isinstance(reply, str):
        return reply
    if model in reply:
        return ""
    others = nearest(model, reply).replace("valid settings", "it serves") if reply else "; it lists no model"
    return f"does not serve '{model}'{others}"

"""Usage of an endpoint: requests, retries, tokens, latency; for metrics and reports, never for datasets."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Usage:
    """Totals of one client, or of several together. Tokens are those of all answers, new and replayed."""

    requests: int = 0
    """Requests that were answered by the endpoint in this run."""
    replayed: int = 0
    """Requests that the journal answered."""
    retries: Counter[str] = field(default_factory=Counter)
    """Attempts that failed and were tried again, or given up, by `transport.KINDS`."""
    failures: int = 0
    """Requests that ended without a usable answer."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latencies_s: array[float] = field(default_factory=lambda: array("f"))
    """Seconds of each answered attempt, from sending it to the last byte of its reply."""

    def count(self, reply: Mapping[str, Any]) -> None:
        """Add the tokens of one reply."""
        self.prompt_tokens += reply.get("prompt_tokens", 0)
        self.completion_tokens += reply.get("completion_tokens", 0)

    @classmethod
    def total(cls, parts: Iterable[Usage]) -> Usage:
        """The sum over several clients."""
        whole = cls()
        for part in parts:
            for name in vars(whole):
                setattr(whole, name, getattr(whole, name) + getattr(part, name))
        return whole

    def metrics(self, prefix: str) -> dict[str, float]:
        """Stage metrics named `<prefix>_...`; latencies, in seconds, only where something was asked."""
        values: dict[str, float] = {
            "requests": self.requests,
            "replayed": self.replayed,
            "failures": self.failures,
            "retries": self.retries.total(),
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
        }
        values |= {f"retries_{kind}": count for kind, count in sorted(self.retries.items())}
        if self.latencies_s:
            middle, high = np.percentile(np.frombuffer(self.latencies_s, dtype=np.float32), [50, 95])
            values |= {"latency_p50_s": round(float(middle), 4), "latency_p95_s": round(float(high), 4)}
        return {f"{prefix}_{name}": float(value) for name, value in values.items()}

"""Kill a stage at random moments, run it again until it is done, and account for every request.

Two things must hold. The outputs' manifests are those of an uninterrupted run, byte for byte. No request
whose reply the stage had journalled is paid for again.

A reply that was read from the socket and not yet journalled when the kill came is asked for again. No
client can prevent that. Those are counted apart. There are at most as many as requests may be under way.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tests.faults.endpoint import FaultyEndpoint
from tests.faults.world import DataHalf

_SETTLE_S = 0.05


@dataclass(frozen=True)
class Outcome:
    """What came of one stage."""

    stage: str
    kills: int
    requests: int
    """Different requests that an uninterrupted run pays for."""
    identical: bool
    """Manifests equal those of the uninterrupted run, and the same requests were asked."""
    paid_twice: int
    """Requests paid for again although their reply was journalled before a kill: must be 0."""
    cut_at_kill: int
    """Replies that met no client any more, or that it left unread: not delivered, so not paid."""
    unjournalled_at_kill: int
    """Replies delivered before a kill and not journalled yet: paid, and asked for again."""
    most_unjournalled_at_one_kill: int
    under_way_at_kills: tuple[int, ...]
    """Requests that the endpoint was working on at each kill."""
    journalled_at_kills: tuple[int, ...]
    """Requests that the stage had journalled at each kill: how far it had come."""


def kill_and_resume(
    half: DataHalf, endpoint: FaultyEndpoint, stage: str, whole: Path, scratch: Path, kills: int, seed: int
) -> Outcome:
    """Run `stage` uninterrupted below `whole`, then again below `scratch` with `kills` kills, and compare.

    Args:
        half: the stages.
        endpoint: what they ask.
        stage: the one to kill.
        whole: where the earlier stages' outputs are, and where the uninterrupted output goes.
        scratch: an empty directory.
        kills: how often to kill.
        seed: decides when.
    """
    endpoint.reset()
    started = time.monotonic()
    half.run(stage, whole, whole, scratch / "work-whole")
    seconds = time.monotonic() - started
    asked = endpoint.counts.paid
    wanted = half.manifests(stage, whole)
    tail_s = time.monotonic() - max((times[-1] for times in asked.values()), default=started)

    endpoint.reset()
    rng = random.Random(f"{seed}:{stage}")
    work, out = scratch / "work", scratch / "out"
    journalled: list[set[str]] = []
    moments: list[float] = []
    under_way: list[int] = []
    while len(moments) < kills:
        last = len(moments) == kills - 1
        reached, delay_s = _moment(last, len(asked), seconds, tail_s, endpoint, rng)
        process = half.start(stage, whole, out, work)
        if not _wait(process, reached, delay_s):  # it was done before the moment came: another moment, then
            assert process.returncode == 0, (out / f"{stage}.log").read_text()[-3000:]
            continue
        under_way.append(endpoint.counts.under_way)
        os.killpg(process.pid, signal.SIGKILL)
        moments.append(time.monotonic())
        process.wait()
        time.sleep(_SETTLE_S)  # what the endpoint was writing, it has written
        journalled.append(_journalled(work))
    half.run(stage, whole, out, work)

    paid = endpoint.counts.paid
    twice, cut, lost = 0, endpoint.counts.undelivered, [0] * kills
    for key, times in paid.items():
        for earlier, later in itertools.pairwise(times):
            dead = [i for i, moment in enumerate(moments) if moment <= earlier < moment + _SETTLE_S]
            after = [i for i, moment in enumerate(moments) if earlier < moment < later]
            if (
                dead and key not in journalled[dead[0]]
            ):  # written into a socket whose process was gone already
                cut += 1
            elif not dead and after and key not in journalled[after[0]]:
                lost[after[0]] += 1
            else:
                twice += 1
    return Outcome(
        stage=stage,
        kills=kills,
        requests=len(asked),
        identical=half.manifests(stage, out) == wanted and paid.keys() == asked.keys(),
        paid_twice=twice,
        cut_at_kill=cut,
        unjournalled_at_kill=sum(lost),
        most_unjournalled_at_one_kill=max(lost),
        under_way_at_kills=tuple(under_way),
        journalled_at_kills=tuple(map(len, journalled)),
    )


def _moment(
    last: bool, requests: int, seconds: float, tail_s: float, endpoint: FaultyEndpoint, rng: random.Random
) -> tuple[threading.Event | None, float]:
    """When to kill: `delay_s` after an event, or after the start.

    A kill comes after a random share of the requests that are still to be paid for. The last one comes after
    all of them, while the stage writes its outputs. A stage with no request left is killed at a random share
    of its time.
    """
    paid = len(endpoint.counts.paid)
    if paid >= requests:
        return None, rng.uniform(0.2, 1.0) * seconds
    if last:
        return endpoint.once_paid(requests), rng.uniform(0.0, 1.0) * tail_s
    return endpoint.once_paid(paid + 1 + int(rng.uniform(0.0, 0.6) * (requests - paid))), rng.uniform(
        0.0, 0.03
    )


def _wait(process: subprocess.Popen[bytes], reached: threading.Event | None, delay_s: float) -> bool:
    """Whether the moment came before the process ended."""
    while reached is not None and not reached.wait(0.02):
        if process.poll() is not None:
            return False
    try:
        process.wait(delay_s)
    except subprocess.TimeoutExpired:
        return True
    return False


def _journalled(work: Path) -> set[str]:
    """Keys of the requests in the journals of a work directory; a torn last line counts as not written."""
    keys = set()
    for path in work.rglob("*.jsonl"):
        for line in path.read_bytes().split(b"\n")[:-1]:
            keys.add(str(json.loads(line)[0]).removeprefix("usage:"))
    return keys

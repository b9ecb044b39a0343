"""Kill every data stage five times at random moments and run it again: same bytes, nothing paid for twice?

    python -m benchmarks.data.kills [--scale 1.0] [--kills 5] [--seed 0]

Each of the six stages runs as a process on rendered scenes, against the demo's simulated teachers on
loopback. It runs without interruption first, then with SIGKILL to its process group. Four of five kills come
at random shares of the requests still to be paid for, the last between the last request and the end.
image_ingest asks nothing; it is killed at random moments of its running time. The endpoint counts the replies
that it delivered, by `Idempotency-Key`: written whole, and not left unread in the socket of a process that
died. The journals say what the stage had kept at each kill.

Targets: `identical` is true (manifests byte for byte, and the same set of requests), `paid_twice` is 0.
`unjournalled_at_kill` are replies that the stage had read and not yet written when it was killed. They are
asked for again, which no client can prevent. There are at most as many as requests may be under way.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path

from benchmarks import harness
from tests.faults.kills import kill_and_resume
from tests.faults.world import STAGES, DataHalf, build_pictures, serve_teachers

PICTURES = 100
CONCURRENCY = 8


def main() -> None:
    """Run and print one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help=f"1.0 is {PICTURES} pictures")
    parser.add_argument("--kills", type=int, default=5, help="kills of each stage")
    parser.add_argument("--seed", type=int, default=0, help="decides the moments")
    arguments = parser.parse_args()
    pictures = max(6, round(PICTURES * arguments.scale))
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        endpoint = serve_teachers(build_pictures(folder / "pictures", pictures), delay_s=0.02)
        half = DataHalf.over(folder / "pictures", endpoint.url, max_concurrency=CONCURRENCY)
        stages = {}
        for stage in STAGES:
            scratch = folder / "killed" / stage
            outcome, seconds = harness.timed(
                lambda stage=stage, scratch=scratch: kill_and_resume(  # type: ignore[misc]
                    half, endpoint, stage, folder, scratch, arguments.kills, arguments.seed
                )
            )
            stages[stage] = {**dataclasses.asdict(outcome), "seconds": round(seconds, 1)}
        endpoint.stop()
    harness.result(
        "data.kills",
        pictures=pictures,
        kills_per_stage=arguments.kills,
        seed=arguments.seed,
        max_concurrency=CONCURRENCY,
        identical=all(stage["identical"] for stage in stages.values()),
        paid_twice=sum(stage["paid_twice"] for stage in stages.values()),
        unjournalled_at_kill=sum(stage["unjournalled_at_kill"] for stage in stages.values()),
        requests=sum(stage["requests"] for stage in stages.values()),
        stages=stages,
    )


if __name__ == "__main__":
    main()

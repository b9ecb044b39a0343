"""Do the stages that ask a model lose anything when every fifth request goes wrong?

    python -m benchmarks.data.faults [--scale 1.0] [--rate 0.2] [--seed 0]

The stages run on rendered scenes with the demo's simulated teachers on loopback: once calm, then with faults.
A hash of request and attempt draws the fault:

- 429 storms with Retry-After; 500, 502, 503
- hangs beyond the time limit; connections cut in the middle of the body
- bodies that are no JSON; answers that are no JSON or JSON of another shape
- empty choices; answers about another image

Targets: every stage finishes, every balance adds up (in = kept + rejected), and `changed` is 0. That counts
changed rows of images whose requests met no fault of content.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

from benchmarks import harness
from tests.faults.accounts import ASKING, run_under_faults
from tests.faults.endpoint import Faults
from tests.faults.world import STAGES, DataHalf, build_pictures, serve_teachers

PICTURES = 200


def main() -> None:
    """Run and print one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help=f"1.0 is {PICTURES} pictures")
    parser.add_argument("--rate", type=float, default=0.2, help="share of requests with a fault")
    parser.add_argument("--seed", type=int, default=0, help="decides which")
    arguments = parser.parse_args()
    pictures = max(6, round(PICTURES * arguments.scale))
    stages = {}
    injected: Counter[str] = Counter()
    received = 0
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        endpoint = serve_teachers(build_pictures(folder / "pictures", pictures))
        half = DataHalf.over(folder / "pictures", endpoint.url)
        seconds = {
            stage: harness.timed(partial(half.call, stage, folder, folder, folder / "work"))[1]
            for stage in STAGES
        }
        other = next((folder / "pictures").iterdir()).read_bytes()
        endpoint.faults = Faults(arguments.rate, arguments.seed, hang_s=4, retry_after="1", other_image=other)
        half = DataHalf.over(folder / "pictures", endpoint.url, timeout_s=3, max_retries=8)
        for stage in ASKING:
            ran, under_faults_s = harness.timed(
                lambda stage=stage: run_under_faults(  # type: ignore[misc]
                    half, endpoint, stage, folder, folder / "faulty", folder / "work-faulty"
                )
            )
            injected.update(ran.injected)
            received += ran.received
            stages[stage] = {
                "requests_received": ran.received,
                "injected_share": round(ran.injected_share, 3),
                "balanced": all(account.balanced for account in ran.accounts),
                "accounts": [vars(account) for account in ran.accounts],
                "changed": len(ran.changed),
                "calm_s": round(seconds[stage], 1),
                "under_faults_s": round(under_faults_s, 1),
            }
        endpoint.stop()
    harness.result(
        "data.faults",
        pictures=pictures,
        rate=arguments.rate,
        seed=arguments.seed,
        finished=len(stages) == len(ASKING),
        balanced=all(stage["balanced"] for stage in stages.values()),
        changed=sum(stage["changed"] for stage in stages.values()),
        requests_received=received,
        injected=dict(sorted(injected.items())),
        stages=stages,
    )


if __name__ == "__main__":
    main()

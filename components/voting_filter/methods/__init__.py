"""Ways to turn votes into decisions; each module has `decide(ballots, config) -> Outcome`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from components.voting_filter.ballots import Ballot, Outcome
from components.voting_filter.config import Config
from components.voting_filter.methods import dawid_skene, majority

METHODS: dict[str, Callable[[Sequence[Ballot], Config], Outcome]] = {
    "dawid_skene": dawid_skene.decide,
    "majority": majority.decide,
}

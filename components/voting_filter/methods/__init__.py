"""Ways to turn votes into decisions; each module has `decide(ballots, config) -> list[Decision]`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from components.voting_filter.ballots import Ballot, Decision
from components.voting_filter.config import Config
from components.voting_filter.methods import majority

METHODS: dict[str, Callable[[Sequence[Ballot], Config], list[Decision]]] = {"majority": majority.decide}

"""The demo world's simulated models in this process; their items with planted questions of known truth.

The stage's own prompts, parsing and ballots are used; only HTTP is left out. A request's image is the
picture's name.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np

from benchmarks.data.simulated.facts import KIND, alternatives, facts
from components.core.answers import AnswerType, agree
from components.core.mllm import Answer, ChatRequest
from components.voting_filter.ask import AskedVote, VoteAnswers, cast_ballots, collect, collect_blind
from components.voting_filter.ballot import Ballot
from demo.teachers.knowledge.scene import Priors, SceneKnowledge
from demo.teachers.models import ModelSpec
from demo.teachers.replies.topics import Ontology
from demo.teachers.server import PRIOR_SCENES
from demo.teachers.speaker import Request, Speaker
from demo.world.questions import TruthQA
from demo.world.scene import Scene, sample_scene

Row = dict[str, Any]
_KINDS = ("number", "span", "choice", "yes_no")


class WorldPriors(Priors):
    """What models expect without a picture, planted questions included."""

    def answers(self, question: str, choices: tuple[str, ...]) -> tuple[str, ...]:
        """See `Priors`."""
        return alternatives(question) or super().answers(question, choices)


class FactsOnly:
    """What a model knows without a picture: the answers to planted questions and nothing else."""

    def __init__(self, bank: Sequence[TruthQA]) -> None:
        self._bank = {(fact.question, fact.choices): fact for fact in bank}

    def truth(self, question: str, choices: tuple[str, ...]) -> TruthQA | None:
        """The answer to a planted question."""
        return self._bank.get((question, choices))


class Picture(SceneKnowledge):
    """A scene, to somebody who also knows the planted facts."""

    def __init__(self, scene: Scene, known: FactsOnly) -> None:
        super().__init__(scene)
        self._known = known

    def truth(self, question: str, choices: tuple[str, ...]) -> TruthQA | None:
        """The scene's answer, or the fact."""
        return self._known.truth(question, choices) or super().truth(question, choices)


@dataclass(frozen=True)
class Item:
    """A proposed item and the truth about it."""

    row: Row
    right: bool
    planted: bool
    kind: str


class World:
    """Scenes of one seed, the planted facts, and the models that talk about them."""

    def __init__(self, n_images: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.seed = seed
        self.bank = facts(seed)
        self.known = FactsOnly(self.bank)
        self.pictures = {f"{seed}-{i}": Picture(sample_scene(rng), self.known) for i in range(n_images)}
        prior_rng = np.random.default_rng(0)
        self._priors = WorldPriors([sample_scene(prior_rng) for _ in range(PRIOR_SCENES)])
        self._ontology = Ontology()

    def speaker(self, name: str, error_rate: float) -> Speaker:
        """A model that is wrong this often, about what is there and about what is not."""
        spec = ModelSpec(name, error_rate=error_rate, hallucination_rate=error_rate)
        return Speaker(spec, self._priors, self._ontology)

    def items(self, teacher: Speaker, per_image: int, planted_share: float) -> list[Item]:
        """What the teacher proposes: questions about every picture, a share of them replaced by planted ones.

        A planted question takes the place of one with the same type of answer; the teacher answers it, too.
        """
        rng = random.Random(f"plant:{self.seed}")
        banks = {kind: [fact for fact in self.bank if fact.answer_type == kind] for kind in _KINDS}
        left = {kind: cycle(bank) for kind, bank in banks.items()}
        rows: list[Item] = []
        for name, picture in self.pictures.items():
            asked = teacher.qa_items(Request(f"Write {per_image} questions.", name, picture))["items"]
            asked = self._evolve(teacher, asked, name, picture)
            for number, item in enumerate(asked):
                planted = rng.random() < planted_share
                if planted:
                    fact = next(left[item["answer_type"]])
                    said = teacher.vote_answers(Request(_listing(fact), name, picture))["answers"][0]
                    item = {**fact.__dict__, "answer": said["answer"]}
                rows.append(self._item(f"{name}-{number}", name, picture, item))
        return rows

    def _evolve(self, teacher: Speaker, asked: list[Row], name: str, picture: Picture) -> list[Row]:
        """Every second question made harder by a reasoning step."""
        old = asked[::2]
        lines = [f"{i}. [reasoning] {item['question']} => {item['answer']}" for i, item in enumerate(old, 1)]
        new = teacher.qa_evolved(Request("\n".join(lines), name, picture))["items"]
        return asked[1::2] + new

    def _item(self, qa_id: str, name: str, picture: Picture, item: Row) -> Item:
        row = {
            "qa_id": qa_id,
            "image_id": name,
            "question": item["question"],
            "answer": item["answer"],
            "answer_type": item["answer_type"],
            "choices": list(item["choices"]),
        }
        truth = picture.truth(row["question"], tuple(row["choices"]))
        if truth is None:
            raise ValueError(f"the world has no answer to {row['question']!r}")
        kind: AnswerType = row["answer_type"]
        right = agree(row["answer"], truth.answer, kind, row["choices"])
        return Item(row, right, truth.kind == KIND, truth.kind)

    def ballots(self, items: Sequence[Item], voters: Sequence[Speaker], blind: bool) -> list[Ballot]:
        """Every voter's answers to all items, by the stage's own requests."""
        rows = [item.row for item in items]
        images = {name: name.encode() for name in self.pictures}
        sizes = {"questions_per_request": 8, "answer_tokens": 64}
        asked: list[AskedVote] = []
        for voter in voters:

            def ask(requests: list[ChatRequest], voter: Speaker = voter) -> list[Answer]:
                return [self._answer(voter, request) for request in requests]

            asked += collect(rows, voter.model.name, ask, images, **sizes)
            if blind:
                asked += collect_blind(rows, voter.model.name, ask, {}, **sizes)
        return cast_ballots(rows, asked)

    def _answer(self, voter: Speaker, request: ChatRequest) -> Answer:
        name = request.images[0].decode() if request.images else ""
        if name:
            said = voter.vote_answers(Request(request.prompt, name, self.pictures[name]))
        else:
            said = voter.vote_answers(Request(request.prompt, "", self.known))  # type: ignore[arg-type]
        return Answer(request.key, VoteAnswers.model_validate(said), None, 0, 0)


def _listing(fact: TruthQA) -> str:
    options = "".join(f"\n   {'ABCDEFGH'[i]}. {choice}" for i, choice in enumerate(fact.choices))
    return f"1. {fact.question}{options}"

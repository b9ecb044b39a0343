"""Questions that a simulated teacher asks about a picture, harder versions of them, and its judgement."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Any

from demo.teachers.knowledge import photo
from demo.teachers.knowledge.scene import Knowledge
from demo.world.forms import SLOTS, SPEED_LIMITS
from demo.world.questions import TruthQA

EXISTENCE = "existence"
KIND_WEIGHTS = {EXISTENCE: 4.0, "fuel": 3.0, "temperature": 3.0, "gear": 3.0}
"""How often a kind of question is asked, against 1 for any other."""
PRESENT_SHARE = 0.85
"""Share of existence questions about things in the picture: teachers mostly ask about these."""
ABSENT_PREMISE_SHARE = 0.12
"""Share of other questions that suppose something absent."""


_SLOT_WORDS = frozenset(
    word
    for values in (*SLOTS.values(), SPEED_LIMITS, photo.COLOURS, photo.QUARTERS)
    for value in values
    for word in value.split()
)
_WORD = re.compile(r"\w+")
_Content = tuple[str, ...]
_Wanted = Callable[[TruthQA], bool]

_ASPECT_SKILLS = {"text": "ocr", "position": "spatial relationship", "meaning": "knowledge"}
"""Word of an aspect in a prompt -> the skill that questions about it need; subjects need none of these."""


def _anything(qa: TruthQA) -> bool:
    return True


def _missing(qa: TruthQA) -> bool:
    return qa.kind == EXISTENCE and not qa.present


def about(aspect: str) -> _Wanted:
    """Whether a question is about an aspect, as prompts name them; an unknown aspect wants anything."""
    skill = next((skill for word, skill in _ASPECT_SKILLS.items() if word in aspect), "")
    if skill:
        return lambda qa: skill in qa.skills
    if "subject" in aspect:
        return lambda qa: not set(_ASPECT_SKILLS.values()) & set(qa.skills)
    return _anything


def _content(qa: TruthQA) -> _Content:
    """A question's content without its wording: its kind and the things it names, in order."""
    return (qa.kind, *(word for word in _WORD.findall(qa.question.lower()) if word in _SLOT_WORDS))


class _Pool:
    """A picture's questions by kind, each given out once."""

    def __init__(self, knowledge: Knowledge, rng: random.Random, taken: set[_Content]) -> None:
        self.rng = rng
        self.taken = taken
        self.by_kind: dict[str, list[TruthQA]] = defaultdict(list)
        for qa in knowledge.questions(rng):
            self.by_kind[qa.kind].append(qa)
        self.absent = [qa for qa in knowledge.absent(rng) if qa.kind != EXISTENCE]

    def draw(
        self, lowest: int, highest: int, avoid: Collection[str] = (), wanted: _Wanted = _anything
    ) -> TruthQA | None:
        """A fresh question of a level within bounds, of a kind drawn first; None if there is none left."""
        if self.absent and self.rng.random() < ABSENT_PREMISE_SHARE:
            fitting = [qa for qa in self.absent if self._fresh(qa, lowest, highest) and wanted(qa)]
            if fitting:
                return self._take(self.rng.choice(fitting))
        fresh = {
            kind: own
            for kind, all_own in self.by_kind.items()
            if kind not in avoid
            and (own := [qa for qa in all_own if self._fresh(qa, lowest, highest) and wanted(qa)])
        }
        if not fresh:
            return None
        kinds = list(fresh)
        weights = [KIND_WEIGHTS.get(kind, 1.0) for kind in kinds]
        own = fresh[self.rng.choices(kinds, weights)[0]]
        if own[0].kind == EXISTENCE:
            present = self.rng.random() < PRESENT_SHARE
            own = [qa for qa in own if qa.present == present]
            if not own and len(fresh) > 1:  # nothing else in the picture to affirm: another kind
                return self.draw(lowest, highest, {*avoid, EXISTENCE}, wanted)
            own = own or fresh[EXISTENCE]
        return self._take(self.rng.choice(own))

    def _fresh(self, qa: TruthQA, lowest: int, highest: int) -> bool:
        return lowest <= qa.level <= highest and _content(qa) not in self.taken

    def _take(self, qa: TruthQA) -> TruthQA:
        self.taken.add(_content(qa))
        return qa


def choose_items(
    knowledge: Knowledge,
    count: int,
    rng: random.Random,
    aspects: Sequence[str] = (),
    types: Sequence[str] = (),
    absent: int = 0,
) -> list[TruthQA]:
    """At most `count` seed questions (levels 0 and 1), mixed over kinds, all different.

    `aspects` and `types` are wishes for single questions, met as far as the picture has such questions. Their
    pairing is drawn. The first `absent` questions ask for something absent.
    """
    pool = _Pool(knowledge, rng, set())
    missing = [qa for _ in range(absent) if (qa := pool.draw(0, 3, wanted=_missing)) is not None]
    count -= len(missing)
    if not aspects and not types:
        drawn = (pool.draw(0, 1) or pool.draw(0, 3) for _ in range(count))
        return missing + [qa for qa in drawn if qa is not None]
    own_aspects, own_types = rng.sample(aspects, len(aspects)), rng.sample(types, len(types))
    chosen = missing
    for place in range(count):
        fits = about(own_aspects[place]) if place < len(own_aspects) else _anything
        answer_type = own_types[place] if place < len(own_types) else ""
        for wanted in (_both(fits, answer_type), _both(_anything, answer_type), fits, _anything):
            qa = pool.draw(0, 1, wanted=wanted) or pool.draw(0, 3, wanted=wanted)
            if qa is not None:
                chosen.append(qa)
                break
    return chosen


def _both(fits: _Wanted, answer_type: str) -> _Wanted:
    return lambda qa: fits(qa) and answer_type in ("", qa.answer_type)


def choose_evolved(
    knowledge: Knowledge, old: Sequence[tuple[str, str, tuple[str, ...]]], rng: random.Random
) -> list[TruthQA | None]:
    """A new question for each old (direction, question, choices), None where nothing is left to ask.

    reasoning: one level higher. interaction: another answer type. perception: another kind. Both at the same
        level.
    """
    known = [knowledge.truth(question, choices) for _, question, choices in old]
    pool = _Pool(knowledge, rng, {_content(qa) for qa in known if qa is not None})
    chosen: list[TruthQA | None] = []
    for (direction, _, _), before in zip(old, known, strict=True):
        level, kind = (before.level, before.kind) if before else (0, "")
        if direction == "reasoning":
            qa = pool.draw(level + 1, level + 1) or pool.draw(level + 1, 3)
        elif direction == "interaction":
            old_type = before.answer_type if before else ""
            qa = pool.draw(level, level, wanted=_other_type(old_type))
        else:
            qa = pool.draw(level, level, avoid={kind})
        chosen.append(qa or pool.draw(0, 3))
    return chosen


def _other_type(answer_type: str) -> _Wanted:
    return lambda qa: qa.answer_type != answer_type


def judge(
    knowledge: Knowledge | None,
    direction: str,
    before: str,
    after: str,
    answer: str,
    choices: tuple[str, ...],
    lenient: bool,
) -> dict[str, Any]:
    """Compare two versions by the truth. The new one must be right, and harder (reasoning) or different.

    A `lenient` judge does not notice a wrong answer.
    """
    new = knowledge.truth(after, choices) if knowledge else None
    old = knowledge.truth(before, ()) if knowledge else None
    if new is None or old is None:
        return _verdict(False, 3, "The new question cannot be checked against the picture.")
    if not lenient and not _same(answer, new.answer):
        return _verdict(False, 1, f"The answer is wrong: {new.reasoning}")
    gain = new.level - old.level
    if gain > 0:
        return _verdict(True, min(10, 6 + 2 * gain), "It needs more steps than before.")
    if gain == 0 and direction != "reasoning" and new.kind != old.kind:
        return _verdict(True, 7, "It asks for something else at the same difficulty.")
    return _verdict(False, 4, "It asks for no more than before.")


def _verdict(improved: bool, score: int, reason: str) -> dict[str, Any]:
    return {"improved": improved, "score": score, "reason": reason}


def _same(a: str, b: str) -> bool:
    return a.casefold().strip(" .()") == b.casefold().strip(" .()")

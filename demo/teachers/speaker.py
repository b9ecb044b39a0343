"""Answers of a simulated model in the form of each JSON schema: the truth, with errors at stated rates."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from demo.teachers.knowledge.scene import NOTHING, Knowledge, Priors, noisy_scores
from demo.teachers.models import ModelSpec
from demo.teachers.replies import parse
from demo.teachers.replies.grades import grade
from demo.teachers.replies.items import choose_evolved, choose_items, judge
from demo.teachers.replies.noise import misread, pick, uniform
from demo.teachers.replies.thinking import abilities, steps, task_form
from demo.teachers.replies.topics import Ontology, match_topics, topic_number
from demo.world.questions import TruthQA

Json = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """A chat request. `picture` names the image ("" without one); `seed` is 0 when the temperature is."""

    prompt: str
    picture: str
    knowledge: Knowledge | None
    seed: int = 0


class Speaker:
    """One model. Its answers are functions of (model, picture, question, seed) and of nothing else."""

    def __init__(self, model: ModelSpec, priors: Priors, ontology: Ontology) -> None:
        self.model = model
        self.priors = priors
        self.ontology = ontology
        self.schemas: dict[str, Callable[[Request], Json]] = {
            "ImageScore": self.image_score,
            "TopicChildren": self.topic_children,
            "TopicChoice": self.topic_choice,
            "QAItems": self.qa_items,
            "QAEvolved": self.qa_evolved,
            "QAJudged": self.qa_judged,
            "QAPaths": self.qa_paths,
            "VoteAnswers": self.vote_answers,
            "AnswerGraded": self.answer_graded,
            "SeenThings": self.seen_things,
        }

    def caption(self, request: Request) -> str:
        """Free text, for a request without a schema."""
        return request.knowledge.caption() if request.knowledge else "There is no picture in this request."

    def seen_things(self, request: Request) -> Json:
        """What preflight asks of every model before a run."""
        thing = {"number": 1, "name": "a square", "colour": "red", "certainty": 9.0}
        return {"things": [thing], "any_text": False}

    def image_score(self, request: Request) -> Json:
        """Information density by dimension."""
        if request.knowledge is None:
            names = ("subject_diversity", "spatial_relationships", "ocr_text_richness", "world_knowledge")
            return {**dict.fromkeys(names, 0.0), "rationale": "There is no picture.", "caption": ""}
        scores = noisy_scores(
            request.knowledge, self.model.score_noise, self.model.name, request.picture, request.seed
        )
        most = max(scores, key=lambda name: scores[name])
        rationale = f"Strongest in {most.replace('_', ' ')}; {sum(scores.values()) / 4:.1f} on average."
        return {**scores, "rationale": rationale, "caption": request.knowledge.caption()}

    def topic_children(self, request: Request) -> Json:
        """Children of a topic from the fixed ontology, without those the prompt lists."""
        listed = {line.text.split(":")[0].strip().casefold() for line in parse.numbered(request.prompt)}
        children = self.ontology.children(parse.topic_path(request.prompt))
        fresh = [child for child in children if child["name"].casefold() not in listed]
        return {"children": fresh[: parse.limit(request.prompt, 8)]}

    def topic_choice(self, request: Request) -> Json:
        """Candidates whose words fit the picture, best first."""
        if request.knowledge is None:
            return {"topics": []}
        scored = match_topics(parse.numbered(request.prompt), request.knowledge.words())
        best = scored[: parse.limit(request.prompt, 4)]
        return {"topics": [{"index": index, "score": score} for index, score in best]}

    def qa_items(self, request: Request) -> Json:
        """N questions with this model's answers. Without a picture there is nothing to ask about."""
        if request.knowledge is None:
            return {"items": []}
        chosen = choose_items(
            request.knowledge,
            parse.wanted_count(request.prompt),
            self._rng(request, "items"),
            parse.quotas(request.prompt, "about"),
            parse.quotas(request.prompt, "of type"),
            parse.absent(request.prompt),
        )
        topics = [(line.index, line.text) for line in parse.numbered(request.prompt)]
        return {"items": [{**self._item(qa, request), "topic": topic_number(qa, topics)} for qa in chosen]}

    def qa_evolved(self, request: Request) -> Json:
        """A new version of each listed item."""
        if request.knowledge is None:
            return {"items": []}
        lines = parse.numbered(request.prompt)
        old = []
        for line in lines:
            direction, text = parse.directed(line.text)
            old.append((direction, parse.question_and_answer(text)[0], line.choices))
        chosen = choose_evolved(request.knowledge, old, self._rng(request, "evolve"))
        return {
            "items": [
                {
                    "index": line.index,
                    **self._item(qa, request),
                    "form": task_form(qa) if direction == "interaction" else "",
                }
                for line, (direction, _, _), qa in zip(lines, old, chosen, strict=True)
                if qa is not None
            ]
        }

    def qa_judged(self, request: Request) -> Json:
        """Verdicts by the truth; a wrong one at the model's verdict error rate."""
        verdicts = []
        for line in parse.numbered(request.prompt):
            direction, before = parse.directed(line.text)
            question, answer = parse.question_and_answer(line.after)
            key = (self.model.name, request.picture, question, request.seed)
            lenient = uniform("leniency", *key) < self.model.leniency
            old = parse.question_and_answer(before)[0]
            verdict = judge(request.knowledge, direction, old, question, answer, line.choices, lenient)
            if uniform("verdict", *key) < self.model.verdict_error_rate:
                wrong = not verdict["improved"]
                verdict.update(improved=wrong, score=7 if wrong else 3, reason="It reads that way to me.")
            verdict["answerable_without_image"] = self.priors.constant(question)
            verdicts.append({"index": line.index, **verdict})
        return {"items": verdicts}

    def qa_paths(self, request: Request) -> Json:
        """A reasoning path to each listed question, wrong at the error rate; every seed draws anew."""
        paths = []
        for line in parse.numbered(request.prompt):
            truth = request.knowledge.truth(line.text, line.choices) if request.knowledge else None
            if truth is None:
                said = ["I cannot see it, so I guess."]
                text = self._guess(line.text, line.choices, request)
            else:
                believed = self._believed(truth, request)
                said = steps(truth, believed, self.model.name, request.picture, truth.question, request.seed)
                text = self._worded(believed, truth, request)
            paths.append({"index": line.index, "steps": said, "answer": text})
        return {"paths": paths}

    def vote_answers(self, request: Request) -> Json:
        """An answer to each listed question; without a picture, a usual one."""
        answers = []
        for line in parse.numbered(request.prompt):
            truth = request.knowledge.truth(line.text, line.choices) if request.knowledge else None
            text = self._answer(truth, request) if truth else self._guess(line.text, line.choices, request)
            answers.append({"index": line.index, "answer": text})
        return {"answers": answers}

    def answer_graded(self, request: Request) -> Json:
        """Grades of one open answer, by the truth; padding and praise talk some judges round."""
        return grade(self.model, request.knowledge, request.prompt, request.picture)

    def _guess(self, question: str, choices: tuple[str, ...], request: Request) -> str:
        return self.priors.guess(question, choices, self.model.name, question, request.picture, request.seed)

    def _item(self, qa: TruthQA, request: Request) -> Json:
        answer = self._believed(qa, request)
        reasoning = qa.reasoning if answer == qa.answer else f"It looks like {answer}."
        return {
            "question": qa.question,
            "answer": self._worded(answer, qa, request),
            "answer_type": qa.answer_type,
            "choices": list(qa.choices),
            "reasoning": reasoning,
            "objects": list(qa.objects),
            "skills": abilities(qa.skills),
        }

    def _answer(self, qa: TruthQA, request: Request) -> str:
        return self._worded(self._believed(qa, request), qa, request)

    def _believed(self, qa: TruthQA, request: Request) -> str:
        """The model's answer: the truth, a claim about an absent thing, or a plausible mistake."""
        rate = self.model.error_rate if qa.present else self.model.hallucination_rate
        rate = 1 - (1 - rate) * (1 - self.model.step_error_rate) ** qa.level
        key = (self.model.name, request.picture, qa.question.casefold(), request.seed)
        if uniform("error", *key) >= rate:
            return qa.answer
        return pick(self._mistakes(qa, key), "mistake", *key)

    def _mistakes(self, qa: TruthQA, key: tuple[object, ...]) -> Sequence[str]:
        if qa.answer_type == "yes_no":
            return ("no" if qa.answer == "yes" else "yes",)
        if qa.answer_type == "number" and qa.answer.isdigit():
            return (misread(qa.answer, *key),)
        if qa.answer_type == "choice":
            return [letter for letter in "ABCDEFGH"[: len(qa.choices)] if letter != qa.answer]
        usual = self.priors.answers(qa.question, ())
        return sorted(set(usual) - NOTHING - {qa.answer}) or ("unknown",)

    def _worded(self, answer: str, qa: TruthQA, request: Request) -> str:
        """The answer in varying words: sometimes capitalised, with a full stop, a letter with its text."""
        style = uniform("style", self.model.name, request.picture, qa.question, request.seed)
        if style > 0.3:
            return answer
        if qa.answer_type == "choice":
            return f"{answer}. {qa.choices['ABCDEFGH'.index(answer)]}" if style > 0.15 else f"({answer})"
        if qa.answer_type == "yes_no":
            return answer.capitalize() if style > 0.15 else f"{answer.capitalize()}."
        return f"{answer}."

    def _rng(self, request: Request, what: str) -> random.Random:
        return random.Random(f"{what}:{self.model.name}:{request.picture}:{request.seed}:{request.prompt}")

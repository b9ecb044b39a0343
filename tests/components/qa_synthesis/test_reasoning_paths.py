from __future__ import annotations

from components.core.mllm import Answer, ChatRequest
from components.core.stage.settings import Endpoint
from components.qa_synthesis.config import Config
from components.qa_synthesis.image_question import ImageQuestion
from components.qa_synthesis.plan import Task
from components.qa_synthesis.reasoning_paths import sample_reasoning
from components.qa_synthesis.schemas import QAPath, QAPaths


def item(question: str, answer: str, answer_type: str, **more) -> ImageQuestion:
    return ImageQuestion(
        image_id="image", question=question, answers=(answer,), answer_type=answer_type, **more
    )


CONFIG = Config(
    endpoint=Endpoint(base_url="http://localhost/v1", model="m"),
    reasoning_paths={"samples": 3, "max_path_chars": 60},
)
TASK = Task("image", b"", "train", 3)
ITEMS = [
    item("How fast?", "40", "number", reasoning="as written"),
    item("Describe it.", "A red car.", "open", reasoning="as written"),
    item("Is it red?", "yes", "yes_no", reasoning="as written"),
]


def ask_with(*samples: list[tuple[int, list[str], str]] | None):
    """One reply a sample, given as (index, steps, answer); None is a failed request."""
    seen: list[ChatRequest] = []

    def ask(requests: list[ChatRequest]) -> list[Answer]:
        seen.extend(requests)
        answers = []
        for request, sample in zip(requests, samples, strict=True):
            paths = [QAPath(index=i, steps=steps, answer=text) for i, steps, text in sample or []]
            value = QAPaths(paths=paths) if sample is not None else None
            answers.append(Answer(request.key, value, None if value else "malformed: x", 1, 1))
        return answers

    ask.seen = seen  # type: ignore[attr-defined]
    return ask


def test_the_shortest_correct_path_becomes_the_reasoning():
    ask = ask_with(
        [(1, ["I look twice.", "It shows 40."], "40 km/h"), (2, ["It is red."], "Yes.")],
        [(1, ["It shows 40."], "40"), (2, ["It is blue."], "no")],
        [(1, ["It shows 48."], "48"), (2, ["It is red."], "yes")],
    )
    ((speed, described, red),) = sample_reasoning([TASK], [ITEMS], CONFIG, ask)
    assert speed.reasoning == "It shows 40."
    (entry,) = speed.history
    assert entry["paths"] == ["I look twice. It shows 40."] and entry["replaced"] == "as written"
    assert (entry["sampled"], entry["correct"], entry["answers"]) == (3, 2, {"48": 1})
    assert described == ITEMS[1] and described.history == ()
    assert red.reasoning == "It is red." and red.history[0]["paths"] == []


def test_requests_show_questions_and_no_answers_and_differ_in_seed():
    ask = ask_with([], [], [])
    sample_reasoning([TASK], [ITEMS], CONFIG, ask)
    assert len({request.seed for request in ask.seen}) == 3
    assert all(request.temperature > 0 for request in ask.seen)
    assert len({request.prompt for request in ask.seen}) == 1
    assert "How fast?" in ask.seen[0].prompt and "2. Is it red?" in ask.seen[0].prompt
    assert "40" not in ask.seen[0].prompt and "Describe" not in ask.seen[0].prompt


def test_without_a_correct_path_the_reasoning_stays_and_says_so():
    ask = ask_with(
        [(1, ["It shows 48."], "48"), (2, [], "yes")],
        [(1, ["It shows 49."], "49"), (2, ["x" * 61], "yes")],
        None,
    )
    ((speed, _, red),) = sample_reasoning([TASK], [ITEMS], CONFIG, ask)
    assert speed.reasoning == red.reasoning == "as written"
    (entry,) = speed.history
    assert entry["reasoning"] == "no_correct_path" and entry["missing"] == 1
    assert entry["answers"] == {"48": 1, "49": 1}
    assert red.history[0]["malformed"] == 2 and red.history[0]["sampled"] == 3


def test_control_tokens_cannot_enter_through_a_path():
    ask = ask_with(*([(1, ["<|im_end|> It shows 40."], "40")] for _ in range(3)))
    ((speed, *_),) = sample_reasoning([TASK], [ITEMS], CONFIG, ask)
    assert speed.reasoning == "as written" and speed.history[0]["malformed"] == 3


def test_images_without_verifiable_items_are_not_asked_about():
    ask = ask_with()
    assert sample_reasoning([TASK, TASK], [[ITEMS[1]], []], CONFIG, ask) == [[ITEMS[1]], []]
    assert not ask.seen


def test_equal_paths_are_kept_once():
    ask = ask_with(*([(1, ["It shows 40."], "40")] for _ in range(3)))
    ((speed, *_),) = sample_reasoning([TASK], [ITEMS], CONFIG, ask)
    assert speed.history[0]["correct"] == 3 and speed.history[0]["paths"] == []

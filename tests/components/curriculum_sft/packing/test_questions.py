"""Separated questions are trained as conversations of one question each."""

from __future__ import annotations

import json

import pytest
import torch

from components.core.vlm import build_conversation, load_model, load_processor
from components.core.vlm.branches import SHARED, UNSEEN, branch_mask, branch_positions
from components.curriculum_sft.config import Config
from components.curriculum_sft.data.batches import IGNORED, ConversationCollator, PictureStores
from components.curriculum_sft.packing.questions import QuestionCollator, branches_of, separated

THREE = [("What colour?", "red"), ("How many?", "I see two. Answer: 2"), ("Is it blue?", "no")]
TWO = [("Which is left?", "no"), ("Is there a red square?", "yes")]
SHARED_PICTURES = [(THREE, ["p0"]), (TWO, ["p4", "p1"])]


def _row(turns: list[tuple[str, str]], images: list[str], source: str = "domain") -> dict[str, object]:
    messages = json.dumps(build_conversation(turns, len(images)))
    return {"sample_id": "s", "messages": messages, "images": images, "source": source}


@pytest.fixture
def collate(tiny_checkpoint, coloured_pictures) -> ConversationCollator:
    pictures = PictureStores([{f"p{i}": data for i, data in enumerate(coloured_pictures)}])
    return ConversationCollator(load_processor(tiny_checkpoint), pictures)


def _log_likelihoods(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Of the labelled tokens, in order."""
    places = (labels != IGNORED).nonzero()[:, 0]
    return logits.log_softmax(-1)[places - 1, labels[places]]


def test_answers_are_as_likely_as_in_conversations_of_their_own(collate, tiny_checkpoint) -> None:
    model = load_model(tiny_checkpoint, "float32")
    batch = QuestionCollator(collate, None)([_row(*both) for both in SHARED_PICTURES])
    batch.pop("sample_ids")
    inputs = separated(batch, model.model.get_rope_index)
    with torch.no_grad():
        together = model(**inputs).logits
        for place, (turns, images) in enumerate(SHARED_PICTURES):
            expected = []
            for turn in turns:
                alone = collate([_row([turn], images)])
                alone.pop("sample_ids")
                expected.append(_log_likelihoods(model(**alone).logits[0], alone["labels"][0]))
            found = _log_likelihoods(together[place], batch["labels"][place])
            torch.testing.assert_close(found, torch.cat(expected), atol=1e-4, rtol=1e-4)


def test_a_whole_conversation_is_what_it_was(collate, tiny_checkpoint) -> None:
    model = load_model(tiny_checkpoint, "float32")
    rows = [_row(THREE, ["p0"], "dialogues"), _row(TWO, ["p1"])]
    batch = QuestionCollator(collate, frozenset({"domain"}))(rows)
    plain = collate(rows)
    batch.pop("sample_ids"), plain.pop("sample_ids")
    with torch.no_grad():
        found = model(**separated(batch, model.model.get_rope_index)).logits[0]
        expected = model(**plain).logits[0]
    real = plain["attention_mask"][0].bool()
    torch.testing.assert_close(found[real], expected[real], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("ids", "labels", "expected"),
    [
        # picture 9, question 1, answer 2; joint 7 8; question 3, answer 4; newline 5
        ([0, 9, 1, 2, 7, 8, 3, 4, 5], [2, 4], [0, 0, 1, 1, -1, -1, 2, 2, -1]),
        ([0, 9, 1, 2, 7, 7, 3, 4, 5], [2, 4], [0] * 9),  # something else between the turns
        ([0, 1, 2, 7, 8, 9, 3, 4], [2, 4], [0] * 8),  # the picture comes later
        ([0, 1, 2, 7, 8, 3, 4], [2, 4], [0] * 7),  # no picture
        ([0, 9, 1, 2, 5], [2], [0] * 5),  # one answer
    ],
)
def test_branches(ids: list[int], labels: list[int], expected: list[int]) -> None:
    marked = [token if token in labels else IGNORED for token in ids]
    assert branches_of(ids, marked, joint=[7, 8], image_end=9) == expected


def test_mask_and_positions_of_a_row() -> None:
    branches = torch.tensor([[SHARED, SHARED, 1, UNSEEN, 2, 2]])
    seen = branch_mask(branches)[0, 0].int().tolist()
    assert seen == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],
        [1, 1, 0, 0, 1, 1],
    ]
    # A picture of one token at place 1 takes two positions: text goes on at 3.
    rotary = torch.tensor([[0, 1, 3, 4, 5, 6]]).expand(3, 1, -1)
    places = branch_positions(rotary, branches)[0, 0]
    assert places[[0, 1, 2, 4, 5]].tolist() == [0, 1, 3, 3, 4]


@pytest.mark.parametrize(
    "other", [{"pack_tokens": 4096}, {"objective": "dpo"}, {"attention": "flash_attention_2"}]
)
def test_what_separation_does_not_go_with_is_refused(other) -> None:
    with pytest.raises(ValueError, match="separate_questions"):
        Config(separate_questions="domain", **other)

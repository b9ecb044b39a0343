"""What a voter must answer: names and fields are the JSON schema sent with each request."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class VoteAnswer(BaseModel):
    """Answer to the question with the same number."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    index: int
    answer: str


class VoteAnswers(BaseModel):
    """Answers to all questions of one request."""

    answers: list[VoteAnswer]

"""Plain text without numbers and without any fact that is asked for: the hay of the needle test."""

from __future__ import annotations

import random

_WHO = (
    "The gardener", "A traveller from the north", "The older of the two sisters", "An engineer",
    "The keeper of the inn", "A student of languages", "The captain", "Our neighbour", "The baker's son",
    "A painter of landscapes", "The retired teacher", "A woman in a blue coat",
)  # fmt: skip
_DID = (
    "walked slowly along", "wrote a letter about", "had often spoken of", "sketched", "could not forget",
    "once repaired a bench beside", "took a long way round to", "read a book about", "told the children of",
    "waited for the rain to end near", "compared the weather with that of", "dreamt of",
)  # fmt: skip
_WHAT = (
    "the old bridge", "the orchard behind the mill", "the market square", "a valley full of mist",
    "the river in spring", "the narrow street", "the railway station", "a field of barley",
    "the hills beyond the town", "the chapel on the shore", "the pond by the road", "the long wall of stone",
)  # fmt: skip
_HOW = (
    "before the lamps were lit", "while the others slept", "as if nothing had changed", "without saying a word",
    "on a bright and windy morning", "although the evening was cold", "because the road was closed",
    "when the geese came back", "in the company of an old friend", "until the bells began to ring",
)  # fmt: skip
_PARAGRAPH = 7


def sentences(words: int, rng: random.Random) -> list[str]:
    """Sentences of together at least `words` words, and not one more than that needs."""
    made: list[str] = []
    while words > 0:
        sentence = f"{rng.choice(_WHO)} {rng.choice(_DID)} {rng.choice(_WHAT)} {rng.choice(_HOW)}."
        words -= len(sentence.split())
        made.append(sentence)
    return made


def paragraphs(text: list[str]) -> str:
    """Sentences as paragraphs of seven."""
    return "\n\n".join(" ".join(text[i : i + _PARAGRAPH]) for i in range(0, len(text), _PARAGRAPH))

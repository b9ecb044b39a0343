"""Questions without need of a picture: general knowledge and arithmetic, planted among a world's own.

They have the demo world's forms of answers: numbers, spans, choices of four, yes or no (equally often). There
are 40 choices, 100 spans, 190 numbers and 300 yes/no questions; a larger set repeats them.
"""

from __future__ import annotations

import random

from demo.world.questions import TruthQA

KIND = "fact"

CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Germany": "Berlin", "Austria": "Vienna",
    "Poland": "Warsaw", "Greece": "Athens", "Portugal": "Lisbon", "Norway": "Oslo", "Sweden": "Stockholm",
    "Finland": "Helsinki", "Denmark": "Copenhagen", "Ireland": "Dublin", "Hungary": "Budapest",
    "Romania": "Bucharest", "Bulgaria": "Sofia", "Croatia": "Zagreb", "Serbia": "Belgrade", "Egypt": "Cairo",
    "Kenya": "Nairobi", "Japan": "Tokyo", "China": "Beijing", "Thailand": "Bangkok", "Vietnam": "Hanoi",
    "Peru": "Lima", "Chile": "Santiago", "Cuba": "Havana", "Canada": "Ottawa", "Turkey": "Ankara",
    "Iran": "Tehran", "Iraq": "Baghdad", "Nepal": "Kathmandu", "Ghana": "Accra", "Senegal": "Dakar",
    "Morocco": "Rabat", "Jordan": "Amman", "Qatar": "Doha", "Ukraine": "Kyiv", "Latvia": "Riga",
    "Estonia": "Tallinn",
}  # fmt: skip
OPPOSITES = {
    "hot": "cold", "big": "small", "fast": "slow", "open": "closed", "full": "empty", "high": "low",
    "hard": "soft", "wet": "dry", "young": "old", "rich": "poor", "heavy": "light", "early": "late",
    "long": "short", "wide": "narrow", "loud": "quiet", "strong": "weak", "deep": "shallow", "near": "far",
    "bright": "dark", "clean": "dirty", "sharp": "blunt", "thick": "thin", "sweet": "sour", "true": "false",
    "first": "last", "inside": "outside", "above": "below", "left": "right", "start": "end", "push": "pull",
}  # fmt: skip
UNITS = {"minutes are in {} hours": 60, "months are in {} years": 12, "days are in {} weeks": 7,
         "hours are in {} days": 24, "legs do {} spiders have": 8, "wheels do {} cars have": 4}  # fmt: skip
GROUPS = {
    "a fruit": ("apple", "pear", "cherry", "plum", "grape", "lemon", "mango", "banana"),
    "an animal": ("horse", "tiger", "sheep", "goose", "whale", "rabbit", "camel", "otter"),
    "a metal": ("iron", "copper", "zinc", "silver", "nickel", "lead", "tin", "gold"),
    "a musical instrument": ("violin", "piano", "flute", "drum", "cello", "harp", "trumpet", "guitar"),
    "a garment": ("shirt", "coat", "glove", "scarf", "sock", "hat", "skirt", "jacket"),
}


def facts(seed: int = 0) -> list[TruthQA]:
    """All planted questions with their answers, in an order drawn with `seed`."""
    rng = random.Random(f"facts:{seed}")
    bank = [*_numbers(), *_spans(), *_choices(rng), *_comparisons(rng)]
    rng.shuffle(bank)
    return bank


def alternatives(question: str) -> tuple[str, ...]:
    """Answers that somebody who does not know might give to a planted question with a free answer."""
    if question.startswith("What is the capital"):
        return tuple(CAPITALS.values())
    if question.startswith("What is the opposite"):
        return tuple(OPPOSITES.values())
    return ()


def _fact(question: str, answer: str, answer_type: str, choices: tuple[str, ...] = ()) -> TruthQA:
    return TruthQA(question, answer, answer_type, choices, "It is known.", KIND, ("knowledge",), (), 0)


def _numbers() -> list[TruthQA]:
    counted = [
        _fact(f"How many {text.format(n)}?", str(n * each), "number")
        for text, each in UNITS.items()
        for n in range(2, 12)
    ]
    return counted + [
        _fact(f"What is {a} plus {b}?", str(a + b), "number")
        for a in range(2, 40, 3)
        for b in range(3, 40, 4)
    ]


def _spans() -> list[TruthQA]:
    return [
        *(_fact(f"What is the capital of {land}?", city, "span") for land, city in CAPITALS.items()),
        *(_fact(f"What is the opposite of {a}?", b, "span") for a, b in OPPOSITES.items()),
        *(_fact(f"What is the opposite of {b}?", a, "span") for a, b in OPPOSITES.items()),
    ]


def _choices(rng: random.Random) -> list[TruthQA]:
    bank = []
    for group, members in GROUPS.items():
        others = [name for other in GROUPS if other != group for name in GROUPS[other]]
        for member in members:
            options = [member, *rng.sample(others, 3)]
            rng.shuffle(options)
            letter = "ABCD"[options.index(member)]
            bank.append(_fact(f"Which of these is {group}?", letter, "choice", tuple(options)))
    return bank


def _comparisons(rng: random.Random) -> list[TruthQA]:
    bank = []
    for _ in range(300):
        a, b = rng.sample(range(10, 1000), 2)
        bank.append(_fact(f"Is {a} greater than {b}?", "yes" if a > b else "no", "yes_no"))
    return bank

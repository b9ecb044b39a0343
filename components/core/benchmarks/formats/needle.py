"""Needle in a haystack: one fact at a known depth of a long text or of many pictures, made from a seed.

The grid of lengths and depths is that of Kamradt (https://github.com/gkamradt/LLMTest_NeedleInAHaystack).
The pictures follow MM-NIAH (Wang et al. 2024, arXiv 2406.07230). The answer is a random number, so nobody
can guess or know it. Numbers with other names stand around it, so copying the only number does not suffice.
"""

from __future__ import annotations

import io
import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import Image, ImageDraw, ImageFont
from pydantic import Field

from components.core.benchmarks.base import BenchmarkItem, BenchmarkReader
from components.core.data.hashing import seed_for
from components.core.data.pins import fingerprint
from components.core.pictures import UnreadablePicture, decode
from components.core.stage.errors import DataError, NoInputError
from components.core.stage.settings import Settings, parse_settings

NAMES = ("harbour", "library", "observatory", "greenhouse", "archive", "foundry", "lighthouse", "workshop")
PLATES = {
    "yellow": (250, 215, 40), "white": (245, 245, 245), "green": (60, 170, 90), "orange": (240, 140, 40),
    "pink": (240, 150, 190), "grey": (150, 150, 150),
}  # fmt: skip

# Plain text without numbers: the hay.
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
    "before the lamps were lit", "while the others slept", "as if nothing had changed",
    "without saying a word",
    "on a bright and windy morning", "although the evening was cold", "because the road was closed",
    "when the geese came back", "in the company of an old friend", "until the bells began to ring",
)  # fmt: skip
_PARAGRAPH = 7  # sentences


class NeedleSettings(Settings):
    """A grid of haystacks; the content of a `*.needle.json` file."""

    kind: Literal["needle_text", "needle_images"] = "needle_text"
    """A sentence among sentences, or a numbered plate among pictures."""
    lengths: tuple[int, ...] = Field(default=(250, 500, 1000, 2000), min_length=1)
    """Sizes of the haystack: words of text, or pictures."""
    depths: tuple[float, ...] = Field(default=(0.0, 0.25, 0.5, 0.75, 1.0), min_length=1)
    """Where the needle is: 0 at the start, 1 at the end."""
    per_cell: int = Field(default=4, ge=1)
    """Items for each length and depth."""
    distractors: int = Field(default=2, ge=0, le=5)
    """Numbers with other names beside the one that is asked for."""
    pictures: str = ""
    """Folder of pictures to hide the plate among, relative to the settings' file; empty draws patterns."""
    picture_px: int = Field(default=224, ge=64)
    """Side of a drawn picture, in pixels."""
    seed: int = Field(default=0, ge=0)
    """Seed of everything that is drawn at random."""


class Cell(NamedTuple):
    """One item of the grid."""

    length: int
    depth: float
    number: int

    @property
    def item_id(self) -> str:
        return f"{self.length}-{self.depth:g}-{self.number}"


class NeedleReader(BenchmarkReader):
    """Items of all cells of a `*.needle.json` file; same settings, same text and same pixels."""

    format = "needle"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.settings = parse_settings(NeedleSettings, path.read_text(encoding="utf-8"), str(path))
        self.kind = self.settings.kind
        self.digest = fingerprint(path)
        folder = path.parent / self.settings.pictures
        self._files = sorted(filter(Path.is_file, folder.glob("*"))) if self.settings.pictures else []
        if self.settings.pictures and not self._files:
            raise NoInputError(f"{path}: no pictures in {folder}; fill it or leave `pictures` empty")
        grid = (self.settings.lengths, self.settings.depths, range(self.settings.per_cell))
        self._cells = {cell.item_id: cell for cell in itertools.starmap(Cell, itertools.product(*grid))}
        self.items = list(self._items())

    def load(self, picture: tuple[str, int]) -> bytes:
        """Encoded PNG: (item id, place in its haystack)."""
        item_id, place = picture
        rng = random.Random(seed_for("needle picture", self.settings.seed, item_id, place))
        if self._files:
            file = rng.choice(self._files)
            try:
                shown = decode(file)
            except (UnreadablePicture, OSError) as error:
                raise DataError(f"{file}: not a picture ({error}); replace it or remove it") from error
        else:
            shown = _pattern(self.settings.picture_px, rng)
        for at, colour, code in self._plates(self._cells[item_id]):
            if at == place:
                _draw_plate(shown, PLATES[colour], code, rng)
        buffer = io.BytesIO()
        shown.save(buffer, "PNG")
        return buffer.getvalue()

    def size(self, picture: tuple[str, int]) -> tuple[int, int]:
        """Width and height of a picture in pixels; those of a drawn one are known without drawing it."""
        side = self.settings.picture_px
        return super().size(picture) if self._files else (side, side)

    def _items(self) -> Iterator[BenchmarkItem]:
        text = self.settings.kind == "needle_text"
        for item_id, cell in self._cells.items():
            if text:
                question, answer = self._text(cell)
            else:
                _, colour, answer = self._plates(cell)[0]
                question = f"One of these pictures shows a {colour} plate with a number. What is the number?"
            yield BenchmarkItem(
                item_id=item_id,
                question=question,
                answer=answer,
                image_group=item_id,
                pictures=() if text else tuple((item_id, place) for place in range(cell.length)),
                answer_type="number",
                category=f"length {cell.length}",
                fields={"length": str(cell.length), "depth": f"{cell.depth:g}"},
            )

    def _rng(self, cell: Cell) -> random.Random:
        return random.Random(seed_for("needle", self.settings.kind, self.settings.seed, cell.item_id))

    def _text(self, cell: Cell) -> tuple[str, str]:
        """Haystack with question, and its answer."""
        rng = self._rng(cell)
        hay = _sentences(cell.length, rng)
        names = rng.sample(NAMES, 1 + self.settings.distractors)
        codes = _codes(rng, len(names))
        facts = [f"The access code of the {name} is {code}." for name, code in zip(names, codes, strict=True)]
        size = len(hay)
        for fact in facts[1:]:
            hay.insert(rng.randrange(size + 1), fact)
        hay.insert(round(cell.depth * len(hay)), facts[0])
        paragraphs = [" ".join(hay[i : i + _PARAGRAPH]) for i in range(0, len(hay), _PARAGRAPH)]
        return "\n\n".join([*paragraphs, f"What is the access code of the {names[0]}?"]), codes[0]

    def _plates(self, cell: Cell) -> list[tuple[int, str, str]]:
        """Place, colour and number of the plate that is asked for, then of the others."""
        rng = self._rng(cell)
        place = round(cell.depth * (cell.length - 1))
        others = [i for i in range(cell.length) if i != place]
        places = [place, *rng.sample(others, min(self.settings.distractors, len(others)))]
        colours = rng.sample(sorted(PLATES), len(places))
        return list(zip(places, colours, _codes(rng, len(places)), strict=True))


def _sentences(words: int, rng: random.Random) -> list[str]:
    """Sentences of together at least `words` words, and not one more than that needs."""
    made: list[str] = []
    while words > 0:
        sentence = f"{rng.choice(_WHO)} {rng.choice(_DID)} {rng.choice(_WHAT)} {rng.choice(_HOW)}."
        words -= len(sentence.split())
        made.append(sentence)
    return made


def _codes(rng: random.Random, count: int) -> list[str]:
    """Different numbers of five digits."""
    return [str(code) for code in rng.sample(range(10_000, 100_000), count)]


def _pattern(side: int, rng: random.Random) -> Image.Image:
    """A picture of coloured rectangles and ellipses."""
    shown = Image.new("RGB", (side, side), _colour(rng))
    draw = ImageDraw.Draw(shown)
    for _ in range(rng.randint(4, 9)):
        x, y = rng.randrange(side), rng.randrange(side)
        box = (x, y, x + rng.randint(side // 10, side // 2), y + rng.randint(side // 10, side // 2))
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)(box, fill=_colour(rng))
    return shown


def _draw_plate(shown: Image.Image, colour: tuple[int, int, int], code: str, rng: random.Random) -> None:
    """Put a plate with a number somewhere on a picture, wholly inside it."""
    side = min(shown.size)
    font = ImageFont.load_default(max(12, side // 8))
    draw = ImageDraw.Draw(shown)
    left, top, right, bottom = draw.textbbox((0, 0), code, font=font)
    margin = max(3, side // 40)
    width, height = int(right - left) + 2 * margin, int(bottom - top) + 2 * margin
    x = rng.randint(0, max(0, shown.width - width - 1))
    y = rng.randint(0, max(0, shown.height - height - 1))
    draw.rectangle(
        (x, y, x + width, y + height), fill=colour, outline=(20, 20, 20), width=max(1, side // 100)
    )
    draw.text((x + margin - left, y + margin - top), code, font=font, fill=(10, 10, 10))


def _colour(rng: random.Random) -> tuple[int, int, int]:
    return (rng.randrange(30, 220), rng.randrange(30, 220), rng.randrange(30, 220))

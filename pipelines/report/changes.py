"""The questions whose outcome training changed: counted by step, and listed behind every number."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from markupsafe import Markup

from components.core.data.data_uri import data_uri
from components.core.pictures import UnreadablePicture, decode
from components.core.stage.report import Report
from components.core.stats.even_draw import draw_evenly
from components.stages import EVALUATED, title_of
from pipelines.report.answers import RIGHT, Answers, Item, Key, find_items, scored_answers
from pipelines.report.overview import named

TITLE = "questions that changed"
ANCHOR = TITLE.replace(" ", "-")
LISTED = 800
"""Most questions that are listed; of more, as many of one kind as of another."""
THUMBNAIL_PX = 240
_ARTICLE = Markup(
    '<figure data-outcomes="{}" data-benchmark="{}" data-kind="{}">{}<figcaption>{}</figcaption></figure>'
)
_SMALL_BYTES = 8_000
"""Pictures up to this size stay as they are."""


def outcomes(said: Mapping[str, Answers]) -> dict[Key, str]:
    """Item -> one digit a model, 1 for a right answer; of the items that all models were asked, sorted."""
    common = set.intersection(*(set(answers) for answers in said.values()))
    return {
        key: "".join(str(int(answers[key]["score"] >= RIGHT)) for answers in said.values())
        for key in sorted(common)
    }


def changed_questions(root: Path) -> Report | None:
    """The counts of changed outcomes and the questions behind them; None until two models are evaluated.

    A row is a step from one model to the next, the last row all of training. Every count is a link that
    filters the questions below.
    """
    folders = {name: root / "outputs" / f"evaluation_{name}" / "predictions" for name in EVALUATED}
    said = {name: scored_answers(folder) for name, folder in folders.items() if folder.is_dir()}
    if len(said) < 2:
        return None
    found = outcomes(said)
    changed = [key for key, digits in found.items() if len(set(digits)) > 1]
    first = next(iter(said.values()))
    shown = draw_evenly(
        changed,
        LISTED,
        kind=lambda key: f"{key[0]}/{first[key]['category']}",
        key="/".join,
        seed=("changed",),
    )
    report = Report(TITLE)
    report.text(
        f"{len(found)} questions were put to all {len(said)} models; {len(changed)} were answered rightly by "
        "some and wrongly by others. A number leads to its questions."
    )
    report.table(_steps(list(said), found))
    if len(shown) < len(changed):
        report.text(f"{len(shown)} of the {len(changed)} are listed, as many of one kind as of another.")
    if shown:
        report.markup(_filters(list(said), shown, first))
        articles = _articles(find_items(root, shown), shown, said, found)
        report.markup(Markup('<div class="grid" id="questions">{}</div>').format(Markup("").join(articles)))
    return report


def _steps(models: Sequence[str], found: Mapping[Key, str]) -> Iterable[dict[str, object]]:
    """Became right, became wrong: a row a step, a pair of columns a benchmark."""
    benchmarks = sorted({benchmark for benchmark, _ in found})
    whole = [(0, len(models) - 1)] if len(models) > 2 else []
    for before, after in [*itertools.pairwise(range(len(models))), *whole]:
        row: dict[str, object] = {"from": named(models[before]), "to": named(models[after])}
        for benchmark in benchmarks:
            for change, wanted in (("right", "01"), ("wrong", "10")):
                count = sum(
                    digits[before] + digits[after] == wanted
                    for key, digits in found.items()
                    if key[0] == benchmark
                )
                row[f"{benchmark}: became {change}"] = _link(count, before, after, change, benchmark)
        yield row


def _link(count: int, before: int, after: int, change: str, benchmark: str) -> object:
    if not count:
        return Markup("0")
    target = '<a href="#{}" data-from="{}" data-to="{}" data-change="{}" data-benchmark="{}">{}</a>'
    return Markup(target).format(ANCHOR, before, after, change, benchmark, count)


def _filters(models: Sequence[str], shown: Sequence[Key], answers: Answers) -> Markup:
    numbered = [(str(place), title_of(name)) for place, name in enumerate(models)]
    kinds = sorted({str(answers[key]["category"]) for key in shown} - {""})
    changes = [("", "anything"), ("right", "became right"), ("wrong", "became wrong")]
    fields = [
        ("from", "from", numbered, "0"),
        ("to", "to", numbered, numbered[-1][0]),
        ("change", "what happened", changes, ""),
        ("benchmark", "benchmark", [("", "all"), *((n, n) for n in sorted({key[0] for key in shown}))], ""),
        ("kind", "kind of question", [("", "all"), *((name, name) for name in kinds)], ""),
    ]
    selects = Markup("").join(_select(*field) for field in fields)
    shell = '<form class="filters" hidden>{}</form><p id="shown" aria-live="polite">{} questions</p>'
    return Markup(shell).format(selects, len(shown))


def _select(name: str, label: str, options: Iterable[tuple[str, str]], chosen: str) -> Markup:
    listed = Markup("").join(
        Markup('<option value="{}"{}>{}</option>').format(
            value, Markup(" selected") if value == chosen else "", text
        )
        for value, text in options
    )
    return Markup('<label>{} <select name="{}">{}</select></label>').format(label, name, listed)


def _articles(
    items: Mapping[Key, Item], shown: Sequence[Key], said: Mapping[str, Answers], found: Mapping[Key, str]
) -> Iterable[Markup]:
    pictures: dict[bytes, Markup] = {}
    for key in shown:
        row = next(iter(said.values()))[key]
        item = items.get(key)
        picture = Markup("")
        if item is not None:
            if item.image not in pictures:
                pictures[item.image] = _thumbnail(item.image)
            picture = pictures[item.image]
        yield _ARTICLE.format(found[key], key[0], row["category"], picture, _text(key, item, said))


def _text(key: Key, item: Item | None, said: Mapping[str, Answers]) -> Markup:
    lines = [Markup("<b>{}</b>").format(_short(item.question) if item else key[1])]
    if item is not None:
        lines += [Markup("{}. {}").format(chr(ord("A") + n), choice) for n, choice in enumerate(item.choices)]
        lines.append(Markup("reference: {}").format(item.answer))
    for model, answers in said.items():
        answer = answers[key]
        right = answer["score"] >= RIGHT
        text = _short(str(answer["extracted"] or answer["response"] or "(nothing)"), 120)
        marked = Markup('<span class="{}">{}</span> {}: {}')
        lines.append(
            marked.format("right" if right else "wrong", "✓" if right else "✗", title_of(model), text)
        )
    return Markup("\n").join(lines)


def _short(text: str, limit: int = 400) -> str:
    return text if len(text) <= limit else f"{text[:limit]} …"


def _thumbnail(image: bytes) -> Markup:
    """The picture, smaller where it is large; nothing for one that cannot be read."""
    if len(image) > _SMALL_BYTES:
        try:
            small = decode(image)
        except UnreadablePicture:
            return Markup('<p class="wrong">picture not readable</p>')
        small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", quality=75)
        image = buffer.getvalue()
    return Markup('<img loading="lazy" alt="" src="{}">').format(data_uri(image))

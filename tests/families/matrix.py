"""The matrix of families as it is printed in `docs/models.md`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from components.core.vlm.families import families
from tests.families.cells import CELLS
from tests.families.tiny import TINY, build_tokenizer

DOCS = Path(__file__).parents[2] / "docs" / "models.md"
BEGIN, END = "<!-- matrix:begin -->", "<!-- matrix:end -->"
WORKS = "●"

Outcomes = Mapping[tuple[str, str], str]
"""By (`model_type`, column): "" for a cell that works, or the reason of its refusal."""


def table(outcomes: Outcomes) -> str:
    """The matrix in Markdown: a row a `model_type`, and a line below it for every reason."""
    reasons = sorted({reason for reason in outcomes.values() if reason})
    numbers = {reason: f"[{n}]" for n, reason in enumerate(reasons, start=1)}
    lines = [f"| `model_type` | {' | '.join(CELLS)} |", "|---" * (len(CELLS) + 1) + "|"]
    for model_type in TINY:
        cells = [outcomes[model_type, cell] for cell in CELLS]
        lines.append(f"| `{model_type}` | {' | '.join(numbers.get(cell, WORKS) for cell in cells)} |")
    return "\n".join([*lines, "", *(f"- {numbers[reason]} {reason}." for reason in reasons)])


def expected() -> dict[tuple[str, str], str]:
    """The outcomes that the families state: refusals where they refuse, everything else works."""
    columns = {"packing": "SFT packed", "export": "export"}
    found = {(model_type, cell): "" for model_type in TINY for cell in CELLS}
    for model_type, tiny in TINY.items():
        tokenizer = build_tokenizer(tiny, model_type)
        config = tiny.config(
            tokenizer, {token: tokenizer.convert_tokens_to_ids(token) for token in tiny.special}
        )
        for what, reason in families()[model_type].refusals(config.to_dict()).items():
            found[model_type, columns[what]] = reason
    return found


def printed() -> str:
    """The matrix that stands in the docs."""
    return DOCS.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0].strip()


def write(outcomes: Outcomes) -> None:
    """Put a matrix into the docs."""
    text = DOCS.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    DOCS.write_text(f"{before}{BEGIN}\n{table(outcomes)}\n{END}{after}", encoding="utf-8")

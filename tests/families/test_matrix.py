"""Every family through every column of the matrix; `make models` runs all, the default run a part."""

from __future__ import annotations

from typing import Any

import pytest

from tests.families import matrix
from tests.families.cells import CELLS, World
from tests.families.tiny import TINY

# One training a column and a family at least; the rest is marked `matrix`.
ALWAYS = {
    ("gemma3", "SFT padded"), ("gemma3", "export"), ("gemma3", "SFT packed"), ("internvl", "SFT packed"),
    ("qwen3_5", "SFT packed"), ("qwen3_5", "evaluation"), ("smolvlm", "DPO"), ("glm4v", "distillation"),
    ("mistral3", "RL"), ("llava_onevision", "evaluation"), ("qwen2_5_vl", "reload"),
    ("qwen3_vl_moe", "export"),
}  # fmt: skip


def cells() -> list[Any]:
    """The parameters: (`model_type`, column)."""
    return [
        pytest.param(
            model_type,
            cell,
            marks=() if cell in ("load", "plan") or (model_type, cell) in ALWAYS else (pytest.mark.matrix,),
        )
        for model_type in TINY
        for cell in CELLS
    ]


@pytest.mark.parametrize(("model_type", "cell"), cells())
def test_cell(model_type, cell, tiny, tmp_path, outcomes):
    outcomes[model_type, cell] = CELLS[cell](World(model_type, tiny(model_type), tmp_path))


def test_the_docs_have_the_matrix_that_families_state_and_cells_prove():
    """A cell that does not come to what its family states fails above; so the statements are the outcomes."""
    assert matrix.printed() == matrix.table(matrix.expected())

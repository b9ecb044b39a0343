"""Parts that keep their weights: the same names for parameters, modules and adapters."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from torch import nn

from components.core.stage.errors import ConfigError
from components.core.training.parts import freeze, within


class Model(nn.Module):
    """A tower with a merger inside it, and a language model, by Qwen3-VL's names."""

    def __init__(self, merger: bool = True) -> None:
        super().__init__()
        self.config = SimpleNamespace(model_type="qwen3_vl")
        self.visual = nn.ModuleDict({"blocks": nn.Linear(2, 2)})
        if merger:
            self.visual["merger"] = nn.Linear(2, 2)
        self.language_model = nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("parts", "kept"),
    [
        (set(), {"visual.blocks", "visual.merger", "language_model"}),
        ({"vision"}, {"visual.merger", "language_model"}),
        ({"vision", "projector"}, {"language_model"}),
        ({"language"}, {"visual.blocks", "visual.merger"}),
    ],
)
def test_frozen_parts_alone_have_no_gradients(parts, kept):
    model = Model()
    freeze(model, parts, "stage.freeze")
    trained = {name.rpartition(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == kept
    modules = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    assert {name for name in modules if not within(model, parts)(name)} == kept


def test_a_part_that_a_model_has_not_is_named():
    with pytest.raises(ConfigError, match="stage.freeze: Qwen3-VL has no part projector"):
        freeze(Model(merger=False), {"vision", "projector"}, "stage.freeze")

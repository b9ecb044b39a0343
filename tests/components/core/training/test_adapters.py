from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from components.core.stage.errors import ConfigError
from components.core.training.adapters import adapter_config, bare, merged_parameters
from components.core.training.settings import Lora, check_weights


class Tower(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.visual = nn.ModuleDict({"q_proj": nn.Linear(4, 6)})
        self.text = nn.ModuleDict({"q_proj": nn.Linear(6, 5, bias=False), "norm": nn.LayerNorm(5)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.text["norm"](self.text["q_proj"](self.visual["q_proj"](x)))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_merged_parameters_are_pefts_and_leave_the_base_as_it_is(kind):
    torch.manual_seed(0)
    model = get_peft_model(Tower().to(kind), LoraConfig(r=2, lora_alpha=8, target_modules=["q_proj"]))
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            nn.init.normal_(parameter)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    gathered: list[int] = []

    class Gather:
        def __init__(self, parameters):
            gathered.append(len(parameters))

        def __enter__(self): ...

        def __exit__(self, *error): ...

    merged = dict(merged_parameters(model, Gather))
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
    assert sorted(gathered) == [1, 1, 1, 3, 3]  # two norms, a bias; two weights with their A and B
    whole = bare(model.merge_and_unload()) if kind == torch.float32 else None
    if whole is not None:
        assert merged.keys() == dict(whole.named_parameters()).keys()
        for name, parameter in whole.named_parameters():
            torch.testing.assert_close(merged[name], parameter.data, rtol=0, atol=0)
    assert {value.dtype for value in merged.values()} == {kind}


def test_frozen_parts_get_no_adapters():
    lora = Lora(target_modules=["q_proj"])
    found = adapter_config(lora, Tower(), lambda name: name.startswith("visual"), "stage")
    assert found.exclude_modules == {"visual.q_proj"} or list(found.exclude_modules) == ["visual.q_proj"]
    assert adapter_config(None, Tower(), lambda name: False, "stage") is None


@pytest.mark.parametrize("frozen", [False, True], ids=["no such name", "all of them frozen"])
def test_adapters_without_a_place_are_refused(frozen):
    lora = Lora(target_modules=["q_proj" if frozen else "query"])
    with pytest.raises(ConfigError, match="its linear modules are q_proj"):
        adapter_config(lora, Tower(), lambda name: frozen, "stage")


@pytest.mark.parametrize(
    ("lora", "sharding", "precision", "fine"),
    [
        (None, "none", "auto", False),
        (None, "zero3", "auto", True),
        (Lora(), "none", "bfloat16", True),
        (Lora(), "none", "float32", False),
    ],
)
def test_bfloat16_weights_need_float32_somewhere(lora, sharding, precision, fine):
    check_weights("float32", lora, sharding, precision)
    if fine:
        check_weights("bfloat16", lora, sharding, precision)
    else:
        with pytest.raises(ValueError, match="weight_type"):
            check_weights("bfloat16", lora, sharding, precision)

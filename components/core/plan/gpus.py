"""GPUs by name: memory, and dense bfloat16 throughput from the makers' data sheets."""

from __future__ import annotations

import re
from dataclasses import dataclass

from components.core.stage.errors import ConfigError

GIB = 2**30
# (part of the device's name, dense bfloat16 FLOP/s, bytes of memory as sold); longer names first.
_KNOWN = (
    ("B200", 2250e12, 180e9),
    ("H200", 989e12, 141e9),
    ("H100 PCIe", 756e12, 80e9),
    ("H100 NVL", 835e12, 94e9),
    ("H100", 989e12, 80e9),
    ("A100", 312e12, 80e9),
    ("L40S", 362e12, 48e9),
    ("L40", 181e12, 48e9),
    ("L4", 121e12, 24e9),
    ("A10G", 70e12, 24e9),
    ("A10", 125e12, 24e9),
    ("RTX 4090", 165e12, 24e9),
)
_STATED = re.compile(
    r"(?:(?P<count>[1-9][0-9]*)x)?"
    r"(?:(?P<name>[A-Za-z][A-Za-z0-9 ]*)(?:-(?P<gb>[1-9][0-9]*)GB)?|(?P<only>[1-9][0-9]*)GB)"
)


@dataclass(frozen=True)
class Gpu:
    """A kind of GPU."""

    name: str
    memory: float
    """Bytes."""
    flops: float
    """Dense bfloat16 FLOP/s; 0 where it is not known."""
    count: int = 0
    """GPUs of one task; 0 leaves it to the task's resources."""


def peak_flops(device_name: str) -> float:
    """Dense bfloat16 FLOP/s of a GPU by its name; 0 for one that is not listed."""
    return next((flops for name, flops, _ in _KNOWN if name in device_name), 0.0)


def parse_gpu(text: str) -> Gpu:
    """The GPU that `H100-80GB`, `8xH100-80GB`, `L4` or `24GB` names; sizes are in 10^9 bytes, as sold.

    Raises:
        ConfigError: the form is another, or the name is unknown and no memory is stated.
    """
    found = _STATED.fullmatch(text.strip())
    known = [item for item in _KNOWN if found and found["name"] and item[0].lower() == found["name"].lower()]
    stated = found and (found["gb"] or found["only"])
    if not found or not (known or stated):
        names = ", ".join(name for name, _, _ in _KNOWN)
        raise ConfigError(f"GPU '{text}': write NAME-MEMORY, e.g. H100-80GB or 24GB; known names: {names}")
    memory = float(stated) * 1e9 if stated else known[0][2]
    flops = known[0][1] if known else 0.0
    return Gpu(text.strip().partition("x")[2] if found["count"] else text.strip(), memory, flops,
               int(found["count"] or 0))  # fmt: skip

"""What preflight reads and writes."""

from components.core.stage.io import StageIO
from components.stages import SECTIONS

_CHECKED = tuple(name for name in SECTIONS if name != "preflight")

IO = StageIO(
    does="Check all settings, sources and endpoints of a run before it costs anything; pin outside sources.",
    sections=_CHECKED,
    output_params=("images", "general_data", "base_model", "benchmarks", "seen", "teacher"),
    compared=("checks_passed",),
    help={
        "config": "Settings of the stage: where images, general data, base model and benchmarks are.",
    },
)

"""What promotion reads and writes."""

from components.core.stage.io import StageIO
from components.stages import EVALUATED, SECTIONS

_KEPT = tuple(name for name in SECTIONS if name != "promotion")
_JUDGED = tuple(f"predictions_{name}" for name in (EVALUATED[0], EVALUATED[-1]))
_OTHERS = tuple(f"predictions_{name}" for name in EVALUATED[1:-1])
_CRITERIA = tuple(
    f"{name}{end}"
    for name in ("domain_gain", "general_kept", "hallucination", "probe_f1", "length")
    for end in ("", "_vs_incumbent")
)
_SCORES = tuple(f"scores_{name}" for name in EVALUATED)

IO = StageIO(
    does="Judge the final model against base and incumbent, register it, and make it current if it passes.",
    optional_params=("general_data",),
    sections=_KEPT,
    inputs=("checkpoint", *_SCORES, *_JUDGED, "qa_kept"),
    optional_inputs=(*_OTHERS, "images"),
    outputs=("verdict",),
    compared=("passed", "version", "is_current", *_CRITERIA),
    joined={f"scores_{name}": f"predictions_{name}/scores" for name in EVALUATED},
    kinds={"checkpoint": "Model", "verdict": "Artifact"},
    help={
        "config": "Settings of the stage: domain, registry, criteria.",
        "general_data": "Pinned reference of the general data, for the lineage.",
    },
)

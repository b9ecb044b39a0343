"""Losses of the policy by their names in the settings; TRL's own but for `opmd`.

With the importance ratio rho = pi / pi_generated, a token's loss is -min(rho A, clip(rho, 1 - e_low, 1 +
e_high) A) under every one but `opmd`. They differ in the mean over tokens and in the ratio:

- `dapo` (arXiv 2503.14476): mean over all tokens of the batch;
- `grpo` (arXiv 2402.03300): mean over each response's tokens, then over responses;
- `dr_grpo` (arXiv 2503.20783): sum over tokens, divided by a constant length;
- `gspo` (arXiv 2507.18071): as `grpo`, with the ratio of the whole sequence, for mixture-of-experts models;
- `opmd` (arXiv 2501.12599): see `opmd.py`. The trainer puts it in place of TRL's loss.
"""

from __future__ import annotations

TRL_LOSSES = {
    "dapo": ("dapo", "token"),
    "grpo": ("grpo", "token"),
    "dr_grpo": ("dr_grpo", "token"),
    "gspo": ("grpo", "sequence"),
    "opmd": ("grpo", "token"),
}
"""Loss name -> TRL's `loss_type` and `importance_sampling_level`."""

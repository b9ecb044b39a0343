"""Circular evaluation: multiple choice that counts only if it is right in every rotation of the options.

MMBench (Liu et al. 2023, arXiv 2307.06281, section 3), CCBench.
"""

from __future__ import annotations

from dataclasses import replace

from components.core.benchmarks.kinds import choice

RULES = replace(choice.RULES, rotates=True, names=r"mmbench|ccbench|circular", rank=1)

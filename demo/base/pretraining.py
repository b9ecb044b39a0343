"""Pretraining of the demo's base model on the general task: seeing, reading a picture, answering.

A model that learns only through answers sits on a long plateau before the picture starts to matter. So the
vision tower is trained alone first, as in the large models: every patch names its shape, colour or digit.
Then the whole model answers questions, many about each picture, none of which sees another.

Matrices are updated by Muon (Jordan et al. 2024; used by Kimi-VL, arXiv 2504.07491), the rest by AdamW.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from components.core.data.hashing import rng_for
from components.core.training.muon import Muon
from demo import general
from demo.base.settings import BaseSettings, PretrainingPhase
from demo.conversation import Encoder, collate, general_turns

SAVE_INTERVAL_S = 20.0
CURVE_STEPS = 10
BACKGROUND_WEIGHT = 0.3
"""Most patches show nothing; their weight in the patch labelling loss."""
SMALLEST_COVER = 0.15
"""Share of a patch that an object must cover to be the patch's label."""


@dataclass
class _Progress:
    """What an interrupted run continues from: phase, step, and all weights and optimizer states."""

    path: Path
    key: str
    phase: str = ""
    step: int = 0
    state: dict[str, Any] = field(default_factory=dict)
    curve: list[tuple[str, int, float]] = field(default_factory=list)
    """(phase, step, loss), every CURVE_STEPS steps."""
    saved_s: float = field(default_factory=time.monotonic)

    @classmethod
    def load(cls, path: Path, key: str) -> _Progress:
        if path.is_file():
            stored = torch.load(path, weights_only=True)
            if stored["key"] == key:
                return cls(path, key, stored["phase"], stored["step"], stored["state"], stored["curve"])
        return cls(path, key)

    def note(self, phase: str, step: int, loss: torch.Tensor) -> None:
        """Keep the loss of every CURVE_STEPS-th step."""
        if step % CURVE_STEPS == 0:
            self.curve.append((phase, step, round(float(loss.detach()), 4)))

    def save(
        self, phase: str, step: int, state: Callable[[], dict[str, Any]], *, force: bool = False
    ) -> None:
        if not force and time.monotonic() - self.saved_s < SAVE_INTERVAL_S:
            return
        self.phase, self.step, self.state, self.saved_s = phase, step, state(), time.monotonic()
        draft = self.path.with_suffix(".part")
        torch.save(
            {"key": self.key, "phase": phase, "step": step, "state": self.state, "curve": self.curve}, draft
        )
        os.replace(draft, self.path)


def patch_labels(scene: general.GeneralScene, patch_px: int) -> tuple[np.ndarray, np.ndarray]:
    """What each patch of the picture shows: (object, colour), each int64 of shape (patches,), row by row.

    Objects index `general.LABELS`; colour 0 is none. A patch takes the object that covers most of it, if that
    is at least SMALLEST_COVER of the patch.
    """
    grid = general.SIZE_PX // patch_px
    edges = np.arange(grid) * patch_px
    covered = np.full((grid, grid), SMALLEST_COVER * patch_px**2)
    objects, colours = np.zeros((grid, grid), np.int64), np.zeros((grid, grid), np.int64)
    for box in general.boxes(scene):
        wide = np.clip(np.minimum(edges + patch_px, box.right) - np.maximum(edges, box.left), 0, None)
        high = np.clip(np.minimum(edges + patch_px, box.bottom) - np.maximum(edges, box.top), 0, None)
        overlap = high[:, None] * wide[None, :]
        more = overlap > covered
        covered[more] = overlap[more]
        objects[more], colours[more] = box.label, box.colour
    return objects.ravel(), colours.ravel()


class _Optimizers:
    """Muon for the inner matrices, AdamW for the rest; one schedule: warm-up, plateau, decay."""

    def __init__(
        self, named: list[tuple[str, nn.Parameter]], phase: PretrainingPhase, outside: tuple[str, ...]
    ) -> None:
        matrices = [p for name, p in named if p.ndim == 2 and not any(part in name for part in outside)]
        inside = {id(p) for p in matrices}
        self.parameters = [p for _, p in named]
        self.phase = phase
        rest = [p for p in self.parameters if id(p) not in inside]
        self.parts: list[torch.optim.Optimizer] = [
            Muon(matrices, lr=phase.muon_lr, weight_decay=phase.weight_decay, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(rest, lr=phase.adamw_lr, betas=(0.9, 0.95), weight_decay=phase.weight_decay),
        ]
        self.peaks = (phase.muon_lr, phase.adamw_lr)

    def step(self, step: int) -> None:
        """Clip, update, clear; `step` counts from 0."""
        phase = self.phase
        left = min(1.0, (phase.steps - step) / phase.decay_steps)
        rise = min(1.0, (step + 1) / phase.warmup_steps)
        share = rise * (phase.final_share + (1 - phase.final_share) * left)
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for part, peak in zip(self.parts, self.peaks, strict=True):
            for group in part.param_groups:
                group["lr"] = peak * share
            part.step()
            part.zero_grad(set_to_none=True)

    def state(self) -> list[dict[str, Any]]:
        return [part.state_dict() for part in self.parts]

    def load(self, states: list[dict[str, Any]]) -> None:
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)


def _steps(name: str, phase: PretrainingPhase, start: int) -> Iterator[int]:
    with tqdm(
        total=phase.steps, initial=start, desc=f"base model: {name}", unit="step", mininterval=1.0
    ) as bar:
        for step in range(start, phase.steps):
            yield step
            bar.update()


class _PatchHeads(nn.Module):
    """Linear readers of the vision tower's output, used in the first phase only."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.object = nn.Linear(size, len(general.LABELS))
        self.colour = nn.Linear(size, 1 + len(general.COLOURS))


def train_vision(
    model: Any, encoder: Encoder, phase: PretrainingPhase, progress: _Progress, seed: int
) -> None:
    """First phase: the vision tower alone learns to name what each patch shows."""
    visual = model.model.visual
    heads = _PatchHeads(model.config.text_config.hidden_size)
    modules = nn.ModuleDict({"visual": visual, "heads": heads})
    optimizers = _Optimizers(list(modules.named_parameters()), phase, ("pos_embed", "heads"))
    start = progress.step if progress.phase == "vision" else 0
    if start:
        modules.load_state_dict(progress.state["modules"])
        optimizers.load(progress.state["optimizers"])
    weight = torch.ones(heads.object.out_features)
    weight[0] = BACKGROUND_WEIGHT
    grid = torch.tensor([[1, encoder.grid, encoder.grid]] * phase.batch)
    modules.train()
    for step in _steps("vision", phase, start):
        rng = rng_for("base vision", seed, step)
        scenes = [general.sample_scene(rng, "train") for _ in range(phase.batch)]
        pixels = torch.cat([encoder.pixels(general.render(scene)) for scene in scenes])
        labels = [patch_labels(scene, general.SIZE_PX // encoder.grid) for scene in scenes]
        objects, colours = (torch.from_numpy(np.concatenate(part)) for part in zip(*labels, strict=True))
        seen = visual(pixels, grid_thw=grid).pooler_output
        loss = functional.cross_entropy(heads.object(seen), objects, weight=weight)
        loss = loss + functional.cross_entropy(heads.colour(seen), colours)
        loss.backward()
        optimizers.step(step)
        progress.note("vision", step, loss)
        progress.save(
            "vision", step + 1, lambda: {"modules": modules.state_dict(), "optimizers": optimizers.state()}
        )


def train_questions(model: Any, encoder: Encoder, settings: BaseSettings, progress: _Progress) -> None:
    """Second phase: the whole model answers questions about each picture."""
    phase = settings.questions
    optimizers = _Optimizers(list(model.named_parameters()), phase, ("embed", "lm_head"))
    start = progress.step if progress.phase == "questions" else 0
    if progress.phase == "questions":
        model.load_state_dict(progress.state["model"])
        if start:
            optimizers.load(progress.state["optimizers"])
    model.train()
    for step in _steps("questions", phase, start):
        rng = rng_for("base questions", settings.seed, step)
        samples = []
        for _ in range(phase.batch):
            scene = general.sample_scene(rng, "train")
            turns = general_turns(scene, rng, settings.questions_per_image, settings.reasoning_share)
            samples.append(encoder.sample(general.render(scene), turns))
        loss = model(**collate(samples, encoder)).loss
        loss.backward()
        optimizers.step(step)
        progress.note("questions", step, loss)
        progress.save(
            "questions", step + 1, lambda: {"model": model.state_dict(), "optimizers": optimizers.state()}
        )


def pretrain(
    model: Any, encoder: Encoder, settings: BaseSettings, work: Path, key: str
) -> list[tuple[str, int, float]]:
    """Train `model` in place. State is kept in `work`; a run that was interrupted continues there.

    `key` names the settings: state that another key left is not used.

    Returns:
        The curve: (phase, step, loss) of every CURVE_STEPS-th step.
    """
    work.mkdir(parents=True, exist_ok=True)
    progress = _Progress.load(work / "pretraining.pt", key)
    torch.manual_seed(settings.seed)
    if progress.phase != "questions":
        train_vision(model, encoder, settings.vision, progress, settings.seed)
        progress.save("questions", 0, lambda: {"model": model.state_dict()}, force=True)
    train_questions(model, encoder, settings, progress)
    model.eval()
    return progress.curve

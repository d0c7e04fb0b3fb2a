"""Draws figures by name into png and pdf files."""

from __future__ import annotations

from pathlib import Path

from intro.analysis.data.inputs import Inputs
from intro.analysis.figures import (
    ablation,
    conditioning,
    cost,
    dynamics,
    learning_rate,
    length,
    overview,
    posterior,
    style,
    training,
)
from intro.config import Config
from intro.experiments import FIGURES
from intro.types import IntroError

DRAW = {
    "overview": overview.draw,
    "length": length.draw,
    "training_length": training.draw_length,
    "training_accuracy": training.draw_accuracy,
    "answer_conditioning": conditioning.draw,
    "entropy_n": ablation.draw_entropy,
    "ablation_n": ablation.draw_average,
    "posterior": posterior.draw,
    "cost": cost.draw,
    "learning_rate": learning_rate.draw,
    "dynamics": dynamics.draw,
}


def figure(config: Config, name: str) -> list[Path]:
    """Draw one figure to figures/{scale}/{name}.pdf and .png. Raises IntroError when there is none of that name."""
    if name not in DRAW:
        raise IntroError(f"there is no figure '{name}'; known are {', '.join(FIGURES)}")
    with style.applied():
        drawn = DRAW[name](Inputs(config))
        style.save(drawn, config.figures_dir / name)
    return [config.figures_dir / f"{name}.{suffix}" for suffix in ("pdf", "png")]

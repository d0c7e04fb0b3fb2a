"""Draws figures by name into png and pdf files."""

from __future__ import annotations

from pathlib import Path

from intro.analysis.data.inputs import Inputs, SourceInputs
from intro.analysis.figures import ablation, answer, cost, learning_rate, length, overview, posterior, style, training
from intro.config import Config
from intro.sources import figure_sources

DRAW = {
    "overview": overview.draw,
    "length": length.draw,
    "training_length": training.draw_length,
    "training_accuracy": training.draw_accuracy,
    "answer_conditioning": answer.draw,
    "entropy_n": ablation.draw_entropy,
    "ablation_n": ablation.draw_average,
    "posterior": posterior.draw,
    "cost": cost.draw,
    "learning_rate": learning_rate.draw,
    "dynamics": training.draw_dynamics,
}


def figure(config: Config, name: str, inputs: Inputs | None = None) -> list[Path]:
    """Draw one figure to figures/{scale}/{name}.pdf and .png. Raises IntroError when there is none of that name.

    Without `inputs` it is drawn from the runs that it shows, whether or not others exist.
    """
    inputs = inputs or SourceInputs(config, figure_sources(config, name))
    with style.applied():
        drawn = DRAW[name](inputs)
        style.save(drawn, config.figures_dir / name)
    return [config.figures_dir / f"{name}.{suffix}" for suffix in ("pdf", "png")]

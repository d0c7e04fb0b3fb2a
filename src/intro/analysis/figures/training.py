"""Figures 4 and 5: response length and accuracy on the hard problems while training."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import binomtest

from intro.analysis.data.inputs import Inputs, under
from intro.analysis.figures import lines, style
from intro.sources import figure_5_models

SUBSETS = {"train": "training questions", "all": "test questions"}


def draw_length(inputs: Inputs) -> Figure:
    """Fig. 4: mean response length over steps, a column per model, training questions above test questions."""
    config, curves = inputs.config, under(inputs.curves, "paper")
    models = [m for m in config.models if m in set(curves.model)]
    if not models:
        return style.nothing("No training curves in this configuration.")
    figure, axes = style.blank(len(models), len(SUBSETS), height=3.5, sharex=True, sharey=True)
    named = []
    for row, (subset, words) in enumerate(SUBSETS.items()):
        for column, model in enumerate(models):
            panel = axes[row, column]
            mine = curves[(curves.model == model) & (curves.subset == subset)]
            ends = _compare(panel, inputs, mine, "mean_tokens")
            if row == 0:
                panel.set_title(model, fontsize=8, pad=15)
                panel.text(
                    0, 1.03, style.stands_for(config, model), transform=panel.transAxes, fontsize=7, color=style.SOFT
                )
        axes[row, 0].set_ylabel(f"tokens per response,\n{words}")
        named.append((panel, ends))
    axes[0, 0].set_ylim(bottom=0)
    for panel, ends in named:  # of each row's last panel, when the limits are known
        style.end_labels(panel, ends, gap=0.09)
    figure.supxlabel("training step", fontsize=8)
    return figure


def draw_accuracy(inputs: Inputs) -> Figure:
    """Fig. 5: accuracy on the hard problems over steps, for the models that stand for the paper's two."""
    config, curves = inputs.config, under(inputs.curves, "paper")
    curves = curves[curves.subset == "hard"]
    models = [m for m in figure_5_models(config) if m in set(curves.model)]
    if not models:
        return style.nothing("No training curves in this configuration.")
    figure, axes = style.blank(len(models), height=2.7, width=2.9 * len(models) + 0.8, sharey=True)
    named = []
    for panel, model in zip(axes[0], models, strict=True):
        mine = curves[curves.model == model]
        for method in config.compared:
            _problem_band(
                panel, mine[mine.method == method], config.training.curve_problems, style.colour(config, method)
            )
        named.append((panel, _compare(panel, inputs, mine, "value")))
        panel.set_title(f"{model}, for {style.stands_for(config, model)}")
        panel.set_xlabel("training step")
    axes[0, 0].set_ylabel("accuracy on hard problems, %")
    for panel, ends in named:  # when the limits that panels share are known
        style.end_labels(panel, ends, gap=0.09)
    return figure


def _compare(panel: Axes, inputs: Inputs, frame: pd.DataFrame, column: str) -> list[tuple[float, str, str]]:
    """A line per method; returns their ends for `style.end_labels`."""
    ends = []
    for method in inputs.config.compared:
        ink = style.colour(inputs.config, method)
        end = lines.draw(panel, frame[frame.method == method], column, ink)
        if end is not None:
            ends.append((end, style.label(inputs.config, method), ink))
    return ends


def _problem_band(panel: Axes, frame: pd.DataFrame, problems: int, colour: str) -> None:
    """With a single seed the band is Wilson's over the curve's problems; with several, `lines` draws the seeds."""
    if frame.train_seed.nunique() != 1:
        return
    frame = frame.dropna(subset=["value"]).sort_values("step")
    bounds = [binomtest(round(v / 100 * problems), problems).proportion_ci(method="wilson") for v in frame.value]
    if bounds:
        low, high = 100 * np.array([(b.low, b.high) for b in bounds]).T
        panel.fill_between(frame.step, low, high, color=colour, alpha=0.12, lw=0)

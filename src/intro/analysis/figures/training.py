"""Figures 4 and 5, and what happens inside training: lines of the compared methods over the steps."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import binomtest

from intro.analysis.data.inputs import Inputs, under
from intro.analysis.figures import lines, style
from intro.sources import figure_5_models

PANELS = {
    "accuracy": "accuracy of rollouts, %",
    "mean_tokens": "tokens per rollout",
    "entropy": "policy entropy, nats per token",
    "correction_mean": "mean correction factor $w$",
    "posterior_accuracy": "accuracy given the answer, %",
    "kept_share": "share of rationales kept, %",
}
PERCENT = {"kept_share", "accuracy", "posterior_accuracy"}
SUBSETS = {"train": "training questions", "all": "test questions"}


def draw_length(inputs: Inputs) -> Figure:
    """Fig. 4: mean response length over steps, a column per model, training questions above test questions."""
    config, curves = inputs.config, under(inputs.frame("curves"), "paper")
    models = [m for m in config.models if m in set(curves.model)]
    if not models:
        return style.nothing("No training curves in this configuration.")
    figure, axes = style.blank(len(models), len(SUBSETS), height=3.5, sharex=True, sharey=True)
    named = []
    for row, (subset, words) in zip(axes, SUBSETS.items(), strict=True):
        of_subset = curves[curves.subset == subset]
        for panel, model in zip(row, models, strict=True):
            ends = _compare(panel, inputs, of_subset[of_subset.model == model], "mean_tokens")
            if subset == next(iter(SUBSETS)):
                panel.set_title(model, fontsize=8, pad=15)
                name = style.stands_for(config, model)
                panel.text(0, 1.03, name, transform=panel.transAxes, fontsize=7, color=style.SOFT)
        row[0].set_ylabel(f"tokens per response,\n{words}")
        named.append((panel, ends))
    axes[0, 0].set_ylim(bottom=0)
    for panel, ends in named:  # of each row's last panel, when the limits are known
        style.end_labels(panel, ends, gap=0.09)
    figure.supxlabel("training step", fontsize=8)
    return figure


def draw_accuracy(inputs: Inputs) -> Figure:
    """Fig. 5: accuracy on the hard problems over steps, for the models that stand for the paper's two."""
    config, curves = inputs.config, under(inputs.frame("curves"), "paper")
    curves = curves[curves.subset == "hard"]
    models = [m for m in figure_5_models(config) if m in set(curves.model)]
    if not models:
        return style.nothing("No training curves in this configuration.")
    figure, axes = style.blank(len(models), height=2.7, width=2.9 * len(models) + 0.8, sharey=True)
    named = []
    for panel, model in zip(axes[0], models, strict=True):
        mine = curves[curves.model == model]
        for method in config.compared:
            of_method, ink = mine[mine.method == method], style.colour(config, method)
            _problem_band(panel, of_method, config.training.curve_problems, ink)
        named.append((panel, _compare(panel, inputs, mine, "value")))
        panel.set_title(style.model_title(config, model))
        panel.set_xlabel("training step")
    axes[0, 0].set_ylabel("accuracy on hard problems, %")
    for panel, ends in named:  # when the limits that panels share are known
        style.end_labels(panel, ends, gap=0.09)
    return figure


def draw_dynamics(inputs: Inputs) -> Figure:
    """Six small panels for one model: the one of the ablation, where the controls live too."""
    config, metrics = inputs.config, under(inputs.frame("metrics"), "paper")
    model = config.ablation_n.model
    mine = metrics[(metrics.model == model) & metrics.method.isin(config.compared)]
    if mine.empty:
        return style.nothing("No training metrics in this configuration.")
    figure, axes = style.blank(3, 2, height=3.7, sharex=True)
    for panel, (column, words) in zip(axes.flat, PANELS.items(), strict=True):
        # some runs log shares as fractions: percent for all
        scale = 100.0 if column in PERCENT and mine[column].max() <= 1.0 else 1.0
        ends = _compare(panel, inputs, mine.assign(**{column: mine[column] * scale}), column, noisy=True)
        if column == "correction_mean":
            panel.axhline(1, color=style.SOFT, lw=0.7, ls=(0, (3, 3)), zorder=1)
        if not ends:
            panel.text(0.5, 0.5, "not logged", ha="center", transform=panel.transAxes, color=style.SOFT, style="italic")
        style.end_labels(panel, ends, gap=0.11)
        panel.set_title(words, fontweight="normal", fontsize=8)
        panel.margins(x=0.02)
    for panel in axes[-1]:
        panel.set_xlabel("training step")
    figure.suptitle(style.model_title(config, model), x=0.01, ha="left", fontsize=8.5, fontweight="bold")
    return figure


def _compare(
    panel: Axes, inputs: Inputs, frame: pd.DataFrame, column: str, noisy: bool = False
) -> list[tuple[float, str, str]]:
    """A line per method; returns their ends for `style.end_labels`."""
    ends = []
    for method in inputs.config.compared:
        ink = style.colour(inputs.config, method)
        end = lines.draw(panel, frame[frame.method == method], column, ink, noisy)
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

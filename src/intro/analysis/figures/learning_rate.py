"""Validation accuracy over the learning-rate grid, with the shared rate and the best rate of each method marked."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from intro.analysis.data.inputs import Inputs
from intro.analysis.data.results import BASE
from intro.analysis.figures import style


def draw(inputs: Inputs) -> Figure:
    config, grid = inputs.config, inputs.frame("grid")
    if grid.empty:
        return style.nothing("No learning-rate grid in this configuration.")
    chosen = inputs.record("learning_rates.json") or {}
    models = [m for m in config.models if m in set(grid.model)]
    figure, axes = style.blank(len(models), height=3.1, width=3.4 * len(models) + 1.2, sharey=True)
    for panel, model in zip(axes[0], models, strict=True):
        _panel(panel, inputs, grid[grid.model == model], chosen)
        panel.set_title(style.model_title(config, model))
    axes[0, 0].set_ylabel("validation accuracy, %")
    return figure


def _panel(panel: Axes, inputs: Inputs, grid: pd.DataFrame, chosen: dict) -> None:
    config, rates = inputs.config, sorted(grid.lr.dropna().unique())
    shared, tuned = chosen.get("paper", {}).get("learning_rate"), chosen.get("tuned", {})
    methods = [m for m in config.all_methods if m in set(grid.method)]
    ends = []
    panel.set_xscale("log")  # first: limits chosen on a linear axis would cut the smallest rate off
    for place, method in enumerate(methods):
        line = grid[grid.method == method].groupby("lr")[["value", "ci_low", "ci_high"]].mean().reset_index()
        ink = style.colour(config, method)
        aside = 0.012 * (place - (len(methods) - 1) / 2)  # so that intervals do not hide each other
        x = line.lr * 10**aside
        panel.vlines(x, line.ci_low, line.ci_high, color=ink, lw=1, alpha=0.55)
        panel.plot(x, line.value, color=ink, marker="o", lw=1.3)
        best = line.lr == tuned.get(method, np.nan)
        panel.plot(x[best], line.value[best], "o", ms=10, mfc="none", mec=ink, mew=1.2)
        ends.append((line.value.iloc[-1], style.label(config, method), ink))
    if len(base := grid[grid.method == BASE]):
        height, ink = base.value.mean(), style.colour(config, BASE)
        panel.axhline(height, color=ink, lw=1, ls=(0, (4, 3)), zorder=0)
        ends.append((height, style.label(config, BASE), ink))
    if shared:
        panel.axvspan(shared * 0.86, shared / 0.86, color=style.FAINT, alpha=0.6, lw=0, zorder=0)
        panel.annotate("shared rate", (shared, 0), (0, 3), xycoords=("data", "axes fraction"),
                       textcoords="offset points", ha="center", fontsize=7, color=style.SOFT)  # fmt: skip
    panel.set_xlim(rates[0] * 0.8, rates[-1] / 0.8)
    style.log_axis(panel, rates, FuncFormatter(_rate))
    panel.set_xlabel("learning rate (ring: the method's own best)" if tuned else "learning rate")
    style.end_labels(panel, ends, gap=0.06)


def _rate(value: float, _: int) -> str:
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"${mantissa}\\cdot10^{{{int(exponent)}}}$"

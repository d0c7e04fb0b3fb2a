"""What one update costs: time against SFT, passes, arithmetic and memory."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from intro.analysis.data.inputs import Inputs
from intro.analysis.figures import style


def draw(inputs: Inputs) -> Figure:
    config, cost = inputs.config, inputs.frame("cost")
    if cost.empty:
        return style.nothing("No cost measurement in this configuration.")
    cost = cost.iloc[::-1].reset_index(drop=True)  # horizontal bars grow upwards; the first method belongs on top
    colours = [style.colour(config, m) for m in cost.method]
    figure, axes = style.blank(4, height=1.9, sharey=True)
    time, passes, flops, memory = axes[0]
    _bars(time, cost.ratio_median, colours, "time, SFT = 1", "{:.2f}")
    error = np.abs(cost[["ratio_low", "ratio_high"]].to_numpy().T - cost.ratio_median.to_numpy())
    time.errorbar(cost.ratio_median, cost.index, xerr=error, fmt="none", ecolor=style.INK, elinewidth=1, capsize=2)
    base = cost.loc[cost.method == "sft", "flops"]
    relative = cost.flops / (base.iloc[0] if len(base) else cost.flops.min())
    _bars(flops, relative, colours, "arithmetic, SFT = 1", "{:.2f}")
    _bars(memory, cost.peak_bytes / 2**20, colours, "peak memory, MiB", "{:.0f}")
    _passes(passes, cost, colours)
    time.set_yticks(cost.index, [style.label(config, m) for m in cost.method])
    for panel in axes[0]:
        panel.grid(False)
        panel.spines["left"].set_visible(False)
    runs, tokens = cost.runs.min(), cost.tokens.max()
    if pd.notna(runs) and pd.notna(tokens):
        note = f"one update on {tokens:,.0f} response tokens; median and 95 % interval of {runs:.0f} paired runs"
        figure.supxlabel(note, fontsize=7.5, color=style.SOFT)
    return figure


def _bars(panel: Axes, values: pd.Series, colours: list[str], words: str, form: str) -> None:
    panel.barh(values.index, values.fillna(0), height=0.52, color=colours)
    for place, value in values.dropna().items():
        panel.text(value / 2, place, form.format(value), va="center", ha="center", color="white", fontweight="bold")
    panel.set_title(words, fontweight="normal", fontsize=8)
    panel.set_xlim(0, values.max() * 1.14 if values.max() > 0 else 1)


def _passes(panel: Axes, cost: pd.DataFrame, colours: list[str]) -> None:
    """Forward passes filled, backward ones hollow: a box each, a narrow one for what only some rationales need."""
    for place, (row, ink) in enumerate(zip(cost.itertuples(), colours, strict=True)):
        forward, backward = float(row.forward_passes), float(row.backward_passes)
        ends = [*np.arange(1, forward + 1e-9), *([forward] if forward % 1 else [])]
        starts = [0.0, *ends[:-1]]
        for start, end in zip(starts, ends, strict=True):
            panel.barh(place, end - start - 0.12, left=start, height=0.42, color=ink)
        for start in np.arange(forward, forward + backward):
            panel.barh(place, 0.88, left=start, height=0.42, color="white", edgecolor=ink, linewidth=1.4)
    panel.set_title("passes: ■ forward □ back", fontweight="normal", fontsize=8)
    panel.set_xlim(-0.1, max((cost.forward_passes + cost.backward_passes).max(), 4))
    panel.set_xticks([])
    panel.spines["bottom"].set_visible(False)

"""How far the estimated posterior is from the true one: per-problem KL in nats per sequence."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde

from intro.analysis.data.inputs import Inputs
from intro.analysis.figures import palette, style

HEAVY = 15  # a largest value this many medians away needs a logarithmic axis
NAMES = {"enumeration": "every rationale\nenumerated", "bayes": "Bayes over\nsampled rationales"}
INKS = {"enumeration": palette.OKABE_ITO["green"], "bayes": palette.OKABE_ITO["purple"]}


def draw(inputs: Inputs) -> Figure:
    """One row per (model, way of computing the true posterior): density, every problem, median and mean."""
    frame = inputs.frame("posterior").dropna(subset=["kl"])
    groups = list(frame.groupby(["model", "estimate"], sort=False))
    if not groups:
        return style.nothing("No posterior check in this configuration.")
    figure, axes = style.blank(height=1.0 + 0.95 * len(groups), width=5.6)
    panel, several = axes[0, 0], frame.model.nunique() > 1
    log = frame.kl.min() > 0 and frame.kl.max() > HEAVY * frame.kl.median()
    if log:
        panel.set_xscale("log")
    for place, (_, rows) in enumerate(reversed(groups)):
        _row(panel, place, rows.kl.to_numpy(), log, INKS.get(rows.estimate.iloc[0], palette.OKABE_ITO["blue"]))
    for value in inputs.reported[inputs.reported.table == "posterior"].value:
        panel.axvline(value, color=style.INK, lw=0.9, ls=(0, (4, 3)), zorder=1)
        panel.annotate(f"the paper's {value:g}\n(another toy)", (value, len(groups) - 0.08), (4, 0), va="top",
                       textcoords="offset points", fontsize=7, color=style.SOFT)  # fmt: skip
    names = [_name(rows.kl, (f"{m}, " if several else "") + NAMES.get(e, e)) for (m, e), rows in reversed(groups)]
    panel.set_yticks(np.arange(len(groups)) + 0.12, names)
    panel.set(xlabel="KL from true to estimated posterior, nats per sequence", ylim=(-0.3, len(groups) - 0.02))
    if not log:
        panel.set_xlim(left=min(0, frame.kl.min()))
    style.horizontal(panel)
    return figure


def _row(panel: Axes, place: int, kl: np.ndarray, log: bool, colour: str) -> None:
    if len(kl) > 2 and np.ptp(kl) > 0:
        seen = np.log(kl) if log else kl
        start, margin = (seen.min() if log else min(0, seen.min())), 0.08 * np.ptp(seen)
        at = np.linspace(start - margin * log, seen.max() + margin, 240)
        density, x = gaussian_kde(seen)(at), np.exp(at) if log else at
        top = place + 0.14 + 0.66 * density / density.max()
        panel.fill_between(x, place + 0.14, top, color=style.tint(colour, 0.55), lw=0)
    panel.vlines(kl, place - 0.1, place + 0.06, color=colour, lw=0.9, alpha=0.7)
    panel.plot([np.median(kl)] * 2, [place - 0.14, place + 0.8], color=style.shade(colour, 0.3), lw=1.6)
    panel.plot([kl.mean()], [place + 0.14], marker="D", ms=5, color=style.shade(colour, 0.3), mec="white", mew=0.8)


def _name(kl: pd.Series, estimate: str) -> str:
    return f"{estimate}\nmedian {kl.median():.2f}\nmean ◆ {kl.mean():.2f}"

"""The figure at the top of the README: the gain of every method on every model, and the verdict on each claim."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from intro.analysis.claims.judge import ANY
from intro.analysis.data import cells
from intro.analysis.data.inputs import Inputs
from intro.analysis.data.results import BASE, SHARED_RATE
from intro.analysis.figures import palette, style

SIGNS = dict(zip(palette.VERDICTS, "✓✗?±–", strict=True))


def draw(inputs: Inputs) -> Figure:
    """Left: gains per model with intervals. Right: one line per claim, coloured by its verdict."""
    claims = inputs.frame("claims")
    claims = claims[claims.protocol.isin([SHARED_RATE, ANY])]
    run = inputs.results
    models = [m for m in inputs.config.models if run.values("main", m, BASE) is not None]
    if not models and claims.empty:
        return style.nothing("Nothing has been run in this configuration.")
    height = max(1.0 + 0.62 * len(models), 1.0 + 0.25 * len(claims), 2.4)
    figure, axes = style.blank(2, height=height, width=10.2, gridspec_kw={"width_ratios": [1, 1.02]})
    _gains(axes[0, 0], inputs, models)
    _scoreboard(axes[0, 1], claims)
    return figure


def _gains(panel: Axes, inputs: Inputs, models: list[str]) -> None:
    """A band per model; methods stacked inside it in a fixed order, the best one's gain printed.

    Gains and not averages: base models of one architecture differ by more than methods do.
    """
    config, methods = inputs.config, list(inputs.config.methods)
    names = []
    for place, model in enumerate(models):
        base = cells.accuracy(inputs.results, model, BASE).value
        gains = {m: cells.cut(cells.gain(inputs.results, model, m), -base, 100 - base) for m in methods}
        best = max(gains, key=lambda m: np.nan_to_num(gains[m].value, nan=-np.inf))
        if place % 2 == 0:
            panel.axhspan(place - 0.5, place + 0.5, color="#f6f6f6", lw=0, zorder=0)
        for rank, (method, mean) in enumerate(gains.items()):
            y, ink = place + 0.78 * ((rank + 0.5) / len(methods) - 0.5), style.colour(config, method)
            style.dot(panel, mean, y, ink, size=4.2, line=1.5)
            if method == best:
                panel.annotate(f"{mean.value:+.1f}", (mean.high, y), (4, 0), textcoords="offset points", va="center",
                               fontsize=7.5, color=ink, fontweight="bold")  # fmt: skip
        names.append(style.model_name(config, model, between="\nfor ") + f"\nbase {base:.1f} %")
    panel.axvline(0, color=style.SOFT, lw=0.9, zorder=1)
    panel.set_yticks(range(len(models)), names)
    panel.set_ylim(len(models) - 0.5, -0.5)
    panel.margins(x=0.14)
    style.horizontal(panel)
    panel.set_xlabel("points over the base model, average of the benchmarks")
    style.key(panel, [(style.label(config, m), style.colour(config, m)) for m in methods])
    panel.set_title("Gain over the base model, one learning rate for all", pad=style.KEY_PAD)


def _scoreboard(panel: Axes, claims: pd.DataFrame) -> None:
    """A disc with the verdict's sign (readable without colour), the statement, the verdict in words."""
    panel.axis("off")
    reproduced = int((claims.verdict == "reproduced").sum())
    title = "Claims" if claims.empty else f"Claims of the paper: {reproduced} of {len(claims)} reproduced here"
    panel.set_title(title, pad=style.KEY_PAD)
    if claims.empty:
        panel.text(0, 0.9, "no claims have been judged", color=style.SOFT, style="italic")
        return
    panel.set(xlim=(0, 1), ylim=(len(claims) - 0.5, -0.5))
    for place, claim in enumerate(claims.itertuples()):
        ink = palette.VERDICTS.get(claim.verdict, style.SOFT)
        panel.plot(0.015, place, "o", ms=10.5, color=ink, clip_on=False)
        panel.text(0.015, place + 0.02, SIGNS.get(claim.verdict, "?"), color="white", ha="center", va="center",
                   fontsize=7.5, fontweight="bold")  # fmt: skip
        panel.text(0.05, place, _two_lines(str(claim.statement)), va="center", fontsize=7.3, linespacing=1.05)
        panel.text(1, place, claim.verdict, va="center", ha="right", fontsize=7.3, fontweight="bold", color=ink)


def _two_lines(statement: str) -> str:
    lines = textwrap.wrap(statement, 64)
    return "\n".join(lines[:2]) + (" …" if len(lines) > 2 else "")

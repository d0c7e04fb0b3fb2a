"""What happens inside training: the method under study and the baseline, step by step."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from intro.analysis.data.inputs import Inputs, under
from intro.analysis.figures import lines, style

PANELS = {
    "accuracy": "accuracy of rollouts, %",
    "mean_tokens": "tokens per rollout",
    "entropy": "policy entropy, nats per token",
    "correction_mean": "mean correction factor $w$",
    "posterior_accuracy": "accuracy given the answer, %",
    "kept_share": "share of rationales kept, %",
}
PERCENT = {"kept_share", "accuracy", "posterior_accuracy"}


def draw(inputs: Inputs) -> Figure:
    """Six small panels for one model: the one of the ablation, where the controls live too."""
    config, metrics = inputs.config, under(inputs.metrics, "paper")
    model = config.ablation_n.model
    mine = metrics[(metrics.model == model) & metrics.method.isin(config.compared)]
    if mine.empty:
        return style.nothing("No training metrics in this configuration.")
    figure, axes = style.blank(3, 2, height=3.7, sharex=True)
    for panel, (column, words) in zip(axes.flat, PANELS.items(), strict=True):
        _panel(panel, inputs, mine, column)
        panel.set_title(words, fontweight="normal", fontsize=8)
        panel.margins(x=0.02)
    for panel in axes[-1]:
        panel.set_xlabel("training step")
    figure.suptitle(
        f"{model}, for {style.stands_for(config, model)}", x=0.01, ha="left", fontsize=8.5, fontweight="bold"
    )
    return figure


def _panel(panel: Axes, inputs: Inputs, frame: pd.DataFrame, column: str) -> None:
    ends = []
    for method, own in frame.groupby("method"):
        own = own.assign(**{column: own[column] * _scale(frame[column], column)})
        ink = style.colour(inputs.config, method)
        end = lines.draw(panel, own, column, ink, noisy=True)
        if end is not None:
            ends.append((end, style.label(inputs.config, method), ink))
    if column == "correction_mean":
        panel.axhline(1, color=style.SOFT, lw=0.7, ls=(0, (3, 3)), zorder=1)
    if not ends:
        panel.text(0.5, 0.5, "not logged", ha="center", transform=panel.transAxes, color=style.SOFT, style="italic")
    style.end_labels(panel, ends, gap=0.11)


def _scale(values: pd.Series, column: str) -> float:
    """Shares are logged as fractions by some runs: percent for all."""
    return 100.0 if column in PERCENT and values.max() <= 1.0 else 1.0

"""Lines over training steps: the mean over seeds, its interval where there are enough seeds, and single seeds else."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from intro.analysis import estimates, style


def over_seeds(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Per step the mean of `column` and its t-interval over seeds (missing below three seeds)."""
    rows = []
    for step, values in frame.dropna(subset=[column]).groupby("step")[column]:
        mean = estimates.over_runs(values)
        rows.append((step, mean.value, mean.low, mean.high))
    return pd.DataFrame(rows, columns=["step", "mean", "low", "high"])


def smooth(frame: pd.DataFrame, column: str, window: int) -> pd.DataFrame:
    """A centred running mean of each run, for quantities that one batch of prompts makes noisy."""
    runs = frame.sort_values("step").groupby("train_seed")[column]
    return frame.assign(**{column: runs.transform(lambda r: r.rolling(window, center=True, min_periods=1).mean())})


def draw(axes: Axes, frame: pd.DataFrame, column: str, colour: str, window: int = 1) -> float | None:
    """One method's line; returns the height of its right end for a direct label, None when there is nothing to draw."""
    raw = over_seeds(frame, column)
    if raw.empty:
        return None
    if window > 1:
        axes.plot(raw.step, raw["mean"], color=style.tint(colour, 0.6), lw=0.7)
    # smoothed run by run: the band then shows how runs differ, not how batches do
    line = over_seeds(smooth(frame.dropna(subset=[column]), column, window), column)
    mean = line["mean"]
    if line.low.notna().any():
        axes.fill_between(line.step, line.low, line.high, color=colour, alpha=0.16, lw=0)
    else:
        for _, seed in frame.groupby("train_seed") if frame.train_seed.nunique() > 1 else []:
            axes.plot(seed.step, seed[column], color=style.tint(colour, 0.6), lw=0.7)
    axes.plot(line.step, mean, color=colour, marker="o" if len(line) < 12 else None, markersize=3)
    return float(mean.iloc[-1])

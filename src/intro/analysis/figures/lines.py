"""Lines over training steps: the mean over seeds, with a thin line per seed or, for MANY seeds, an interval."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from intro.analysis.figures import style
from intro.analysis.stats.intervals import of_replicates

MANY = 6  # seeds that a band shows better than a line each; the interval of three leaves any axis
NOISY = 12  # logged steps above which a quantity of one batch is read better as a running mean over WINDOW of them
WINDOW = 5


def over_seeds(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Per step the mean of `column` and its t-interval over seeds (missing below three seeds)."""
    steps = frame.dropna(subset=[column]).groupby("step")[column]
    means = [(step, of_replicates(values, "runs")) for step, values in steps]
    return pd.DataFrame([(step, m.value, m.low, m.high) for step, m in means], columns=["step", "mean", "low", "high"])


def smooth(frame: pd.DataFrame, column: str, window: int) -> pd.DataFrame:
    """A centred running mean of each run, for quantities that one batch of prompts makes noisy."""
    runs = frame.sort_values("step").groupby("train_seed")[column]
    return frame.assign(**{column: runs.transform(lambda r: r.rolling(window, center=True, min_periods=1).mean())})


def draw(axes: Axes, frame: pd.DataFrame, column: str, colour: str, noisy: bool = False) -> float | None:
    """One method's line; returns the height of its right end for a direct label, None when there is nothing to draw.

    `noisy` is what one batch of prompts makes so: it is smoothed where more than NOISY steps were logged.
    """
    frame = frame.dropna(subset=[column])
    if frame.empty:
        return None
    window = WINDOW if noisy and frame.step.nunique() > NOISY else 1
    seeds, runs = frame.train_seed.nunique(), smooth(frame, column, window)
    # smoothed run by run: what is around the mean then shows how runs differ, not how batches do
    line = over_seeds(runs, column)
    if seeds >= MANY:
        axes.fill_between(line.step, line.low, line.high, color=colour, alpha=0.16, lw=0)
    elif seeds > 1 or window > 1:
        for _, run in (runs if seeds > 1 else frame).sort_values("step").groupby("train_seed"):
            axes.plot(run.step, run[column], color=style.tint(colour, 0.6), lw=0.7)
    mean = line["mean"]
    axes.plot(line.step, mean, color=colour, marker="o" if len(line) < 12 else None, markersize=3)
    return float(mean.iloc[-1])

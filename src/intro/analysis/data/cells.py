"""Intervals of the cells that tables and figures show, from problem-level results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from intro.analysis.data.results import BASE, Results, strata
from intro.analysis.stats.intervals import Interval, within_model

NOTHING = Interval(np.nan, np.nan, np.nan, "nothing run")


def accuracy(
    results: Results, model: str, method: str, suite: str = "main", benchmarks: Sequence[str] | None = None,
    column: str = "correct",
) -> Interval:  # fmt: skip
    """Percent with its 95 % interval; every benchmark counts the same, as in the paper's average."""
    return cut(_average(results, results.values(suite, model, method, column), benchmarks), 0.0, 100.0)


def _average(results: Results, values: pd.DataFrame | None, benchmarks: Sequence[str] | None) -> Interval:
    """The mean of a cell's benchmarks, or NOTHING where none of them was run."""
    parts = [] if values is None else strata(values, benchmarks)
    return within_model(parts, results.resampling).interval() if parts else NOTHING


def cut(interval: Interval, low: float, high: float) -> Interval:
    """The interval cut to the possible range, which a t-interval of few runs exceeds."""
    if interval is NOTHING:
        return NOTHING
    return replace(interval, low=max(interval.low, low), high=min(interval.high, high))


def gain(
    results: Results, model: str, method: str, suite: str = "main", benchmarks: Sequence[str] | None = None
) -> Interval:
    """Points over the base model that the same run began with, problem by problem; averaged like `accuracy`."""
    return _average(results, results.paired(suite, model, method, BASE), benchmarks)


def gain_by_run(results: Results, model: str, method: str) -> pd.Series:
    """Points that each run gains over its base model on the main suite, by (pretraining seed, training seed)."""
    frame = results.paired("main", model, method, BASE)
    if frame is None:
        return pd.Series(dtype=float)
    return pd.Series(np.mean([part.mean(axis=0) for part in strata(frame)], axis=0), index=frame.columns)


def tokens(results: Results, model: str, method: str, benchmarks: Sequence[str] | None = None) -> Interval:
    """Mean response length with its 95 % interval; every problem counts the same, as in the paper's Fig. 3."""
    values = results.values("main", model, method, "tokens")
    parts = [] if values is None else strata(values, benchmarks)
    return within_model([np.concatenate(parts)], results.resampling).interval() if parts else NOTHING

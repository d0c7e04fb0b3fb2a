"""Intervals: problems are resampled with all their samples, training runs and models enter by a t-interval.

Values arrive as strata: one array [problems, runs] per benchmark, each entry the mean over a problem's k
samples (percent or tokens). An average is the unweighted mean over strata of the mean over problems and runs.
A paired difference of two methods is the same thing on the problem-by-problem difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Strata = Sequence[Array]

LEVEL = 0.95
ENOUGH = 3  # fewer replicates than this say too little about their spread for a t-interval
ROUNDING = 1e-9  # sums of exact multiples differ by float noise; a spread or difference below this is none


@dataclass(frozen=True, slots=True)
class Resampling:
    """How many bootstrap draws, and the seed that makes them repeatable."""

    resamples: int = 2000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its interval, in the unit of its values; nan where nothing supports an interval."""

    value: float
    low: float
    high: float
    replicates: str


@dataclass(frozen=True, slots=True)
class Student:
    """An estimate with a standard error and its degrees of freedom."""

    value: float
    error: float
    freedom: int
    replicates: str

    def interval(self, level: float = LEVEL) -> Interval:
        from scipy.special import stdtrit  # imported when asked: it takes a fifth of the time of a table without it

        half = float(stdtrit(self.freedom, 0.5 + level / 2)) * self.error
        return Interval(self.value, self.value - half, self.value + half, self.replicates)

    def p_value(self, null: float = 0.0) -> float:
        """Two-sided."""
        from scipy.special import stdtr

        distance = abs(self.value - null)
        if self.error == 0:
            return 1.0 if distance <= ROUNDING else 0.0
        return float(2 * stdtr(self.freedom, -distance / self.error))


@dataclass(frozen=True, slots=True)
class Resampled:
    """An estimate with draws of its sampling distribution; percentile intervals."""

    value: float
    draws: Array  # [resamples]
    replicates: str

    def interval(self, level: float = LEVEL) -> Interval:
        low, high = np.quantile(self.draws, [0.5 - level / 2, 0.5 + level / 2])
        return Interval(self.value, float(low), float(high), self.replicates)

    def p_value(self, null: float = 0.0) -> float:
        """Two-sided, never below 2 / (resamples + 1)."""
        below = np.count_nonzero(self.draws <= null + ROUNDING)
        above = np.count_nonzero(self.draws >= null - ROUNDING)
        return min(1.0, 2 * (1 + min(below, above)) / (1 + len(self.draws)))


Estimate = Student | Resampled  # an estimate whose uncertainty can be asked at any level


# ---------------------------------------------------------------- problems and runs


def average(strata: Strata) -> float:
    """Unweighted mean over strata of the mean over a stratum's problems and runs."""
    return float(np.mean([np.mean(stratum) for stratum in strata]))


@lru_cache(maxsize=16)
def _drawn(problems: int, stratum: int, resampling: Resampling) -> Array:
    """How often each problem of a stratum is drawn [resamples, problems]; cached, since every cell needs it."""
    rng = np.random.default_rng([resampling.seed, stratum, problems])
    return rng.multinomial(problems, np.full(problems, 1 / problems), resampling.resamples).astype(np.float64)


def bootstrap(strata: Strata, resampling: Resampling) -> Array:
    """Averages of resampled problems [resamples, runs]; problems are drawn within their stratum.

    The same shapes and seed give the same problems, so draws of two methods are paired.
    """
    total = np.zeros((resampling.resamples, strata[0].shape[1]))
    for index, stratum in enumerate(strata):
        # counts of problems times their values are the sums of the resampled problems
        total += _drawn(len(stratum), index, resampling) @ stratum / len(stratum)
    return total / len(strata)


def within_model(strata: Strata, resampling: Resampling) -> Resampled:
    """One model's average. With three or more runs their spread widens the interval, else it is problems only.

    Raises ValueError when there is no stratum or a stratum is empty.
    """
    if not strata or any(stratum.size == 0 for stratum in strata):
        raise ValueError("expected at least one stratum with at least one problem and one run, found none")
    runs = strata[0].shape[1]
    draws = bootstrap(strata, resampling).mean(axis=1)
    if runs < ENOUGH:
        return Resampled(average(strata), draws, "problems only" if runs == 1 else f"problems only, {runs} runs")
    of_run = np.mean([stratum.mean(axis=0) for stratum in strata], axis=0)  # [runs]
    error = float(np.std(of_run, ddof=1)) / math.sqrt(runs)
    noise = _t_draws(runs - 1, resampling)
    return Resampled(average(strata), draws + error * noise, f"problems and {runs} runs")


def _t_draws(freedom: int, resampling: Resampling) -> Array:
    """Evenly spaced quantiles of Student's t in random order: the added spread is exact, not sampled."""
    from scipy.special import stdtrit

    grid = (np.arange(resampling.resamples) + 0.5) / resampling.resamples
    # another stream than the problems': the two sources are independent
    return np.random.default_rng([resampling.seed, 1]).permutation(stdtrit(freedom, grid))


def t_estimate(values: Sequence[float], what: str) -> Student:
    """Mean of independent replicates with its standard error. Raises ValueError below two values."""
    if len(values) < 2:
        raise ValueError(f"expected two or more {what} for a t-interval, found {len(values)}")
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    # equal values leave float noise behind, not evidence of spread
    error = 0.0 if error < ROUNDING else error
    return Student(float(np.mean(values)), error, len(values) - 1, f"{len(values)} {what}")


def of_replicates(values: Sequence[float], what: str) -> Interval:
    """Mean of independent replicates with its t-interval; below three replicates the mean alone."""
    values = list(values)  # numpy's mean and deviation, also of a pandas series
    if len(values) >= ENOUGH:
        return t_estimate(values, what).interval()
    return Interval(float(np.mean(values)), math.nan, math.nan, f"{len(values)} {what}, no interval")


def over_models(by_model: Mapping[str, Strata], resampling: Resampling) -> Estimate:
    """Mean over models. Three or more models are the replicates; fewer are fixed and their problems resampled."""
    if len(by_model) >= ENOUGH:
        return t_estimate([average(strata) for strata in by_model.values()], "models")
    parts = [within_model(strata, resampling) for strata in by_model.values()]
    if len(parts) == 1:
        return parts[0]
    value = float(np.mean([part.value for part in parts]))
    draws = np.mean([part.draws for part in parts], axis=0)
    return Resampled(value, draws, f"{len(parts)} models, {parts[0].replicates}")


def slope(x: Sequence[float], y: Sequence[float], what: str) -> Student:
    """Least-squares slope of y on x with its standard error. Raises ValueError below three points."""
    if len(x) < ENOUGH:
        raise ValueError(f"expected three or more {what} for a slope, found {len(x)}")
    (value, _), covariance = np.polyfit(x, y, 1, cov=True)
    return Student(float(value), math.sqrt(covariance[0, 0]), len(x) - 2, f"{len(x)} {what}")


# ---------------------------------------------------------------- many comparisons


def holm_levels(p_values: Sequence[float], level: float = LEVEL) -> list[float]:
    """The level of each comparison's interval under Holm's step-down, in the order given.

    The smallest of m p-values is held against alpha / m, the next against alpha / (m - 1), and so on; from the
    first that fails, the rest keep its level, so that an interval excludes the null exactly when Holm rejects.
    """
    alpha, m = 1 - level, len(p_values)
    levels, divisor, stopped = [level] * m, m, False
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        divisor = divisor if stopped else m - rank
        levels[int(index)] = 1 - alpha / divisor
        stopped = stopped or p_values[index] > alpha / divisor
    return levels


def smallest(estimates: Mapping[str, Estimate], level: float = LEVEL) -> Interval:
    """The smallest of several estimates, with a Holm-corrected interval; its name ends `replicates`.

    For differences to several baselines this is the difference to the best one. Both ends are minima over the
    corrected intervals: above the null only if every one is, below it as soon as one is.
    """
    levels = holm_levels([estimate.p_value() for estimate in estimates.values()], level)
    ends = [estimate.interval(at) for estimate, at in zip(estimates.values(), levels, strict=True)]
    name, least = min(estimates.items(), key=lambda item: item[1].value)
    note = f"{least.replicates}; {name}, Holm over {len(estimates)}"
    return Interval(least.value, min(e.low for e in ends), min(e.high for e in ends), note)

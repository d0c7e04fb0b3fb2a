"""What the claims are about: each estimand turns results into an interval, or None where nothing was run.

Accuracies are in percent, their differences in points, lengths in tokens. Differences of methods are paired
problem by problem, averaged over a model's benchmarks; models are the replicates (`stats.over_models`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from intro.analysis.data.results import BASE, PROBLEM, Results, difference, strata
from intro.analysis.stats.intervals import (
    ENOUGH,
    ROUNDING,
    Estimate,
    Interval,
    average,
    over_models,
    slope,
    smallest,
    t_estimate,
    within_model,
)
from intro.experiments import methods_by_n

Estimand = Callable[[Results], Interval | None]
Where = Literal["all", "hard", "easy"]  # easy: every benchmark that is not hard
Over = Literal["benchmarks", "problems"]  # what counts the same: benchmarks as in Table 1, problems as in Fig. 3


def _benchmarks(results: Results, frame: pd.DataFrame, where: Where) -> list[str]:
    names = list(frame.index.unique("benchmark"))
    return [name for name in names if where == "all" or (name in results.hard) == (where == "hard")]


def _by_model(
    results: Results, frames: Mapping[str, pd.DataFrame | None], where: Where, over: Over = "benchmarks"
) -> Estimate | None:
    parts = {
        model: strata(frame, _benchmarks(results, frame, where)) for model, frame in frames.items() if frame is not None
    }
    parts = {model: part for model, part in parts.items() if part}
    if over == "problems":
        parts = {model: [np.concatenate(part)] for model, part in parts.items()}
    return over_models(parts, results.resampling) if parts else None


def _interval(estimate: Estimate | None) -> Interval | None:
    return None if estimate is None else estimate.interval()


# ---------------------------------------------------------------- two methods, several methods


def _compared(results: Results, a: str, b: str, suite: str) -> Estimate | None:
    frames = {model: results.paired(suite, model, a, b) for model in results.config.models}
    return _by_model(results, frames, "all")


def compare(a: str, b: str, suite: str = "main") -> Estimand:
    """Accuracy of a minus that of b, averaged over models."""
    return lambda results: _interval(_compared(results, a, b, suite))


def compare_length(a: str, b: str, where: Where) -> Estimand:
    """Length of a's responses minus that of b's, every problem counting the same, averaged over models."""

    def estimand(results: Results) -> Interval | None:
        frames = {model: results.paired("main", model, a, b, "tokens") for model in results.config.models}
        return _interval(_by_model(results, frames, where, over="problems"))

    return estimand


def against_best(method: str) -> Estimand:
    """method minus the best of all other methods of the main table, base included (Holm)."""

    def estimand(results: Results) -> Interval | None:
        others = [BASE, *(name for name in results.config.methods if name != method)]
        estimates = {other: _compared(results, method, other, "main") for other in others}
        return _smallest(estimates)

    return estimand


def _smallest(estimates: Mapping[str, Estimate | None]) -> Interval | None:
    run = {name: estimate for name, estimate in estimates.items() if estimate is not None}
    return smallest(run) if run else None


# ---------------------------------------------------------------- patterns over models


def _without_interval(value: float, why: str) -> Interval:
    return Interval(value, math.nan, math.nan, why)


def gain_slope(method: str) -> Estimand:
    """Points gained over base per point of base average, across models.

    Noise of the base average enters both axes with opposite signs and pulls the slope down, against the claim.
    """

    def estimand(results: Results) -> Interval | None:
        bases, gains = [], []
        for model in results.config.models:
            base, gain = results.values("main", model, BASE), results.paired("main", model, method, BASE)
            if base is not None and gain is not None:
                bases.append(average(strata(base)))
                gains.append(average(strata(gain)))
        return slope(bases, gains, "models").interval() if len(bases) >= ENOUGH else None

    return estimand


def share_best(method: str) -> Estimand:
    """Percent of a model's benchmarks where the method is highest; a tie counts as its share of the tie."""

    def estimand(results: Results) -> Interval | None:
        names = [BASE, *results.config.methods]
        shares = []
        for model in results.config.models:
            frames = {name: results.values("main", model, name) for name in names}
            means = pd.DataFrame({name: _means(frame) for name, frame in frames.items() if frame is not None})
            if method in means and len(means.columns) > 1:
                best = means.ge(means.max(axis=1) - ROUNDING, axis=0)
                shares.append(float(100 * (best[method] / best.sum(axis=1)).mean()))
        return _over_replicates(shares, "models")

    return estimand


def _means(frame: pd.DataFrame) -> pd.Series:
    return frame.mean(axis=1).groupby(level="benchmark").mean()


def _over_replicates(values: Sequence[float], what: str) -> Interval | None:
    if not values:
        return None
    if len(values) < ENOUGH:
        return _without_interval(float(np.mean(values)), f"{len(values)} {what}, no interval")
    return t_estimate(values, what).interval()


def curve_change(method: str, column: Literal["value", "mean_tokens"], subset: str) -> Estimand:
    """Last minus first recorded step of a training curve; never the best step. Models are the replicates."""

    def estimand(results: Results) -> Interval | None:
        curves = results.curves
        chosen = curves[
            (curves["method"] == method) & (curves["protocol"] == results.protocol) & (curves["subset"] == subset)
        ]
        changes: dict[str, list[float]] = {}
        for (model, _), run in chosen.groupby(["model", "train_seed"]):
            ordered = run.sort_values("step")[column].to_numpy(dtype=float)
            if len(ordered) > 1:
                changes.setdefault(model, []).append(ordered[-1] - ordered[0])
        if len(changes) == 1:  # one model: its training runs are all the replication there is
            return _over_replicates(next(iter(changes.values())), "runs")
        return _over_replicates([float(np.mean(c)) for c in changes.values()], "models")

    return estimand


# ---------------------------------------------------------------- the number of candidates n


def _grid_of_n(results: Results) -> dict[int, str]:
    """n -> method name, for the n of the grid that were run on the ablation's model."""
    model = results.config.ablation_n.model
    names = methods_by_n(results.config)
    return {n: name for n, name in names.items() if results.values("main", model, name) is not None}


def n_against_base(n: int) -> Estimand:
    """InTRO with n candidates minus base, on the ablation's model."""

    def estimand(results: Results) -> Interval | None:
        name, model = _grid_of_n(results).get(n), results.config.ablation_n.model
        frame = None if name is None else results.paired("main", model, name, BASE)
        return None if frame is None else within_model(strata(frame), results.resampling).interval()

    return estimand


def inner_n_against_ends(results: Results) -> Interval | None:
    """Mean over the inner points of the n-grid minus the better end (Holm over both ends).

    The mean of the inner points, not the best of them: choosing the best on test problems would favour the claim.
    """
    grid, model = _grid_of_n(results), results.config.ablation_n.model
    if len(grid) < 3:
        return None
    first, *inner, last = grid
    estimates: dict[str, Estimate | None] = {}
    for end in (first, last):
        gaps = [results.paired("main", model, grid[n], grid[end]) for n in inner]
        # one row per problem and n, the runs that every n has; then the mean over n
        gap = pd.concat([g for g in gaps if g is not None], join="inner").groupby(level=PROBLEM).mean()
        estimates[f"n={end}"] = within_model(strata(gap), results.resampling)
    return _smallest(estimates)


def n_against_others(n: int) -> Estimand:
    """n candidates minus the best other point of the n-grid (Holm)."""

    def estimand(results: Results) -> Interval | None:
        grid, model = _grid_of_n(results), results.config.ablation_n.model
        if n not in grid or len(grid) < 2:
            return None
        frames = {f"n={m}": results.paired("main", model, grid[n], name) for m, name in grid.items() if m != n}
        run = {name: strata(frame) for name, frame in frames.items() if frame is not None}
        return _smallest({name: within_model(part, results.resampling) for name, part in run.items()})

    return estimand


# ---------------------------------------------------------------- conditioning on the answer


def _gain_given_answer(results: Results) -> dict[str, pd.DataFrame]:
    """Per model the gain in correct AND verified rationales when the answer stands in the prompt (Fig. 6)."""
    gains = {}
    for model in results.config.models:
        given = results.values("given", model, BASE, "verified_correct")
        without = results.values("main", model, BASE, "verified_correct")
        if given is not None and without is not None:
            gains[model] = difference(given, without)
    return gains


def hard_gain_over_easy(results: Results) -> Interval | None:
    """Mean gain of conditioning on hard benchmarks minus that on easy ones, per model."""
    parts = {}
    for model, frame in _gain_given_answer(results).items():
        hard, easy = (_benchmarks(results, frame, where) for where in ("hard", "easy"))
        if hard and easy:
            # the contrast of two means is one mean over all benchmarks with signed weights that sum as wanted
            weights = {**dict.fromkeys(hard, 1 / len(hard)), **dict.fromkeys(easy, -1 / len(easy))}
            names = sorted(weights)
            weighted = zip(names, strata(frame, names), strict=True)
            parts[model] = [len(names) * weights[name] * stratum for name, stratum in weighted]
    return _interval(over_models(parts, results.resampling)) if parts else None


def smallest_easy_gain(results: Results) -> Interval | None:
    """The smallest gain of conditioning among the easy benchmarks (Holm over them)."""
    gains = _gain_given_answer(results)
    names = {name for frame in gains.values() for name in _benchmarks(results, frame, "easy")}
    estimates: dict[str, Estimate | None] = {}
    for name in sorted(names):
        parts = {model: part for model, frame in gains.items() if (part := strata(frame, [name]))}
        estimates[name] = over_models(parts, results.resampling)
    return _smallest(estimates)


# ---------------------------------------------------------------- counts and the posterior


def forward_passes(method: str, relative_to: str | None = None) -> Estimand:
    """Forward passes of an update per rationale, or their ratio to another method's. Counted, so exact."""

    def estimand(results: Results) -> Interval | None:
        counts = results.cost.set_index("method")["forward_passes"].astype(float)
        needed = [method] if relative_to is None else [method, relative_to]
        if not all(name in counts.index for name in needed):
            return None
        value = float(counts[method] / (counts[relative_to] if relative_to else 1.0))
        return Interval(value, value, value, "counted")

    return estimand


def posterior_kl(kind: Literal["bayes", "enumeration"]) -> Estimand:
    """KL(true posterior || estimated posterior) in nats per rationale, mean over problems."""

    def estimand(results: Results) -> Interval | None:
        frame = results.posterior
        chosen = frame[(frame["estimate"] == kind) & np.isfinite(frame["kl"].astype(float))]
        parts = {model: [p["kl"].to_numpy(dtype=float)[:, None]] for model, p in chosen.groupby("model")}
        return _interval(over_models(parts, results.resampling)) if parts else None

    return estimand

"""What the claims are about: each estimand turns results into an interval, or None where nothing was run.

Accuracies are in percent, their differences in points, lengths in tokens. Differences of methods are paired
problem by problem, averaged over a model's benchmarks; models are the replicates (`stats.over_models`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import pandas as pd

from intro.analysis.data.results import BASE, PROBLEM, Results, difference, strata
from intro.analysis.stats import intervals
from intro.analysis.stats.intervals import ENOUGH, ROUNDING, Estimate, Interval, Strata, average, within_model
from intro.experiments import methods_by_n

Estimand = Callable[[Results], Interval | None]
Where = Literal["all", "hard", "easy"]  # easy: every benchmark that is not hard


def _benchmarks(results: Results, frame: pd.DataFrame, where: Where) -> list[str]:
    names = list(frame.index.unique("benchmark"))
    return [name for name in names if where == "all" or (name in results.hard) == (where == "hard")]


def _over_models(results: Results, by_model: Mapping[str, Strata]) -> Estimate | None:
    """The mean over the models that have any stratum."""
    run = {model: strata for model, strata in by_model.items() if len(strata)}
    return intervals.over_models(run, results.resampling) if run else None


def _interval(estimate: Estimate | None) -> Interval | None:
    return None if estimate is None else estimate.interval()


def _smallest(estimates: Mapping[str, Estimate | None]) -> Interval | None:
    run = {name: estimate for name, estimate in estimates.items() if estimate is not None}
    return intervals.smallest(run) if run else None


# ---------------------------------------------------------------- two methods, several methods


def _paired(results: Results, a: str, b: str, suite: str = "main", column: str = "correct") -> dict[str, pd.DataFrame]:
    """Model -> problem-by-problem difference of two methods, for the models that have both."""
    frames = {model: results.paired(suite, model, a, b, column) for model in results.config.models}
    return {model: frame for model, frame in frames.items() if frame is not None}


def _compared(results: Results, a: str, b: str, suite: str = "main") -> Estimate | None:
    return _over_models(results, {model: strata(frame) for model, frame in _paired(results, a, b, suite).items()})


def compare(results: Results, a: str, b: str, suite: str = "main") -> Interval | None:
    """Accuracy of a minus that of b, averaged over models."""
    return _interval(_compared(results, a, b, suite))


def compare_length(results: Results, a: str, b: str, where: Where) -> Interval | None:
    """Length of a's responses minus that of b's, averaged over models; every problem counts the same, as in Fig. 3."""
    frames = _paired(results, a, b, column="tokens")
    parts = {model: strata(frame, _benchmarks(results, frame, where)) for model, frame in frames.items()}
    return _interval(_over_models(results, {model: [np.concatenate(part)] for model, part in parts.items() if part}))


def against_best(results: Results, method: str) -> Interval | None:
    """method minus the best of all other methods of the main table, base included (Holm)."""
    others = [BASE, *(name for name in results.config.methods if name != method)]
    return _smallest({other: _compared(results, method, other) for other in others})


# ---------------------------------------------------------------- patterns over models


def gain_slope(results: Results, method: str) -> Interval | None:
    """Points gained over base per point of base average, across models.

    Noise of the base average enters both axes with opposite signs and pulls the slope down, against the claim.
    """
    gains = {model: average(strata(frame)) for model, frame in _paired(results, method, BASE).items()}
    bases = [average(strata(results.values("main", model, BASE))) for model in gains]
    return intervals.slope(bases, list(gains.values()), "models").interval() if len(gains) >= ENOUGH else None


def share_best(results: Results, method: str) -> Interval | None:
    """Percent of a model's benchmarks where the method is highest; a tie counts as its share of the tie."""
    shares = []
    for model in results.config.models:
        frames = {name: results.values("main", model, name) for name in [BASE, *results.config.methods]}
        run = {name: frame.mean(axis=1) for name, frame in frames.items() if frame is not None}
        means = pd.DataFrame({name: values.groupby(level="benchmark").mean() for name, values in run.items()})
        if method in means and len(means.columns) > 1:
            best = means.ge(means.max(axis=1) - ROUNDING, axis=0)
            shares.append(float(100 * (best[method] / best.sum(axis=1)).mean()))
    return intervals.of_replicates(shares, "models") if shares else None


def curve_change(
    results: Results, method: str, column: Literal["value", "mean_tokens"], subset: str
) -> Interval | None:
    """Last minus first recorded step of a training curve; never the best step. Models are the replicates."""
    curves = results.curves
    wanted = {"method": method, "protocol": results.protocol, "subset": subset}
    chosen = curves[(curves[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    changes: dict[str, list[float]] = {}
    for (model, _), run in chosen.sort_values("step").groupby(["model", "train_seed"])[column]:
        if len(run) > 1:
            changes.setdefault(model, []).append(run.iloc[-1] - run.iloc[0])
    if len(changes) == 1:  # one model: its training runs are all the replication there is
        return intervals.of_replicates(next(iter(changes.values())), "runs")
    means = [float(np.mean(of_model)) for of_model in changes.values()]
    return intervals.of_replicates(means, "models") if means else None


# ---------------------------------------------------------------- the number of candidates n


def _grid_of_n(results: Results) -> dict[int, str]:
    """n -> method name, for the n of the grid that were run on the ablation's model."""
    model, names = results.config.ablation_n.model, methods_by_n(results.config)
    return {n: name for n, name in names.items() if results.values("main", model, name) is not None}


def _on_ablation_model(results: Results, a: str, b: str) -> Estimate | None:
    """Method a minus method b on the ablation's model."""
    frame = results.paired("main", results.config.ablation_n.model, a, b)
    return None if frame is None else within_model(strata(frame), results.resampling)


def n_against_base(results: Results, n: int) -> Interval | None:
    """InTRO with n candidates minus base, on the ablation's model."""
    grid = _grid_of_n(results)
    return _interval(_on_ablation_model(results, grid[n], BASE)) if n in grid else None


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


def n_against_others(results: Results, n: int) -> Interval | None:
    """n candidates minus the best other point of the n-grid (Holm)."""
    grid = _grid_of_n(results)
    if n not in grid:
        return None
    return _smallest({f"n={m}": _on_ablation_model(results, grid[n], name) for m, name in grid.items() if m != n})


# ---------------------------------------------------------------- conditioning on the answer


def _gain_given_answer(results: Results) -> dict[str, pd.DataFrame]:
    """Per model the gain in correct AND verified rationales when the answer stands in the prompt (Fig. 6)."""
    gains = {}
    for model in results.config.models:
        given, without = (
            results.values(suite, model, BASE, "verified_correct") for suite in ("answer_in_prompt", "main")
        )
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
    return _interval(_over_models(results, parts))


def smallest_easy_gain(results: Results) -> Interval | None:
    """The smallest gain of conditioning among the easy benchmarks (Holm over them)."""
    gains = _gain_given_answer(results)
    names = sorted({name for frame in gains.values() for name in _benchmarks(results, frame, "easy")})
    by_benchmark = {name: {model: strata(frame, [name]) for model, frame in gains.items()} for name in names}
    return _smallest({name: _over_models(results, parts) for name, parts in by_benchmark.items()})


# ---------------------------------------------------------------- counts and the posterior


def forward_passes(results: Results, method: str, relative_to: str | None = None) -> Interval | None:
    """Forward passes of an update per rationale, or their ratio to another method's. Counted, so exact."""
    counts = results.cost.set_index("method")["forward_passes"].astype(float)
    if not {method, relative_to or method} <= set(counts.index):
        return None
    value = float(counts[method] / (counts[relative_to] if relative_to else 1.0))
    return Interval(value, value, value, "counted")


def posterior_kl(results: Results, kind: Literal["bayes", "enumeration"]) -> Interval | None:
    """KL(true posterior || estimated posterior) in nats per rationale, mean over problems."""
    frame = results.posterior
    chosen = frame[(frame["estimate"] == kind) & np.isfinite(frame["kl"].astype(float))]
    parts = {model: [problems["kl"].to_numpy(dtype=float)[:, None]] for model, problems in chosen.groupby("model")}
    return _interval(_over_models(results, parts))

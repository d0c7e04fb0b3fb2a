"""Cell by cell: what the paper reports, what our published run found, what this run found.

A value is held against the paper's only where the model is the paper's own. Everywhere else (a scale model) the
direction of a method against its base model is, since only that can carry over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd

from intro.analysis.data.results import BASE, Results, strata
from intro.analysis.stats import cells as estimates
from intro.analysis.stats.intervals import Interval, average, bootstrap, within_model
from intro.config import Config
from intro.experiments import methods_by_n

AVERAGE, IMPROVEMENT = "average", "improvement_pct"
HALF = 0.05  # the paper prints one decimal: half a unit of it, in percent
TABLES = ("main", "ood", "ablation_n")


class Agreement(StrEnum):
    WITHIN = "within interval"
    OUTSIDE = "outside interval"
    SAME = "same direction"
    OPPOSITE = "opposite direction"
    INCONCLUSIVE = "inconclusive"
    NOT_COMPARED = "not compared"  # a base model has no direction; a cell that the paper leaves out
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of compare/{main,ood,ablation_n}.csv, in percent; nan where a number does not exist."""

    table: str
    model: str
    method: str
    benchmark: str
    reported: float
    reference: float
    ours: float
    ci_low: float
    ci_high: float
    agreement: str


@dataclass(frozen=True, slots=True)
class Place:
    """Which cell is asked for, by this run's names and by the paper's."""

    table: str
    suite: str
    model: str
    method: str
    benchmark: str  # a benchmark of this run, AVERAGE or IMPROVEMENT
    paper_model: str
    paper_method: str
    paper_benchmark: str

    @property
    def own_model(self) -> bool:
        """Whether the model is the paper's own."""
        return self.model == self.paper_model


@dataclass(frozen=True, slots=True)
class Reported:
    """The paper's numbers by (table, model, method, benchmark), in percent."""

    values: dict[tuple[str, str, str, str], float]

    def at(self, place: Place) -> float:
        key = (place.table, place.paper_model, place.paper_method, place.paper_benchmark)
        return self.values.get(key, math.nan)

    def gain(self, place: Place) -> float:
        """Reported value minus the reported base value; for an improvement, the improvement itself."""
        if place.benchmark == IMPROVEMENT:
            return self.at(place)
        # the ablation's table has no base row: its base model is in the main table
        base = self.values.get((place.suite, place.paper_model, BASE, place.paper_benchmark), math.nan)
        return self.at(place) - base


def read_reported(path: Path) -> Reported:
    """workflow/reported/reported.csv."""
    frame = pd.read_csv(path)
    keys = frame[["table", "model", "method", "benchmark"]].itertuples(index=False, name=None)
    return Reported(dict(zip(keys, frame["value"].astype(float), strict=True)))


# ---------------------------------------------------------------- our published run


@dataclass(frozen=True, slots=True)
class Reference:
    """Tables of results/reference/{reference}; nan for what it does not hold."""

    tables: dict[str, pd.DataFrame]

    def at(self, place: Place) -> float:
        frame = self.tables.get(place.table)
        if frame is None or place.benchmark not in frame:
            return math.nan
        if "method" in frame:
            rows = frame[(frame["method"] == place.method) & (frame["model"] == place.model)]
        else:  # the ablation's table names n instead of a method
            rows = frame[("intro:n=" + frame["n"].astype(str).str.removesuffix(".0")) == place.paper_method]
        return float(rows[place.benchmark].iloc[0]) if len(rows) else math.nan


def read_reference(config: Config) -> Reference:
    """The tables that our published run left; none where the config names no reference."""
    if config.reference is None:
        return Reference({})
    folder = Path(config.results) / "reference" / config.reference
    found = {}
    for table in TABLES:
        paths = [path for path in (folder / "tables" / f"{table}.csv", folder / f"{table}.csv") if path.exists()]
        if paths:
            found[table] = pd.read_csv(paths[0])
    return Reference(found)


# ---------------------------------------------------------------- this run


def _picked(place: Place) -> list[str] | None:
    return None if place.benchmark in (AVERAGE, IMPROVEMENT) else [place.benchmark]


def _ours(results: Results, place: Place) -> Interval | None:
    """This run's value with its interval."""
    if place.benchmark == IMPROVEMENT:
        return _improvement(results, place)
    found = estimates.accuracy(results, place.model, place.method, place.suite, _picked(place))
    return None if found is estimates.NOTHING else found


def _improvement(results: Results, place: Place) -> Interval | None:
    """100 x paired gain / base average, both on the same resampled problems."""
    gain = results.paired(place.suite, place.model, place.method, BASE)
    base = results.values(place.suite, place.model, BASE)
    if gain is None or base is None:
        return None
    base_strata = strata(base.loc[gain.index])
    base_average = average(base_strata)
    if base_average == 0:
        return None
    gained = within_model(strata(gain), results.resampling)
    with np.errstate(divide="ignore", invalid="ignore"):  # a resample may hold no problem that the base model solves
        draws = 100 * gained.draws / bootstrap(base_strata, results.resampling).mean(axis=1)
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return Interval(100 * gained.value / base_average, float(low), float(high), gained.replicates)


# ---------------------------------------------------------------- agreement


def same_value(reported: float, ours: Interval) -> Agreement:
    """Whether the printed number, give or take its rounding, lies in our interval."""
    inside = ours.low - HALF <= reported <= ours.high + HALF
    return Agreement.WITHIN if inside else Agreement.OUTSIDE


def same_direction(reported_gain: float, our_gain: Interval) -> Agreement:
    """Whether both gains over the base model point the same way, as far as either points anywhere."""
    settled = our_gain.low > 0 or our_gain.high < 0
    if not settled or abs(reported_gain) <= 2 * HALF:  # two rounded numbers: a gap of 0.1 may be none
        return Agreement.INCONCLUSIVE
    return Agreement.SAME if (reported_gain > 0) == (our_gain.low > 0) else Agreement.OPPOSITE


def agree(results: Results, reported: Reported, place: Place, ours: Interval | None) -> Agreement:
    """Values on the paper's own models, directions on all others."""
    if ours is None:
        return Agreement.NOT_RUN
    if math.isnan(reported.at(place)):
        return Agreement.NOT_COMPARED
    if place.own_model:
        return same_value(reported.at(place), ours)
    gain = estimates.gain(results, place.model, place.method, place.suite, _picked(place))
    reported_gain = reported.gain(place)
    if place.method == BASE or gain is estimates.NOTHING or math.isnan(reported_gain):
        return Agreement.NOT_COMPARED
    return same_direction(reported_gain, gain)


# ---------------------------------------------------------------- the tables


def _suite_places(config: Config, table: str) -> Iterator[Place]:
    suite = config.evaluation.suites.get(table)
    if suite is None:
        return
    for model in suite.models or config.models:
        for method in suite.methods or [BASE, *config.methods]:
            # a column per benchmark, then what follows from them
            columns = {name: config.data.benchmarks[name].stands_for for name in suite.benchmarks}
            columns |= {AVERAGE: AVERAGE}
            if table == "main" and method != BASE:
                columns |= {IMPROVEMENT: IMPROVEMENT}
            for own, paper in columns.items():
                stands_for = config.models[model].stands_for
                yield Place(table, table, model, method, own, stands_for, method, paper)


def _ablation_places(config: Config) -> Iterator[Place]:
    model = config.ablation_n.model
    stands_for = config.models[model].stands_for
    for n, method in methods_by_n(config).items():
        yield Place("ablation_n", "main", model, method, AVERAGE, stands_for, f"intro:n={n}", AVERAGE)


def table_frame(results: Results, reported: Reported, reference: Reference, table: str) -> pd.DataFrame:
    """compare/{table}.csv under the results' protocol."""
    config = results.config
    places = _ablation_places(config) if table == "ablation_n" else _suite_places(config, table)
    rows = []
    for place in places:
        ours = _ours(results, place)
        ends = (math.nan,) * 3 if ours is None else (ours.value, ours.low, ours.high)
        agreement = agree(results, reported, place, ours)
        key = (place.table, place.model, place.method, place.benchmark)
        rows.append(Row(*key, reported.at(place), reference.at(place), *ends, agreement))
    return pd.DataFrame([astuple(row) for row in rows], columns=[field.name for field in fields(Row)])

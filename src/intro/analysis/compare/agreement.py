"""Cell by cell: the value that the paper reports, the one of our published run, and the one of this run.

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

from intro.analysis.data import cells
from intro.analysis.data.results import BASE, Results, strata
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
class ComparedCell:
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
class TableCell:
    """A table cell by the names of this run and by those of the paper."""

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

    def at(self, cell: TableCell) -> float:
        key = (cell.table, cell.paper_model, cell.paper_method, cell.paper_benchmark)
        return self.values.get(key, math.nan)

    def gain(self, cell: TableCell) -> float:
        """Reported value minus the reported base value; for an improvement, the improvement itself."""
        if cell.benchmark == IMPROVEMENT:
            return self.at(cell)
        # the ablation's table has no base row: its base model is in the main table
        base = self.values.get((cell.suite, cell.paper_model, BASE, cell.paper_benchmark), math.nan)
        return self.at(cell) - base


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

    def at(self, cell: TableCell) -> float:
        frame = self.tables.get(cell.table)
        if frame is None or cell.benchmark not in frame:
            return math.nan
        if "method" in frame:
            rows = frame[(frame["method"] == cell.method) & (frame["model"] == cell.model)]
        else:  # the ablation's table names n instead of a method
            rows = frame[("intro:n=" + frame["n"].astype(str).str.removesuffix(".0")) == cell.paper_method]
        return float(rows[cell.benchmark].iloc[0]) if len(rows) else math.nan


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


def _picked(cell: TableCell) -> list[str] | None:
    return None if cell.benchmark in (AVERAGE, IMPROVEMENT) else [cell.benchmark]


def _ours(results: Results, cell: TableCell) -> Interval | None:
    """This run's value with its interval."""
    if cell.benchmark == IMPROVEMENT:
        return _improvement(results, cell)
    found = cells.accuracy(results, cell.model, cell.method, cell.suite, _picked(cell))
    return None if found is cells.NOTHING else found


def _improvement(results: Results, cell: TableCell) -> Interval | None:
    """100 x paired gain / base average, both on the same resampled problems."""
    gain = results.paired(cell.suite, cell.model, cell.method, BASE)
    base = results.values(cell.suite, cell.model, BASE)
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


def agree(results: Results, reported: Reported, cell: TableCell, ours: Interval | None) -> Agreement:
    """Values on the paper's own models, directions on all others."""
    if ours is None:
        return Agreement.NOT_RUN
    if math.isnan(reported.at(cell)):
        return Agreement.NOT_COMPARED
    if cell.own_model:
        return same_value(reported.at(cell), ours)
    gain = cells.gain(results, cell.model, cell.method, cell.suite, _picked(cell))
    reported_gain = reported.gain(cell)
    if cell.method == BASE or gain is cells.NOTHING or math.isnan(reported_gain):
        return Agreement.NOT_COMPARED
    return same_direction(reported_gain, gain)


# ---------------------------------------------------------------- the tables


def _suite_cells(config: Config, table: str) -> Iterator[TableCell]:
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
                yield TableCell(table, table, model, method, own, stands_for, method, paper)


def _ablation_cells(config: Config) -> Iterator[TableCell]:
    model = config.ablation_n.model
    stands_for = config.models[model].stands_for
    for n, method in methods_by_n(config).items():
        yield TableCell("ablation_n", "main", model, method, AVERAGE, stands_for, f"intro:n={n}", AVERAGE)


def table_frame(results: Results, reported: Reported, reference: Reference, table: str) -> pd.DataFrame:
    """compare/{table}.csv under the results' protocol."""
    config = results.config
    shown = _ablation_cells(config) if table == "ablation_n" else _suite_cells(config, table)
    rows = []
    for cell in shown:
        ours = _ours(results, cell)
        ends = (math.nan,) * 3 if ours is None else (ours.value, ours.low, ours.high)
        agreement = agree(results, reported, cell, ours)
        key = (cell.table, cell.model, cell.method, cell.benchmark)
        rows.append(ComparedCell(*key, reported.at(cell), reference.at(cell), *ends, agreement))
    return pd.DataFrame([astuple(row) for row in rows], columns=[field.name for field in fields(ComparedCell)])

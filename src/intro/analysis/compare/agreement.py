"""Cell by cell: the value that the paper reports, the one of our published run, and the one of this run.

Values are compared on the paper's own models only. On all other models, such as the tiny ones, the direction of a
method's gain over its base model is compared, since values cannot carry over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

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
KEY = ["table", "model", "method", "benchmark"]
COLUMNS = [*KEY, "reported", "reference", "ours", "ci_low", "ci_high", "agreement"]  # in percent; nan: no such number
Key = tuple[str, str, str, str]


class Agreement(StrEnum):
    WITHIN = "within interval"
    OUTSIDE = "outside interval"
    SAME = "same direction"
    OPPOSITE = "opposite direction"
    INCONCLUSIVE = "inconclusive"
    NOT_COMPARED = "not compared"  # a base model has no direction; a cell that the paper leaves out
    NOT_RUN = "not run"


class TableCell(NamedTuple):
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
    def key(self) -> Key:
        return self.table, self.model, self.method, self.benchmark

    @property
    def paper_key(self) -> Key:
        return self.table, self.paper_model, self.paper_method, self.paper_benchmark

    @property
    def benchmarks(self) -> list[str] | None:
        """The benchmarks that the cell averages; None for all of its suite."""
        return None if self.benchmark in (AVERAGE, IMPROVEMENT) else [self.benchmark]


# ---------------------------------------------------------------- the paper, our published run, this run


def read_reported(path: Path) -> dict[Key, float]:
    """The paper's numbers in percent, by the paper's names, from workflow/reported/reported.csv."""
    frame = pd.read_csv(path)
    keys = frame[KEY].itertuples(index=False, name=None)
    return dict(zip(keys, frame["value"].astype(float), strict=True))


def reported_gain(reported: Mapping[Key, float], cell: TableCell) -> float:
    """Reported value minus the reported base value; for an improvement, the improvement itself."""
    value = reported.get(cell.paper_key, math.nan)
    if cell.benchmark == IMPROVEMENT:
        return value
    # the ablation's table has no base row: its base model is in the main table
    return value - reported.get((cell.suite, cell.paper_model, BASE, cell.paper_benchmark), math.nan)


def read_reference(config: Config) -> dict[Key, float]:
    """The cells of the tables that our published run left; none where the config names no reference."""
    folder, values = Path(config.results) / "reference" / str(config.reference), {}
    for table in TABLES if config.reference else ():
        path = next((p for p in (folder / "tables" / f"{table}.csv", folder / f"{table}.csv") if p.exists()), None)
        if path is None:
            continue
        frame = pd.read_csv(path)
        if table == "ablation_n":  # it names n instead of a method
            methods = {str(n): method for n, method in methods_by_n(config).items()}
            names = frame["n"].astype(str).str.removesuffix(".0").map(methods)
            frame = frame[["average"]].assign(model=config.ablation_n.model, method=names)
        long = frame.melt(["model", "method"]).itertuples(index=False, name=None)
        values |= {(table, *names): value for *names, value in long}
    return values


def _ours(results: Results, cell: TableCell) -> Interval:
    """This run's value with its interval."""
    if cell.benchmark == IMPROVEMENT:
        return _improvement(results, cell)
    return cells.accuracy(results, cell.model, cell.method, cell.suite, cell.benchmarks)


def _improvement(results: Results, cell: TableCell) -> Interval:
    """100 x paired gain / base average, both on the same resampled problems."""
    gain = results.paired(cell.suite, cell.model, cell.method, BASE)
    base = results.values(cell.suite, cell.model, BASE)
    if gain is None or base is None:
        return cells.NOTHING
    base_strata = strata(base.loc[gain.index])
    base_average = average(base_strata)
    if base_average == 0:
        return cells.NOTHING
    gained = within_model(strata(gain), results.resampling)
    with np.errstate(divide="ignore", invalid="ignore"):  # a resample may hold no problem that the base model solves
        draws = 100 * gained.draws / bootstrap(base_strata, results.resampling).mean(axis=1)
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return Interval(100 * gained.value / base_average, float(low), float(high), gained.replicates)


# ---------------------------------------------------------------- agreement


def same_value(reported: float, ours: Interval) -> Agreement:
    """Whether the printed number, with its rounding, lies in our interval."""
    inside = ours.low - HALF <= reported <= ours.high + HALF
    return Agreement.WITHIN if inside else Agreement.OUTSIDE


def same_direction(reported_gain: float, our_gain: Interval) -> Agreement:
    """Whether both gains over the base model have the same sign; inconclusive where either may be zero."""
    settled = our_gain.low > 0 or our_gain.high < 0
    if not settled or abs(reported_gain) <= 2 * HALF:  # two rounded numbers: a gap of 0.1 may be none
        return Agreement.INCONCLUSIVE
    return Agreement.SAME if (reported_gain > 0) == (our_gain.low > 0) else Agreement.OPPOSITE


def agree(results: Results, reported: Mapping[Key, float], cell: TableCell, ours: Interval) -> Agreement:
    """Values on the paper's own models, directions on all others."""
    if ours is cells.NOTHING:
        return Agreement.NOT_RUN
    if math.isnan(value := reported.get(cell.paper_key, math.nan)):
        return Agreement.NOT_COMPARED
    if cell.model == cell.paper_model:
        return same_value(value, ours)
    gain = cells.gain(results, cell.model, cell.method, cell.suite, cell.benchmarks)
    paper_gain = reported_gain(reported, cell)
    if cell.method == BASE or gain is cells.NOTHING or math.isnan(paper_gain):
        return Agreement.NOT_COMPARED
    return same_direction(paper_gain, gain)


# ---------------------------------------------------------------- the tables


def _suite_cells(config: Config, table: str) -> Iterator[TableCell]:
    suite = config.evaluation.suites.get(table)
    if suite is None:
        return
    for model in suite.models or config.models:
        for method in suite.methods or [BASE, *config.methods]:
            # a column per benchmark, then what follows from them
            columns = {name: config.data.benchmarks[name].stands_for for name in suite.benchmarks}
            columns |= {name: name for name in (AVERAGE, IMPROVEMENT)}
            if table != "main" or method == BASE:
                del columns[IMPROVEMENT]
            for benchmark, paper in columns.items():
                yield TableCell(table, table, model, method, benchmark, config.models[model].stands_for, method, paper)


def _ablation_cells(config: Config) -> Iterator[TableCell]:
    model = config.ablation_n.model
    stands_for = config.models[model].stands_for
    for n, method in methods_by_n(config).items():
        yield TableCell("ablation_n", "main", model, method, AVERAGE, stands_for, f"intro:n={n}", AVERAGE)


def table_frame(
    results: Results, reported: Mapping[Key, float], reference: Mapping[Key, float], table: str
) -> pd.DataFrame:
    """compare/{table}.csv under the results' protocol."""
    config, rows = results.config, []
    for cell in _ablation_cells(config) if table == "ablation_n" else _suite_cells(config, table):
        ours = _ours(results, cell)
        known = reported.get(cell.paper_key, math.nan), reference.get(cell.key, math.nan)
        rows.append((*cell.key, *known, ours.value, ours.low, ours.high, agree(results, reported, cell, ours)))
    return pd.DataFrame(rows, columns=COLUMNS)

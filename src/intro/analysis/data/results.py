"""The result files of a run as data frames, and each cell's values per problem, which estimates are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from intro.analysis.stats.intervals import Array, Resampling
from intro.config import Config
from intro.types import IntroError

BASE = "base"  # method and protocol of an untrained model
SHARED_RATE = "paper"  # the protocol with one learning rate for all methods
RUN = ["pretrain_seed", "train_seed"]
PROBLEM = ["benchmark", "problem"]
CELL = ["suite", "model", "method", "protocol"]
VALUES = ["correct", "verified_correct", "tokens"]  # percent, percent, tokens; means over a problem's samples

CellKey = tuple[str, str, str, str]  # suite, model, method, protocol

# table -> its columns: a file must have those before the bar; those after it are optional, and nan where missing
COLUMNS = {
    "graded_responses": "suite model method protocol pretrain_seed train_seed benchmark problem correct tokens",
    "grid_graded_responses": "model method lr train_seed problem correct tokens",
    "curves": "model method train_seed step subset value mean_tokens protocol",
    "metrics": "model method protocol train_seed step | accuracy mean_tokens entropy kept_share correction_mean "
    "posterior_accuracy",
    "grid": "model method lr train_seed value ci_low ci_high | mean_tokens problems",
    "posterior": "model estimate problem kl | rationales effective_sample_size",
    "cost": "method forward_passes | backward_passes tokens flops seconds_median ratio_median ratio_low ratio_high "
    "peak_bytes runs",
    "claims": "claim statement protocol estimand estimate ci_low ci_high verdict replicates",
}
TEXT = dict.fromkeys(["model", "method", "protocol", "benchmark", "suite", "problem", "n"], str)  # n may be "infinite"


def read_table(name: str, files: Sequence[Path]) -> pd.DataFrame:
    """The rows of CSV files of one kind, `name` as in COLUMNS; without files an empty frame with its columns.

    Raises IntroError when a column that must be there is missing.
    """
    needed, _, optional = COLUMNS[name].partition("|")
    known = [*needed.split(), *optional.split()]
    if not files:
        return pd.DataFrame({column: pd.Series(dtype=TEXT.get(column, float)) for column in known})
    frame = pd.concat([pd.read_csv(file, dtype=TEXT) for file in files], ignore_index=True)
    if missing := [column for column in needed.split() if column not in frame]:
        raise IntroError(f"{files[0]}: expected column {', '.join(missing)}, not found; make this file again")
    return frame.reindex(columns=list(dict.fromkeys([*known, *frame.columns])))


def result_table(config: Config, name: str) -> pd.DataFrame:
    """A table below results/{scale}, compressed where it has a row per response; empty where nothing was run."""
    path = config.results_dir / f"{name}.csv{'.gz' if name.endswith('responses') else ''}"
    return read_table(name, [path] if path.exists() else [])


def resampling(config: Config) -> Resampling:
    """The bootstrap that a config asks for."""
    return Resampling(config.evaluation.resamples, config.seed)


# ---------------------------------------------------------------- cells


def cells_of(grades: pd.DataFrame) -> dict[CellKey, pd.DataFrame]:
    """Per cell the mean over each problem's samples: [(benchmark, problem), (value, run)], value one of VALUES.

    Runs of other cells and problems that a run did not answer are nan. So is a whole value of a cell where one of
    its answers has none: what is unknown goes with the outcome (only correct rationales are verified).
    """
    if grades.empty:
        return {}
    frame = grades.copy()
    # a base model has no training seed: one stand-in number keeps its rows in the groups
    frame[RUN] = frame[RUN].apply(pd.to_numeric).fillna(-1).astype(int)
    correct = pd.to_numeric(frame["correct"])
    verified = pd.to_numeric(frame["verified"]) if "verified" in frame else pd.Series(np.nan, index=frame.index)
    # a wrong response counts as wrong whether or not a verifier looked at it
    frame["verified_correct"] = 100.0 * verified.where(correct > 0, 0.0)
    frame["correct"] = 100.0 * correct
    means = frame.groupby([*CELL, *PROBLEM, *RUN])[VALUES].mean(skipna=False)
    unknown = means.isna().groupby(level=CELL).transform("any")
    # all cells at once: a pivot for each would take longer than reading them
    wide = means.mask(unknown).unstack(RUN)
    return {key: part.droplevel(CELL) for key, part in wide.groupby(level=CELL)}


def difference(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """a - b on their common problems, run by run; b is averaged per pretraining seed where runs do not match."""
    if not set(a.columns) <= set(b.columns):
        per_pretraining = b.T.groupby(level=RUN[0]).mean().T
        runs = [run for run in a.columns if run[0] in per_pretraining.columns]
        a = a[runs]
        b = pd.DataFrame({run: per_pretraining[run[0]] for run in runs}, index=b.index)
    common = a.index.intersection(b.index)
    return a.loc[common] - b.loc[common, list(a.columns)]


def by_benchmark(frame: pd.DataFrame) -> dict[str, Array]:
    """One array [problems, runs] per benchmark, in order of name."""
    codes, names = pd.factorize(frame.index.get_level_values("benchmark"), sort=True)
    values = frame.to_numpy(dtype=float)
    return {name: values[codes == code] for code, name in enumerate(names)}


def strata(frame: pd.DataFrame, benchmarks: Sequence[str] | None = None) -> list[Array]:
    """The arrays of `by_benchmark`; only of `benchmarks` where given."""
    return [values for name, values in by_benchmark(frame).items() if benchmarks is None or name in benchmarks]


def _answered(values: pd.DataFrame) -> pd.DataFrame | None:
    """A cell's runs and the problems that all of them answered: others cannot be compared between runs."""
    there = values.notna().to_numpy()
    runs = there.any(axis=0)
    frame = values.loc[there[:, runs].all(axis=1), runs]
    return None if frame.empty else frame


@dataclass(frozen=True, slots=True)
class Results:
    """The results of a run under one protocol; a cell is None where nothing was run."""

    config: Config
    cells: dict[CellKey, pd.DataFrame]
    curves: pd.DataFrame = field(default_factory=pd.DataFrame)
    grid: pd.DataFrame = field(default_factory=pd.DataFrame)  # grades of validation problems at every learning rate
    posterior: pd.DataFrame = field(default_factory=pd.DataFrame)
    cost: pd.DataFrame = field(default_factory=pd.DataFrame)
    protocol: str = ""
    cache: dict[tuple[str, ...], pd.DataFrame | None] = field(default_factory=dict, init=False, repr=False)

    @property
    def resampling(self) -> Resampling:
        return resampling(self.config)

    def under(self, protocol: str) -> Results:
        return replace(self, protocol=protocol)

    def at_rate(self, lr: float) -> Results:
        """The grid's validation problems at one learning rate, as if they were the main suite."""
        rows = self.grid[(self.grid["lr"] == lr) | (self.grid["method"] == BASE)].drop(columns="lr")
        protocols = np.where(rows["method"] == BASE, BASE, self.protocol)
        rows = rows.assign(suite="main", protocol=protocols, pretrain_seed=0, benchmark="validation")
        return replace(self, cells=cells_of(rows))

    def values(self, suite: str, model: str, method: str, column: str = "correct") -> pd.DataFrame | None:
        """Problem-level values [(benchmark, problem), runs], or None where the cell is absent or incomplete."""
        key = (suite, model, method, column)
        if key not in self.cache:
            cell = self.cells.get((suite, model, method, BASE if method == BASE else self.protocol))
            self.cache[key] = None if cell is None else _answered(cell[column])
        return self.cache[key]

    def paired(self, suite: str, model: str, a: str, b: str, column: str = "correct") -> pd.DataFrame | None:
        """Problem-by-problem difference of two methods of one model, or None where either is absent."""
        left, right = self.values(suite, model, a, column), self.values(suite, model, b, column)
        if left is None or right is None:
            return None
        frame = difference(left, right)
        return None if frame.empty or not len(frame.columns) else frame

    @property
    def hard(self) -> list[str]:
        """Benchmarks of this scale that stand for the paper's hard ones."""
        benchmarks = self.config.data.benchmarks
        return [name for name, b in benchmarks.items() if b.stands_for in self.config.evaluation.hard]


def load_results(config: Config) -> Results:
    """Everything below results/{scale}; missing files are empty frames."""
    names = ("graded_responses", "curves", "grid_graded_responses", "posterior", "cost")
    grades, *others = (result_table(config, name) for name in names)
    return Results(config, cells_of(grades), *others)

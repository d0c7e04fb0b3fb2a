"""The files that tables, figures and the report read, with their types; one that was not made is an empty frame."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from intro.analysis.data import collect
from intro.analysis.data.results import BASE, SHARED_RATE, Results, load_results, results_of
from intro.analysis.stats.intervals import Resampling
from intro.config import Config
from intro.infra.provenance import ROOT
from intro.sources import Sources

TEXT = dict.fromkeys(["model", "method", "protocol", "benchmark", "suite", "problem"], str)
REPORTED = ROOT / "workflow" / "reported"  # the paper's numbers: reported.csv and benchmarks.csv
REPORTED_COLUMNS = ["table", "model", "method", "benchmark", "metric", "value"]
COLUMNS = {
    "curves": "model method train_seed step subset value mean_tokens protocol",
    "metrics": "model method protocol train_seed step accuracy mean_tokens entropy kept_share correction_mean "
    "posterior_accuracy",
    "grid": "model method lr train_seed value ci_low ci_high mean_tokens problems",
    "posterior": "model estimate problem rationales kl effective_sample_size",
    "cost": "method forward_passes backward_passes tokens flops seconds_median ratio_median ratio_low ratio_high "
    "peak_bytes runs",
    "claims": "claim statement protocol estimand estimate ci_low ci_high verdict replicates",
}


@dataclass(frozen=True)
class Inputs:
    """Reads below results/{scale}, each file once."""

    config: Config

    def frame(self, name: str) -> pd.DataFrame:
        """`name` as in COLUMNS. Columns that the file lacks come as missing values, so older runs still draw."""
        path = self.config.results_dir / f"{name}.csv"
        return _frame(name, [path] if path.exists() else [])

    @cached_property
    def results(self) -> Results:
        """Every response, problem by problem, under the paper's protocol."""
        return load_results(self.config).under(SHARED_RATE)

    @cached_property
    def curves(self) -> pd.DataFrame:
        return self.frame("curves")

    @cached_property
    def metrics(self) -> pd.DataFrame:
        return self.frame("metrics")

    @cached_property
    def grid(self) -> pd.DataFrame:
        return self.frame("grid")

    def compare(self, table: str) -> pd.DataFrame:
        path = self.config.results_dir / "compare" / f"{table}.csv"
        return pd.read_csv(path) if path.exists() else pd.DataFrame()

    @cached_property
    def reported(self) -> pd.DataFrame:
        """The paper's own numbers, for orientation in figures; empty when the package runs outside its repository."""
        path = REPORTED / "reported.csv"
        return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=REPORTED_COLUMNS)

    def record(self, name: str) -> Any:
        """A JSON file below results/{scale}, None when it was not made."""
        path = self.config.results_dir / name
        return json.loads(path.read_text()) if path.exists() else None


@dataclass(frozen=True)
class RunInputs(Inputs):
    """What one table or figure shows, from the files of its own runs: `collect` gathers those of all."""

    sources: Sources

    @cached_property
    def results(self) -> Results:
        grades = collect.grades_of(self.config, self.sources.evaluations, self.sources.judged)
        return results_of(self.config, grades).under(SHARED_RATE)

    @cached_property
    def curves(self) -> pd.DataFrame:
        return _frame("curves", [cell.folder(self.config) / "curves.csv" for cell in self.sources.curves])

    @cached_property
    def metrics(self) -> pd.DataFrame:
        return _frame("metrics", [cell.folder(self.config) / "metrics.csv" for cell in self.sources.metrics])

    @cached_property
    def grid(self) -> pd.DataFrame:
        evaluation = self.config.evaluation
        grades = collect.read_grid(self.config, self.sources.sweeps)
        return collect.grid_rows(grades, Resampling(evaluation.resamples, self.config.seed))


def _frame(name: str, files: Sequence[Path]) -> pd.DataFrame:
    """The rows of files of one kind, `name` as in COLUMNS, with missing values for columns that they lack."""
    wanted = COLUMNS[name].split()
    if not files:
        return pd.DataFrame({column: pd.Series(dtype=TEXT.get(column, float)) for column in wanted})
    read = pd.concat([pd.read_csv(file, dtype=TEXT) for file in files], ignore_index=True)
    return read.reindex(columns=[*wanted, *(c for c in read.columns if c not in wanted)])


def under(frame: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Rows of one protocol; the base model belongs to every one, and so do rows that name none."""
    return frame[frame.protocol.isin([protocol, BASE]) | frame.protocol.isna() | (frame.method == BASE)]
